"""Sampling of a volume without truth: windows, and planes through them.

Whole volumes of up to 64 × 256 × 256 voxels; of larger ones, or of several time points, up to
`KEPT` windows of that size. The choice depends on the raw volume alone, so that all methods are
measured at the same places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import Region, Triple, block_at, grid
from decon3d.logs import log
from decon3d.seeds import generator
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.volume_record import VolumeRecord

WINDOW: Triple = (64, 256, 256)
CANDIDATES = 12
KEPT = 3
PLANES = 9
"""Largest number of planes per direction and window."""
PLANE_PART = 512
"""Largest number of rows and columns of a plane compared with a truth."""
LEAST_DATA = 0.5
"""Share of a plane's voxels that must have data."""
DIRECTIONS = {"xy": 0, "xz": 1, "yz": 2}
"""The axis (of Z Y X) that a plane of that name leaves out."""


@dataclass(frozen=True)
class Window:
    """A part of a volume.

    Attributes
    ----------
    time
        Time point of the input.
    values
        Raw counts (Z Y X); NaN = no data.
    """

    time: int
    region: Region
    values: NDArray[Any]


def windows(
    record: VolumeRecord, *, channel: int, times: Sequence[int] | None, seed: int
) -> list[Window]:
    """Choose the windows of one volume's channel: of some drawn at random, the brightest.

    Parameters
    ----------
    record
        The ingested volume.
    channel
        Channel index of the input.
    times
        Chosen time points; None = all.
    seed
        The config's seed.
    """
    shape: Triple = record.shape[2:]
    volume, fill = record.open(), record.fill(channel)
    # Equal windows: 65 planes are two windows of 33, not one of 64 and one of 1.
    z, y, x = (ceil(n / ceil(n / w)) for n, w in zip(shape, WINDOW, strict=True))
    places = [
        (time, index)
        for time in (range(record.shape[0]) if times is None else times)
        for index in range(prod(grid(shape, (z, y, x))))
    ]
    rng = generator(seed, "windows", record.name, channel)
    found: list[tuple[float, Window]] = []
    for place in rng.permutation(len(places))[:CANDIDATES]:
        time, index = places[place]
        region = block_at(index, shape=shape, block=(z, y, x), halo=(0, 0, 0)).write
        values = read_marked(volume, time, channel, region, fill)
        if not np.isnan(values).all():
            light = float(np.nansum(values, dtype=np.float64))
            found.append((light, Window(time, region, values)))
        found = sorted(found, key=lambda entry: -entry[0])[:KEPT]
    if len(places) > len(found):
        log.info("%s: %d of %d windows are measured", record.name, len(found), len(places))
    return [window for _, window in found]


def planes(values: NDArray[Any], direction: str) -> Iterator[NDArray[Any]]:
    """Cut up to nine evenly spaced planes out of a volume (Z Y X).

    Parameters
    ----------
    direction
        `xy` (rows Y, columns X), `xz` (rows Z, columns X) or `yz` (rows Z, columns Y).

    Yields
    ------
    array (rows, columns)
        Planes of which at least half has data (is not NaN).
    """
    axis = DIRECTIONS[direction]
    for index in plane_indices(values.shape[axis]):
        plane = values.take(index, axis)
        if np.isfinite(plane).mean() >= LEAST_DATA:
            yield plane


def spread_parts(shape: Sequence[int]) -> list[tuple[int, slice, slice]]:
    """Choose up to nine XY planes of a volume (Z, Y, X); of large planes a part each.

    The parts lie along a diagonal of the volume and are at most 512 × 512 voxels.
    """
    z, y, x = shape
    height, width = min(y, PLANE_PART), min(x, PLANE_PART)
    parts = []
    for index in plane_indices(z):
        top, left = (y - height) * index // z, (x - width) * index // z
        parts.append((int(index), slice(top, top + height), slice(left, left + width)))
    return parts


def plane_indices(size: int) -> NDArray[np.int64]:
    """Choose up to nine evenly spaced planes of so many."""
    count = min(PLANES, size)
    return np.unique(((np.arange(count) + 0.5) * size / count).astype(np.int64))
