"""Skip voxels without data: they keep their value, and blocks without data cost nothing."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.restoration.blocks import Block, Triple
from decon3d.restoration.restorers import Restorer
from decon3d.restoration.tiles import Tiling
from decon3d.volumes.no_data import missing


def restore_block(
    restorer: Restorer,
    values: NDArray[Any],
    block: Block,
    *,
    fill: float | None,
    size: Triple,
    tiling: Tiling,
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Restore what a block writes.

    Parameters
    ----------
    values
        Counts of the padded read region (Z, Y, X); NaN = no data.
    fill
        Value for voxels without data: the volume's fill value, or NaN if it has none.
    size
        Size of a whole block.
    tiling
        How much is computed at a time.

    Returns
    -------
    restored, absent
        Of the shape of `block.write`: counts, and which of them have no data (None = all have).
        The restorer is not called for blocks without any data.
    """
    absent = missing(values[block.inner])
    level = np.float32(np.nan if fill is None else fill)
    if absent is None:
        return tiling.restore(restorer, values, block, size), None
    if absent.all():
        return np.full(absent.shape, level), absent
    restored = tiling.restore(restorer, values, block, size)
    return np.where(absent, level, restored), absent
