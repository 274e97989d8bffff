"""A sample of a dataset: a few blocks for choosing parameters without truth."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import Region, Triple, block_at, block_of, centred, grid
from decon3d.logs import log
from decon3d.seeds import generator
from decon3d.volumes.camera import CameraRecord
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.photon_transfer import MARGIN, measure_camera
from decon3d.volumes.volume_record import VolumeRecord

BLOCK: Triple = (32, 96, 96)
CANDIDATES = 16
KEPT = 4
CELLS = 24
"""Blocks of a channel for measuring the camera."""


def sample_blocks(
    records: Sequence[VolumeRecord],
    *,
    channel: int,
    times: Sequence[int] | None,
    seed: int,
) -> list[NDArray[Any]]:
    """Draw blocks from the volumes and time points of a dataset.

    Of 16 blocks drawn without replacement, the four with the most light are kept, since blocks that
    are empty or without data do not show structure. The same seed and data give the same sample.

    Parameters
    ----------
    records
        The ingested volumes.
    channel
        Channel index.
    times
        Time points to draw from; None = all.
    seed
        The config's seed.

    Returns
    -------
    list of arrays (Z Y X)
        Counts, of up to 32 × 96 × 96 voxels; NaN = no data.
    """
    # Blocks are numbered, not listed: a volume of 10 TB has 17 million.
    stacks = _stacks(records, times)
    if not stacks:  # a method without decisions on a sample
        return []
    ends = np.cumsum([prod(grid(record.shape[2:], BLOCK)) for record, _ in stacks])
    chosen = generator(seed, "sample", channel).permutation(ends[-1])[:CANDIDATES]
    found = []
    for place in chosen.tolist():
        stack = bisect_right(ends, place)
        record, time = stacks[stack]
        index = place - (int(ends[stack - 1]) if stack else 0)
        write = block_at(index, shape=record.shape[2:], block=BLOCK, halo=(0, 0, 0)).write
        values = read_marked(record.open(), time, channel, write, record.fill(channel))
        light = float(np.nansum(values, dtype=np.float64))
        if not np.isnan(values).all():
            found.append((light, record.name, time, write, values))
    found.sort(key=lambda entry: -entry[0])
    for _, name, time, write, _ in found[:KEPT]:
        log.info(
            "sample: %s, time %d, voxels %s (Z × Y × X)",
            name,
            time,
            " × ".join(f"{axis.start}–{axis.stop - 1}" for axis in write),
        )
    return [values for *_, values in found[:KEPT]]


def draw_cells(shape: Triple, *, count: int, rng: np.random.Generator) -> list[Region]:
    """Draw cells of at most 32 × 96 × 96 voxels (Z, Y, X) of a volume, all if there are no more."""
    total = prod(grid(shape, BLOCK))
    chosen = sorted(rng.permutation(total)[:count].tolist())
    return [block_at(i, shape=shape, block=BLOCK, halo=(0, 0, 0)).write for i in chosen]


def channel_camera(
    records: Sequence[VolumeRecord],
    *,
    channel: int,
    times: Sequence[int] | None,
    seed: int,
) -> CameraRecord:
    """Measure the camera of one channel in blocks from all volumes and times of a dataset.

    If a volume has several time points, the noise is that of the difference of two successive ones.
    A static scene vanishes in it, and a moving one adds no more than in one frame. If the
    volumes were corrected by dark and flat frames, the record holds their values, too.

    Parameters
    ----------
    records
        The ingested raw volumes.
    channel
        Channel index.
    times
        Time points to draw from; None = all.
    seed
        The config's seed.
    """
    rng = generator(seed, "noise", channel)
    places = _stacks(records, times)
    chosen = [places[i] for i in rng.permutation(len(places))[:CELLS]]
    sample, pairs = [], []
    for record, time in chosen:
        volume = record.open()
        used = list(range(record.shape[0]) if times is None else times)
        later = used[used.index(time) + 1 :][:1]
        shape = record.shape[2:]
        for cell in draw_cells(shape, count=-(-CELLS // len(chosen)), rng=rng):
            region = block_of(cell, shape, halo=MARGIN).read
            block = read_marked(volume, time, channel, region, record.fill(channel))
            sample.append(block)
            for other in later:
                after = read_marked(volume, other, channel, region, record.fill(channel))
                if not np.array_equal(block, after, equal_nan=True):  # one frame stored twice
                    pairs.append((block, after))
    levels = {record.saturation for record in records}
    full = levels.pop() if len(levels) == 1 else None
    found = measure_camera(sample, pairs=pairs, saturation=full)
    known = records[0].calibration
    if known is None:
        return found
    return replace(found, frames=(known["level"], known["gain"], known["read_noise_counts"]))


def central(volume: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the middle of one volume (Z, Y, X) as its sample, at most a sample block."""
    return [volume[centred(volume.shape, BLOCK)]]


def _stacks(
    records: Sequence[VolumeRecord], times: Sequence[int] | None
) -> list[tuple[VolumeRecord, int]]:
    """List the time points of all volumes."""
    return [
        (record, time)
        for record in records
        for time in (range(record.shape[0]) if times is None else times)
    ]
