"""Skip voxels without data: they keep their value, and blocks without data cost nothing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.restoration.blocks import Block, Triple
from decon3d.restoration.restorers import Restorer
from decon3d.restoration.tiles import in_tiles
from decon3d.volumes.no_data import missing


def restore_block(
    restorer: Restorer,
    values: NDArray[Any],
    block: Block,
    *,
    fill: float | None,
    tile: Triple,
    halo: Triple,
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Restore what a block writes.

    Parameters
    ----------
    values
        Counts of the padded read region (Z, Y, X); NaN = no data.
    fill
        Value for voxels without data: the volume's fill value, or NaN if it has none.
    tile, halo
        How much is computed at a time, and the context that it needs; see `in_tiles`.

    Returns
    -------
    restored, absent
        Of the shape of `block.write`: counts, and which of them have no data (None = all have).
        The restorer is not called for blocks without any data.
    """
    absent = missing(values[block.inner])
    level = np.float32(np.nan if fill is None else fill)
    if absent is None:
        return in_tiles(restorer, values, block, tile=tile, halo=halo), None
    if absent.all():
        return np.full(absent.shape, level), absent
    restored = in_tiles(restorer, values, block, tile=tile, halo=halo)
    return np.where(absent, level, restored), absent
