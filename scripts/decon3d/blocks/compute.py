"""Compute one block: in smaller tiles where a device's memory is short, and only where data are.

Tiles change how much is computed at a time, not what is read and written. The halo of a tile is
that of a block, so the result stays the same, too, but for the rounding of the engine.
"""

from collections.abc import Callable
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import (
    SMALLEST,
    Block,
    Region,
    Triple,
    block_at,
    block_of,
    grid,
    triple,
)
from decon3d.errors import DeviceMemoryError
from decon3d.logs import log
from decon3d.volumes.no_data import missing

Function = Callable[[NDArray[Any], Triple, Region], NDArray[np.float32]]
"""Of a padded block (Z, Y, X, or channels before them), the place of its first voxel in the volume,
and the region of the block that is wanted: returns that region's voxels."""


def with_data(
    values: NDArray[Any], block: Block, *, fill: float, compute: Callable[[], NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Compute what a block writes, unless it has no data; voxels without data get the fill value.

    Parameters
    ----------
    values
        The padded read region (Z, Y, X); NaN = no data.
    fill
        Value of voxels without data.
    compute
        Returns the result, of the shape of `block.write`; not called for a block without any data.

    Returns
    -------
    computed, absent
        The result, and which of its voxels have no data (None = all have).
    """
    absent = missing(values[block.inner])
    if absent is None:
        return compute(), None
    level = np.float32(fill)
    if absent.all():
        return np.full(absent.shape, level), absent
    return np.where(absent, level, compute()), absent


def tile_of(block: Triple, *, stride: Triple, halvings: int) -> Triple | None:
    """Halve a block (Z, Y, X) some times, always its longest axis; None = it cannot be halved."""
    size = list(block)
    for _ in range(halvings):
        axis = max(range(3), key=lambda a: size[a])
        if size[axis] <= max(SMALLEST, stride[axis]):
            return None
        size[axis] = ceil(size[axis] / 2 / stride[axis]) * stride[axis]
    return triple(size)


class Tiling:
    """How much of a block a job computes at a time: all of it, until the device's memory is short.

    Parameters
    ----------
    stride, halo
        Sizes of tiles are multiples of the stride; a voxel's result depends on the halo (Z, Y, X).
    mirror
        Whether to mirror the block's values beyond its faces, so that every tile has its halo.
    """

    def __init__(self, *, stride: Triple, halo: Triple, mirror: bool = False) -> None:
        self.stride = stride
        self.halo = halo
        self.mirror = mirror
        self.halvings = 0

    def compute(
        self, function: Function, values: NDArray[Any], block: Block, size: Triple
    ) -> NDArray[np.float32]:
        """Compute what a block writes, in smaller tiles from now on where the memory is short.

        Parameters
        ----------
        values
            The padded read region (Z, Y, X, or channels before them); NaN = no data.
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
                    f"{self.halo} voxels (Z, Y, X) is needed on each side; use a device with more "
                    "memory"
                )
            try:
                return in_tiles(
                    function, values, block, tile=tile, halo=self.halo, mirror=self.mirror
                )
            except DeviceMemoryError as error:
                self.halvings += 1
                log.warning("%s. Blocks are computed in smaller tiles from now on", error)


def in_tiles(
    function: Function,
    values: NDArray[Any],
    block: Block,
    *,
    tile: Triple,
    halo: Triple,
    mirror: bool = False,
) -> NDArray[np.float32]:
    """Compute what a block writes, a tile at a time.

    Parameters
    ----------
    values
        The padded read region (Z, Y, X, or channels before them); NaN = no data.
    tile
        Size of a tile, multiples of the stride.
    halo
        Context that a voxel's result depends on.
    mirror
        Whether the values are mirrored beyond their faces, so that every tile has its halo.

    Returns
    -------
    array (Z, Y, X)
        Of the shape of `block.write`.
    """
    shape = triple(part.stop - part.start for part in block.inner)
    count = prod(grid(shape, tile))
    if count == 1 and not mirror:
        return function(values, block.origin, block.inner)
    result = np.empty(shape, np.float32)
    for index in range(count):
        write = block_at(index, shape=shape, block=tile, halo=(0, 0, 0)).write
        moved = triple(
            slice(part.start + whole.start, part.stop + whole.start)
            for part, whole in zip(write, block.inner, strict=True)
        )
        # As large as the other tiles if the block allows it, since engines need one shape.
        part = block_of(moved, triple(values.shape[-3:]), halo=halo, size=tile, mirror=mirror)
        first = triple(o + own for o, own in zip(block.origin, part.origin, strict=True))
        result[write] = function(part.pad(values[(..., *part.read)]), first, part.inner)
    return result
