"""Consistency maps of whole volumes of any size, block by block, as OME-Zarr, with a summary.

The geometry is that of restorations; the reading of two volumes, and the single job per method, are
simpler. A map that is finished for the same inputs is kept; one that was begun resumes at its first
unfinished block.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from decon3d.blocks.compute import with_data
from decon3d.blocks.geometry import Block, Region, Triple, block_of, choose_block, triple
from decon3d.blocks.progress import Progress
from decon3d.blocks.run import peak_memory_gb, run_blocks
from decon3d.blocks.work import Item, Output, WorkList
from decon3d.errors import UserError
from decon3d.evaluation.consistency import (
    BYTES_PER_VOXEL,
    EPSILON,
    THRESHOLD,
    Checker,
    FloatArray,
    Scale,
    beyond,
    width_voxels,
)
from decon3d.evaluation.consistency_summary import block_summary, stack_summary
from decon3d.evaluation.noise import Noise
from decon3d.evaluation.not_verifiable import Support, not_verifiable
from decon3d.files import digest
from decon3d.logs import log
from decon3d.optics.psf import Psf, fingerprint, half_width
from decon3d.restoration.sample import draw_cells
from decon3d.seeds import generator
from decon3d.versions import VERSIONS, __version__
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.fingerprints import check_unchanged
from decon3d.volumes.manifest import begin_store, finished_attributes
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.reader import Volume, open_volume
from decon3d.volumes.volume_record import VolumeRecord
from decon3d.volumes.writer import largest_of_data, write_metadata, write_pyramid

MEMORY_GB = 1.0
"""Largest memory of a block."""
CELLS = 12
"""Largest number of blocks of each time point and channel for α, β and the energy."""
APART = 2.0
"""Least distance of two of them on one axis, in widths of the PSF."""
WINDOW = (-10.0, 10.0)


@dataclass(frozen=True)
class ChannelCheck:
    """The inputs of one channel's check."""

    name: str
    index: int
    """Channel of the raw volume."""
    psf: Psf
    noise: Noise
    background: float
    """Counts of empty places of the raw volumes."""

    @property
    def identity(self) -> dict[str, Any]:
        """All that decides the channel's map, JSON-able."""
        return {
            "name": self.name,
            "index": self.index,
            "psf": fingerprint(self.psf),
            "noise": asdict(self.noise),
            "background": self.background,
        }

    @property
    def apart(self) -> Triple:
        """Least distance (Z, Y, X), in voxels, of two places that are listed."""
        return triple(max(2, round(APART * w)) for w in width_voxels(self.psf))


def check_volume(
    record: VolumeRecord,
    *,
    restored: str,
    store: str,
    channels: Sequence[ChannelCheck],
    times: Sequence[int] | None,
    method: str,
    memory_gb: float,
    seed: int,
    threads: int = 1,
) -> dict[str, Any]:
    """Write the consistency map of one restored volume, and summarise it.

    Parameters
    ----------
    record
        The ingested raw volume.
    restored
        Store of the restored volume: these channels and times, in this order.
    store
        Where the map goes: float32, the axes, voxels, channels and times of the restored volume.
        Coarser levels keep the value farthest from 0.
    channels
        The inputs of each channel's check.
    times
        The restored time points; None = all.
    memory_gb
        For a block; 1 GB at most is used, unless a wide PSF needs more.
    seed
        The config's seed.

    Returns
    -------
    dict
        `voxels`, `seconds`, and `checks`: per time point and channel `alpha`, `beta`, `judged`
        (share of the voxels with data), `flagged` (share of the judged ones with |z| ≥ 5), of which
        `invented` (z < 0) and `missed`, `z_rms`, `not_verifiable` and `worst`; all JSON-able.

    Raises
    ------
    UserError
        If the volumes do not fit each other, the memory is too little, or the job got SIGTERM (the
        next attempt resumes).
    """
    chosen = list(range(record.shape[0]) if times is None else times)
    raw, result = record.open(), open_volume(restored)
    shape = (len(chosen), len(channels), *record.shape[2:])
    if result.shape != shape:
        raise UserError(
            f"{restored} has the shape {result.shape} (T, C, Z, Y, X), but the raw volume requires "
            f"{shape}; restore it again"
        )
    made: Any = open_group(restored).attrs.get("decon3d", {})
    key = digest(
        [
            record.identity,
            made.get("key"),
            chosen,
            [c.identity for c in channels],
            EPSILON,
            THRESHOLD,
            seed,
            VERSIONS["consistency"],
        ]
    )
    finished = finished_attributes(store, {"key": key})
    if finished is not None:
        log.info("%s: its map is finished", record.name)
        return dict(finished["summary"])
    checkers = [
        Checker(psf=c.psf, noise=c.noise, background=c.background, threads=threads)
        for c in channels
    ]
    halo = triple(max(sizes) for sizes in zip(*(c.halo for c in checkers), strict=True))
    layout = partial(
        choose_block, shape[2:], halo=halo, stride=(1, 1, 1), bytes_per_voxel=BYTES_PER_VOXEL
    )
    try:
        block, chunk = layout(memory_bytes=min(memory_gb, MEMORY_GB) * 1e9)
    except UserError:  # a wide PSF needs more
        block, chunk = layout(memory_bytes=memory_gb * 1e9)
    output = Output(store, shape, "float32", chunk, block, digest([key, chunk, block]))
    output.create()
    begin_store(store)
    work = WorkList([output], halo)
    numbers = range(len(work))
    done = Progress(Path(store) / "0.progress", work, numbers)
    function = _Map(record, raw, result, chosen, channels, checkers, seed, done)
    run_blocks(function, work, numbers, done=done, what=f"consistency of {method}, {record.name}")
    checks = []
    for stack, ((position, time_point), (c, channel)) in enumerate(
        product(enumerate(chosen), enumerate(channels))
    ):
        lines = [done.lines[stack * output.blocks + i] for i in range(output.blocks)]
        size = channel.psf.voxel_size_um
        checks.append(
            {
                "channel": channel.name,
                "time": time_point,
                **function.fitted(position, c),
                **stack_summary(lines, apart=channel.apart, voxel_size_um=size),
            }
        )
    started = time.perf_counter()
    factors = write_pyramid(store, reduce=largest_of_data)
    summary = {
        "voxels": prod(shape),
        "seconds": round(
            sum(line["seconds"] for line in done.lines.values()) + time.perf_counter() - started, 3
        ),
        "peak_memory_gb": round(peak_memory_gb(), 3),
        "checks": checks,
    }
    write_metadata(
        store,
        name=f"{record.name} {method}: consistency (z)",
        factors=factors,
        windows=[WINDOW] * len(channels),
        **record.kept({c.name: c.index for c in channels}, chosen),
        kind="largest absolute value",
        attributes={
            "decon3d": {
                "version": __version__,
                "method": method,
                "source": record.source,
                "key": key,
                "epsilon": EPSILON,
                "threshold": THRESHOLD,
                "summary": summary,
            }
        },
    )
    done.path.unlink()
    return summary


@dataclass(frozen=True)
class _Map:
    """The function that compares a block of a restored volume with the raw one."""

    record: VolumeRecord
    raw: Volume
    restored: Volume
    times: list[int]
    """The restored time points, as in the raw volume."""
    channels: Sequence[ChannelCheck]
    checkers: list[Checker]
    seed: int
    done: Progress
    """Also keeps α, β and the energy of each time point and channel."""

    def read(self, item: Item) -> tuple[FloatArray, FloatArray]:
        return self.read_block(item.time, item.channel, item.block)

    def read_block(self, time: int, channel: int, place: Block) -> tuple[FloatArray, FloatArray]:
        """Read a block of both volumes; `time` and `channel` are those of the restored one."""
        return _read_pair(
            self.record,
            (self.raw, self.restored),
            raw_at=(self.times[time], self.channels[channel].index),
            restored_at=(time, channel),
            place=place,
        )

    def compute(self, item: Item, inputs: tuple[FloatArray, FloatArray]) -> FloatArray:
        checker, found = self.checkers[item.channel], self.fitted(item.time, item.channel)
        scale = Scale(found["alpha"], found["beta"], found["fitted"])
        # The block has the largest halo of all channels.
        more = [part.start - h for part, h in zip(item.block.inner, checker.halo, strict=True)]
        cut = tuple(slice(m, n - m) for m, n in zip(more, inputs[0].shape, strict=True))
        written = tuple(slice(0, part.stop - part.start) for part in item.block.write)

        def z() -> FloatArray:
            raw, restored = (values[cut] for values in inputs)
            return checker.z(raw, restored, scale)[written]

        return with_data(inputs[0], item.block, fill=np.nan, compute=z)[0]

    def fitted(self, time: int, channel: int) -> dict[str, Any]:
        """Return `Scale` of a stack as JSON, and the share of its energy that is not verifiable."""
        return self.done.value(0, f"scale/{time}/{channel}", lambda: self._fit(time, channel))

    def _fit(self, time: int, channel: int) -> dict[str, Any]:
        checker, check = self.checkers[channel], self.channels[channel]
        rng = generator(self.seed, "consistency", self.record.name, check.name, self.times[time])
        shape: Triple = self.restored.shape[2:]
        samples, insides = [], []
        for region in draw_cells(shape, count=CELLS, rng=rng):
            place = block_of(region, shape, halo=half_width(check.psf))
            raw, restored = self.read_block(time, channel, place)
            samples.append(checker.voxels(raw, restored))
            insides.append(np.where(np.isnan(raw), np.nan, restored)[place.inner])
        share = not_verifiable(insides, Support(check.psf))
        known = None if np.isnan(share) else share
        return {**asdict(checker.fit(samples)), "not_verifiable": known}

    def result(self, item: Item, computed: FloatArray) -> tuple[FloatArray, dict[str, Any]]:
        apart = self.channels[item.channel].apart
        return computed, block_summary(item.block, computed, apart=apart)

    def check_inputs(self, output: int) -> None:
        check_unchanged(self.record.path, self.record.seen)


def reblurred(
    record: VolumeRecord,
    restored: str,
    *,
    channel: ChannelCheck,
    position: int,
    time_point: int,
    restored_time: int,
    scale: Scale,
    region: Region,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a region's raw counts, restored counts, and the raw counts that these predict.

    Parameters
    ----------
    record, restored
        The raw volume, and the store of the restored one.
    channel, position
        The inputs of the channel's check, and its position in the restored volume.
    time_point, restored_time
        In the raw and in the restored volume.
    scale
        As found for this time point and channel.
    region
        Slices (Z, Y, X).

    Returns
    -------
    three arrays (Z, Y, X), float32
        In counts; NaN where the raw volume has no data.
    """
    checker = Checker(psf=channel.psf, noise=channel.noise, background=channel.background)
    place = block_of(region, record.shape[2:], halo=half_width(channel.psf))
    raw, result = _read_pair(
        record,
        (record.open(), open_volume(restored)),
        raw_at=(time_point, channel.index),
        restored_at=(restored_time, position),
        place=place,
    )
    light, _ = checker.blurred(result, ~np.isnan(raw))
    return raw[place.inner], result[place.inner], checker.predicted(light, scale)


def _read_pair(
    record: VolumeRecord,
    volumes: tuple[Volume, Volume],
    *,
    raw_at: tuple[int, int],
    restored_at: tuple[int, int],
    place: Block,
) -> tuple[FloatArray, FloatArray]:
    """Read a block, with its halo, of the raw and of the restored volume; NaN beyond them.

    `raw_at` and `restored_at` are a time point and a channel of each.
    """
    raw = read_marked(volumes[0], *raw_at, place.read, record.fill(raw_at[1]))
    restored = volumes[1].read(*restored_at, place.read)
    return beyond(raw, place.face), beyond(restored, place.face)
