"""Compute blocks that exceed a device's memory in smaller tiles.

What is read and written stays the same: only how much is computed at a time changes. The halo of a
tile is that of a block, so the result stays the same, too, but for the rounding of the engine.
"""

from itertools import product
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import DeviceMemoryError
from decon3d.logs import log
from decon3d.restoration.blocks import SMALLEST, Block, Region, Triple
from decon3d.restoration.restorers import Restorer


def tile_of(block: Triple, *, stride: Triple, halvings: int) -> Triple | None:
    """Halve a block (Z, Y, X) some times, always its longest axis; None = it cannot be halved."""
    size = list(block)
    for _ in range(halvings):
        axis = max(range(3), key=lambda a: size[a])
        if size[axis] <= max(SMALLEST, stride[axis]):
            return None
        size[axis] = ceil(size[axis] / 2 / stride[axis]) * stride[axis]
    return (size[0], size[1], size[2])


class Tiling:
    """How much of a block a job computes at a time: all of it, until the device's memory is short.

    Parameters
    ----------
    stride, halo
        Sizes of tiles are multiples of the stride; a voxel's result depends on the halo (Z, Y, X).
    """

    def __init__(self, *, stride: Triple, halo: Triple) -> None:
        self.stride = stride
        self.halo = halo
        self.halvings = 0

    def restore(
        self, restorer: Restorer, values: NDArray[Any], block: Block, size: Triple
    ) -> NDArray[np.float32]:
        """Restore what a block writes, in smaller tiles from now on where the memory is short.

        Parameters
        ----------
        values
            Counts of the padded read region (Z, Y, X); NaN = no data.
        size
            Size of a whole block.

        Raises
        ------
        DeviceMemoryError
            If the smallest tile does not fit.
        """
        while True:
            tile = tile_of(size, stride=self.stride, halvings=self.halvings)
            if tile is None:
                raise DeviceMemoryError(
                    "not even small blocks fit into the memory of the device; the halo of "
                    f"{self.halo} voxels (Z, Y, X) is needed on each side"
                )
            try:
                return in_tiles(restorer, values, block, tile=tile, halo=self.halo)
            except DeviceMemoryError as error:
                self.halvings += 1
                log.warning("%s. Blocks are computed in smaller tiles from now on", error)


def in_tiles(
    restorer: Restorer, values: NDArray[Any], block: Block, *, tile: Triple, halo: Triple
) -> NDArray[np.float32]:
    """Restore what a block writes, a tile at a time.

    Parameters
    ----------
    values
        Counts of the padded read region (Z, Y, X); NaN = no data.
    tile
        Size of a tile, multiples of the stride.
    halo
        Context that a voxel's result depends on.

    Returns
    -------
    array (Z, Y, X)
        Counts, of the shape of `block.write`.
    """
    shape = tuple(part.stop - part.start for part in block.inner)
    counts = [ceil(n / t) for n, t in zip(shape, tile, strict=True)]
    if prod(counts) == 1:
        return restorer.restore(values, block.origin)[block.inner]
    result = np.empty(shape, np.float32)
    for position in product(*map(range, counts)):
        target, seen, inner = [], [], []
        for i, n, t, h, whole, length in zip(
            position, shape, tile, halo, block.inner, values.shape, strict=True
        ):
            start, stop = i * t, min(i * t + t, n)
            first = max(whole.start + start - h, 0)
            # As large as the other tiles if the block allows it, since engines need one shape.
            last = min(whole.start + start + t + h, length)
            target.append(slice(start, stop))
            seen.append(slice(first, last))
            begin = whole.start + start - first
            inner.append(slice(begin, begin + stop - start))
        region: Region = (seen[0], seen[1], seen[2])
        z, y, x = (o + part.start for o, part in zip(block.origin, region, strict=True))
        result[tuple(target)] = restorer.restore(values[region], (z, y, x))[tuple(inner)]
    return result
