"""How much a restoration changes between two halves of the photons, voxel by voxel.

The halves are those of the held-out photons (`evaluation.deviance`) of a sample block. Each is
restored at the brightness of the whole block. Their difference shows the effect of the noise. It is
not the error of the restoration: errors that both halves share cancel.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import reading
from decon3d.evaluation.deviance import HeldOut
from decon3d.files import replacing


def save_stability(path: str | Path, halves: Mapping[str, Sequence[HeldOut]]) -> None:
    """Write the map of each channel's brightest block (npz).

    Parameters
    ----------
    path
        The file; its arrays (Z Y X, float32, counts) are named by the channels.
    halves
        The comparisons of a channel's blocks, the brightest first; none = its photons cannot be
        split, or its halves are not independent.
    """
    maps = {}
    for channel, found in halves.items():
        if found and found[0].restored:
            first, second = found[0].restored
            maps[channel] = (first - second).astype(np.float32)
    with replacing(path, ending=".npz") as temporary:
        np.savez_compressed(temporary, **maps)


def load_stability(path: str | Path, channel: str) -> NDArray[np.float32] | None:
    """Read a channel's map (Z Y X, counts, first half minus second); None = it has none.

    Raises
    ------
    UserError
        If the file is missing or damaged.
    """
    with reading(str(path)), np.load(path) as maps:
        return np.asarray(maps[channel], np.float32) if channel in maps.files else None
