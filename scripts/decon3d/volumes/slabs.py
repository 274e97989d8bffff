"""Slabs of a volume: whole planes, in memory or, if too large, in a file."""

import tempfile
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.volumes.reader import Volume

SLAB_BYTES = 128 * 2**20
"""Largest slab in memory, and largest read or write."""


class SlabFile:
    """An array (Z, Y, X) in a nameless file, which is sliced along Z and Y.

    Not a memory map: touched pages would count as the job's memory, and a full disk would end the
    job with a signal.
    """

    def __init__(self, folder: str | Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape = shape
        self.dtype = dtype
        # Beside the results: a node's own /tmp is often memory.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115

    def __setitem__(self, region: tuple[slice, slice], values: NDArray[Any]) -> None:
        z, y = region
        for number, rows in enumerate(values, start=z.start):
            self._seek(number, y)
            self._file.write(_bytes(np.ascontiguousarray(rows, self.dtype)))

    def __getitem__(self, region: tuple[slice, slice]) -> NDArray[Any]:
        z, y = (slice(*s.indices(n)) for s, n in zip(region, self.shape[:2], strict=True))
        values = np.empty((z.stop - z.start, y.stop - y.start, self.shape[2]), self.dtype)
        for number, rows in enumerate(values, start=z.start):
            self._seek(number, y)
            self._file.readinto(_bytes(rows))
        return values

    def _seek(self, plane: int, rows: slice) -> None:
        row = plane * self.shape[1] + rows.start
        self._file.seek(row * self.shape[2] * self.dtype.itemsize)


def _bytes(rows: NDArray[Any]) -> memoryview:
    """View contiguous rows as bytes, whatever their byte order."""
    return rows.reshape(-1).view(np.uint8).data


def slabs(volume: Volume) -> Iterator[tuple[int, int, slice]]:
    """Cut a volume into (time, channel, slice of planes), the planes in multiples of a chunk."""
    n_times, n_channels, n_planes, *lateral = volume.shape
    step = max(1, SLAB_BYTES // (int(np.prod(lateral)) * volume.dtype.itemsize))
    step = max(32, step // 32 * 32)
    edges = [*range(0, n_planes, step), n_planes]
    for time in range(n_times):
        for channel in range(n_channels):
            for start, stop in pairwise(edges):
                yield time, channel, slice(start, stop)


def boxes(volume: Volume, slab: slice) -> Iterator[tuple[slice, slice]]:
    """Cut a slab into slices of planes and rows (Z, Y), each read at once.

    They consist of whole chunks, since half a chunk costs as much, and have at most `SLAB_BYTES`
    unless one row of chunks is larger.
    """
    _, _, _, height, width = volume.shape
    n_planes = slab.stop - slab.start
    thick, high = (min(c, n) for c, n in zip(volume.chunk[:2], (n_planes, height), strict=True))
    most = SLAB_BYTES // (width * volume.dtype.itemsize)  # rows of voxels
    high = height if thick * height <= most else max(1, most // (thick * high)) * high
    thick = max(1, most // (thick * high)) * thick
    for z in range(slab.start, slab.stop, thick):
        for y in range(0, height, high):
            yield slice(z, min(z + thick, slab.stop)), slice(y, min(y + high, height))


def parts(volume: Volume, channels: Collection[int]) -> Iterator[tuple[slice, NDArray[Any]]]:
    """Read some channels part by part; yield the rows (Y) and the counts (Z, Y, X)."""
    for time, channel, slab in slabs(volume):
        for z, y in boxes(volume, slab) if channel in channels else ():
            yield y, volume.read(time, channel, (z, y, slice(None)))


def read_slab(
    volume: Volume, time: int, channel: int, slab: slice, *, folder: str | Path
) -> NDArray[Any] | SlabFile:
    """Read a slab, into a file in `folder` if it is larger than `SLAB_BYTES`.

    Parameters
    ----------
    volume
        The volume.
    time, channel, slab
        From `slabs`.
    folder
        Where the file goes.
    """
    shape = (slab.stop - slab.start, *volume.shape[3:])
    if int(np.prod(shape)) * volume.dtype.itemsize <= SLAB_BYTES:
        return volume.read(time, channel, (slab, slice(None), slice(None)))
    whole = SlabFile(folder, shape, volume.dtype)
    for z, y in boxes(volume, slab):
        part = slice(z.start - slab.start, z.stop - slab.start)
        whole[part, y] = volume.read(time, channel, (z, y, slice(None)))
    return whole


def strips(
    shape: tuple[int, ...], *, multiple: int, most: int, reach: int = 0
) -> Iterator[tuple[slice, slice]]:
    """Cut an array (Z, Y, X) along Y into strips of a multiple of rows, the last of any more.

    Parameters
    ----------
    most
        Voxels of a strip, unless `multiple` rows have more.
    reach
        Rows around a strip that are looked at, too.

    Yields
    ------
    (wide, inner)
        The rows with those around them, and the strip's own among these.
    """
    depth, height, width = shape
    rows = max(1, most // (depth * width * multiple)) * multiple
    # No strip is smaller than `multiple`, unless the array is.
    edges = [0, *range(rows, height - multiple + 1, rows), height]
    for start, stop in pairwise(edges):
        first, last = max(start - reach, 0), min(stop + reach, height)
        yield slice(first, last), slice(start - first, stop - first)
