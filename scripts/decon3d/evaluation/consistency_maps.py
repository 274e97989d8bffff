"""Consistency maps of whole volumes of any size, block by block, as OME-Zarr, with a summary.

The geometry is that of restorations; the reading of two volumes, and the single job per method, are
simpler. A map that is finished for the same inputs is kept; one that was begun resumes at its first
unfinished block.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from decon3d.blocks.compute import with_data
from decon3d.blocks.geometry import Block, Region, Triple, block_of, choose_block
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
from decon3d.evaluation.noise import Noise
from decon3d.evaluation.not_verifiable import Support, not_verifiable
from decon3d.evaluation.records import Record, volume_record
from decon3d.files import digest
from decon3d.logs import log
from decon3d.optics.psf import Psf, fingerprint, half_width
from decon3d.restoration.sample import BLOCK, draw_cells
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
WORST = 10
"""Places that are listed per time point and channel."""
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


@dataclass(frozen=True)
class Place:
    """A voxel whose z is farther from 0 than that of its surroundings."""

    voxel: Triple
    """Z, Y, X."""
    z: float


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
        For a block; no more than 1 GB is used.
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
    function = _Map(record, restored, channels, times, seed=seed, threads=threads)
    shape = function.restored.shape
    made: Any = open_group(restored).attrs.get("decon3d", {})
    key = digest(
        [
            record.identity,
            made.get("key"),
            function.times,
            [_description(c) for c in channels],
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
    block, chunk = choose_block(
        shape[2:],
        halo=function.halo,
        stride=(1, 1, 1),
        bytes_per_voxel=BYTES_PER_VOXEL,
        memory_bytes=min(memory_gb, MEMORY_GB) * 1e9,
    )
    output = Output(store, shape, "float32", chunk, block, digest([key, chunk, block]))
    output.create()
    begin_store(store)
    work = WorkList([output], function.halo)
    numbers = range(len(work))
    function.done = done = Progress(Path(store) / "0.progress", work, numbers)
    run_blocks(function, work, numbers, done=done, what=f"consistency of {method}, {record.name}")
    checks = []
    for position, time_point in enumerate(function.times):
        for c, channel in enumerate(channels):
            stack = position * len(channels) + c
            lines = [done.lines[stack * output.blocks + i] for i in range(output.blocks)]
            checks.append(
                {
                    "channel": channel.name,
                    "time": time_point,
                    **function.fitted(position, c),
                    **_summary(lines, _apart(channel.psf), channel.psf.voxel_size_um),
                }
            )
    started = time.perf_counter()
    check_unchanged(record.path, record.seen)
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
        **record.kept({c.name: c.index for c in channels}, function.times),
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


def _description(channel: ChannelCheck) -> dict[str, Any]:
    return {
        "name": channel.name,
        "index": channel.index,
        "psf": fingerprint(channel.psf),
        "noise": asdict(channel.noise),
        "background": channel.background,
    }


class _Map:
    """The function that compares a block of a restored volume with the raw one.

    Attributes
    ----------
    times
        The restored time points, as in the raw volume.
    halo
        Voxels (Z, Y, X) around a block that it depends on.
    done
        The progress of the map, which also keeps α, β and the energy of each stack.
    """

    def __init__(
        self,
        record: VolumeRecord,
        restored: str,
        channels: Sequence[ChannelCheck],
        times: Sequence[int] | None,
        *,
        seed: int = 0,
        threads: int = 1,
    ) -> None:
        self.times = list(range(record.shape[0]) if times is None else times)
        self.raw, self.restored = record.open(), open_volume(restored)
        expected = (len(self.times), len(channels), *record.shape[2:])
        if self.restored.shape != expected:
            raise UserError(
                f"{restored} has the shape {self.restored.shape} (T, C, Z, Y, X), but the raw "
                f"volume requires {expected}; restore it again"
            )
        self._record = record
        self._channels = channels
        self._seed = seed
        self._checkers = [
            Checker(psf=c.psf, noise=c.noise, background=c.background, threads=threads)
            for c in channels
        ]
        z, y, x = (max(c.halo[axis] for c in self._checkers) for axis in range(3))
        self.halo: Triple = (z, y, x)
        self.done: Progress | None = None

    def read(self, item: Item) -> tuple[FloatArray, FloatArray]:
        return self.read_block(item.time, item.channel, item.block)

    def read_block(self, time: int, channel: int, place: Block) -> tuple[FloatArray, FloatArray]:
        """Read a block of both volumes; `time` and `channel` are those of the restored one."""
        return _read_pair(
            self._record,
            (self.raw, self.restored),
            raw_at=(self.times[time], self._channels[channel].index),
            restored_at=(time, channel),
            place=place,
        )

    def compute(self, item: Item, inputs: tuple[FloatArray, FloatArray]) -> FloatArray:
        checker, found = self._checkers[item.channel], self.fitted(item.time, item.channel)
        scale = Scale(found["alpha"], found["beta"], found["fitted"])
        written = [part.stop - part.start for part in item.block.write]
        cut, rest = [], []
        for n, size, wide, halo in zip(
            written, inputs[0].shape, self.halo, checker.halo, strict=True
        ):
            cut.append(slice(wide - halo, size - (wide - halo)))
            rest.append((0, size - 2 * wide - n))  # one size for all blocks, so one blur

        def z() -> FloatArray:
            raw, restored = (beyond(values[tuple(cut)], rest) for values in inputs)
            values = checker.z(raw, restored, scale)
            return values[tuple(slice(0, n) for n in written)]

        return with_data(inputs[0], item.block, fill=np.nan, compute=z)[0]

    def fitted(self, time: int, channel: int) -> dict[str, Any]:
        """Return `Scale` of a stack as JSON, and the share of its energy that is not verifiable."""
        assert self.done is not None
        return self.done.value(0, f"scale/{time}/{channel}", lambda: self._fit(time, channel))

    def _fit(self, time: int, channel: int) -> dict[str, Any]:
        checker, check = self._checkers[channel], self._channels[channel]
        rng = generator(self._seed, "consistency", self._record.name, check.name, self.times[time])
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
        return computed, _shown(item.block, computed, _apart(self._channels[item.channel].psf))

    def check_inputs(self, output: int) -> None:
        check_unchanged(self._record.path, self._record.seen)


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


def _apart(psf: Psf) -> Triple:
    """Distance (Z, Y, X) in voxels of two places that are listed."""
    z, y, x = (max(2, round(APART * w)) for w in width_voxels(psf))
    return (z, y, x)


def _shown(place: Block, values: FloatArray, apart: Triple) -> dict[str, Any]:
    """Summarise a block."""
    corner = [s.start for s in place.write]
    return {
        "judged": int(np.count_nonzero(~np.isnan(values))),
        "invented": int(np.count_nonzero(values <= -THRESHOLD)),
        "missed": int(np.count_nonzero(values >= THRESHOLD)),
        "squares": float(np.nansum(np.square(values), dtype=np.float64)),
        "worst": [
            [*(i + c for i, c in zip(p.voxel, corner, strict=True)), p.z]
            for p in worst_places(values, apart=apart, count=WORST)
        ],
    }


def _summary(
    lines: list[dict[str, Any]], apart: Triple, voxel_size_um: tuple[float, float, float]
) -> dict[str, Any]:
    """Sum up the blocks of a time point and channel: shares and worst places."""
    total = {
        name: sum(line[name] for line in lines)
        for name in ("voxels", "judged", "invented", "missed", "squares")
    }
    judged = max(total["judged"], 1)
    places = [Place((z, y, x), value) for line in lines for z, y, x, value in line["worst"]]
    return {
        "judged": total["judged"] / total["voxels"],
        "flagged": (total["invented"] + total["missed"]) / judged,
        "invented": total["invented"] / judged,
        "missed": total["missed"] / judged,
        "z_rms": (total["squares"] / judged) ** 0.5,
        "worst": [
            {
                "voxel": list(p.voxel),
                "um": [
                    round((i + 0.5) * v, 4) for i, v in zip(p.voxel, voxel_size_um, strict=True)
                ],
                "z": p.z,
            }
            for p in _spread(places, apart)[:WORST]
        ],
    }


def worst_places(values: FloatArray, *, apart: Triple, count: int) -> list[Place]:
    """Find the places with the largest |z|, the largest first.

    Parameters
    ----------
    values
        z (Z, Y, X); NaN = not judged.
    apart
        Voxels (Z, Y, X) around each place in which no other one is looked for.
    count
        How many, at most.
    """
    size = np.abs(values)
    size[np.isnan(size)] = -1
    found = []
    for _ in range(count):
        z, y, x = (int(i) for i in np.unravel_index(int(np.argmax(size)), size.shape))
        if size[z, y, x] < 0:
            break
        found.append(Place((z, y, x), float(values[z, y, x])))
        size[
            tuple(slice(max(i - a, 0), i + a + 1) for i, a in zip((z, y, x), apart, strict=True))
        ] = -1
    return found


def _spread(places: list[Place], apart: Triple) -> list[Place]:
    """Keep the largest of the places that blocks on both sides of a face found."""
    kept: list[Place] = []
    for place in sorted(places, key=lambda p: (-abs(p.z), p.voxel)):
        if not any(
            all(abs(a - b) <= d for a, b, d in zip(place.voxel, k.voxel, apart, strict=True))
            for k in kept
        ):
            kept.append(place)
    return kept


def volume_records(
    summary: dict[str, Any], *, dataset: str, method: str, volume: str
) -> list[Record]:
    """Make rows of `metrics.csv` from a volume's map: means over its time points."""
    records = []
    for channel in dict.fromkeys(check["channel"] for check in summary["checks"]):
        checks = [check for check in summary["checks"] if check["channel"] == channel]
        judged = [check for check in checks if check["judged"] > 0]
        shares = [c["not_verifiable"] for c in checks if c["not_verifiable"] is not None]
        for metric, values, told in (
            (
                "consistency_flagged",
                [c["flagged"] for c in judged],
                f"share of voxels with |z| ≥ {THRESHOLD:g}, ε {EPSILON:g}",
            ),
            ("not_verifiable", shares, f"energy outside the OTF, Hann windows of {BLOCK}"),
        ):
            records.append(
                volume_record(
                    dataset=dataset,
                    channel=channel,
                    method=method,
                    subject=f"volume/{volume}",
                    split="data",
                    metric=metric,
                    value=float(np.mean(values)) if values else float("nan"),
                    implementation=f"decon3d {__version__}: {told}",
                )
            )
    return records
