"""Consistency maps of whole volumes of any size, block by block, as OME-Zarr, with a summary.

The geometry is that of restorations; the reading of two volumes, and the single job per method, are
simpler. A map that is finished for the same inputs is kept; one that was begun resumes at its first
unfinished block.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

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
from decon3d.evaluation.map_progress import start_or_resume
from decon3d.evaluation.noise import Noise
from decon3d.evaluation.not_verifiable import Support, not_verifiable
from decon3d.evaluation.records import Record, volume_record
from decon3d.files import announce_output, digest, read_json
from decon3d.logs import log, progress
from decon3d.optics.psf import Psf, fingerprint, half_width
from decon3d.restoration.blocks import Block, Region, Triple, block_at, choose_block, grid
from decon3d.restoration.part import peak_memory_gb
from decon3d.restoration.sample import BLOCK, draw_cells
from decon3d.seeds import generator
from decon3d.signals import catch_sigterm
from decon3d.versions import VERSIONS, __version__
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.fingerprints import check_unchanged
from decon3d.volumes.manifest import damages
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
    image, result = record.open(), open_volume(restored)
    chosen = list(range(record.shape[0]) if times is None else times)
    shape: Triple = record.shape[2:]
    if result.shape != (len(chosen), len(channels), *shape):
        raise UserError(
            f"{restored} has the shape {result.shape} (T, C, Z, Y, X), but the raw volume requires "
            f"{(len(chosen), len(channels), *shape)}; restore it again"
        )
    made: Any = open_group(restored).attrs.get("decon3d", {})
    key = digest(
        [
            record.identity,
            made.get("key"),
            chosen,
            [_description(c) for c in channels],
            EPSILON,
            THRESHOLD,
            seed,
            VERSIONS["consistency"],
        ]
    )
    finished = Path(store) / "zarr.json"
    if finished.exists():
        known = read_json(finished)["attributes"].get("decon3d", {})
        if known.get("key") == key and not damages(store, look="checksums"):
            log.info("%s: its map is finished", record.name)
            return dict(known["summary"])
    makers = [
        Checker(psf=c.psf, noise=c.noise, background=c.background, threads=threads)
        for c in channels
    ]
    z, y, x = (max(m.halo[axis] for m in makers) for axis in range(3))
    try:
        block, chunk = choose_block(
            shape,
            halo=(z, y, x),
            stride=(1, 1, 1),
            bytes_per_voxel=BYTES_PER_VOXEL,
            memory_bytes=min(memory_gb, MEMORY_GB) * 1e9,
        )
    except MemoryError as error:
        raise UserError(
            f"restoration.memory_gb: too little for the consistency map of {record.name}: {error}"
        ) from None
    level_0, done = start_or_resume(
        store, shape=(len(chosen), len(channels), *shape), chunk=chunk, block=block, key=key
    )
    announce_output(1.4 * 4 * prod(level_0.shape) / 1e9)  # float32, and the pyramid
    blocks = prod(grid(shape, block))
    checks = []
    voxels = prod(shape) * len(chosen) * len(channels)
    with (
        catch_sigterm() as stopped,
        progress(
            total=voxels / 1e6,
            what=f"consistency of {method}, {record.name}",
            unit="Mvoxel",
            initial=done.voxels / 1e6,
        ) as bar,
    ):
        for position, time_point in enumerate(chosen):
            for c, (channel, checker) in enumerate(zip(channels, makers, strict=True)):
                pair = _Pair(
                    image,
                    result,
                    time_point,
                    position,
                    channel.index,
                    c,
                    record.fill(channel.index),
                    shape,
                )
                if (position, c, None) not in done:
                    rng = generator(seed, "consistency", record.name, channel.name, time_point)
                    fitted, share = _look(pair, draw_cells(shape, count=CELLS, rng=rng), checker)
                    done.add(position, c, None, not_verifiable=share, **asdict(fitted))
                found = done[position, c, None]
                scale = Scale(found["alpha"], found["beta"], found["fitted"])
                apart = _apart(channel.psf)
                todo = [index for index in range(blocks) if (position, c, index) not in done]
                for index, place, values in _blocks(pair, checker, scale, block, todo):
                    # zarr reads a shard at an edge before it writes it, and an old one may be
                    # damaged.
                    done.shard(position, c, index).unlink(missing_ok=True)
                    level_0[(position, c, *place.write)] = values
                    done.add(position, c, index, **_shown(place, values, apart))
                    bar.update(values.size / 1e6)
                    if stopped() and (left := blocks * len(chosen) * len(channels) - done.blocks):
                        raise UserError(
                            f"the consistency of {method}, {record.name}, was stopped by SIGTERM "
                            f"with {left} of its blocks left; run it again to resume there"
                        )
                lines = [done[position, c, index] for index in range(blocks)]
                checks.append(
                    {
                        "channel": channel.name,
                        "time": time_point,
                        **asdict(scale),
                        "not_verifiable": found["not_verifiable"],
                        **_summary(lines, apart, channel.psf.voxel_size_um),
                    }
                )
    started = time.perf_counter()
    check_unchanged(record.path, record.seen)
    factors = write_pyramid(store, reduce=largest_of_data)
    summary = {
        "voxels": voxels,
        "seconds": round(done.seconds + time.perf_counter() - started, 3),
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


def _description(channel: ChannelCheck) -> dict[str, Any]:
    return {
        "name": channel.name,
        "index": channel.index,
        "psf": fingerprint(channel.psf),
        "noise": asdict(channel.noise),
        "background": channel.background,
    }


@dataclass(frozen=True)
class _Pair:
    """One time point and channel of a raw and of a restored volume."""

    raw: Volume
    restored: Volume
    raw_time: int
    restored_time: int
    raw_channel: int
    restored_channel: int
    fill: float | None
    shape: Triple

    def read(self, place: Block) -> tuple[FloatArray, FloatArray]:
        """Read a block with its halo; NaN beyond the volume."""
        raw = read_marked(self.raw, self.raw_time, self.raw_channel, place.read, self.fill)
        restored = self.restored.read(self.restored_time, self.restored_channel, place.read)
        return beyond(raw, place.face), beyond(restored, place.face)


def _around(region: Region, shape: Triple, halo: Triple) -> Block:
    """Return any region of a volume with a halo, as a block."""
    low = [r.start - h for r, h in zip(region, halo, strict=True)]
    high = [r.stop + h for r, h in zip(region, halo, strict=True)]
    read = [slice(max(a, 0), min(b, n)) for a, b, n in zip(low, high, shape, strict=True)]
    face = [(r.start - a, b - r.stop) for r, a, b in zip(read, low, high, strict=True)]
    inner = [slice(h, h + r.stop - r.start) for r, h in zip(region, halo, strict=True)]
    return Block(region, tuple(read), tuple(face), tuple(inner))  # type: ignore[arg-type]


def _look(pair: _Pair, cells: Sequence[Region], checker: Checker) -> tuple[Scale, float | None]:
    """Fit α and β in some cells, and find the share of their energy that cannot be verified."""
    samples, insides = [], []
    for region in cells:
        place = _around(region, pair.shape, half_width(checker.psf))
        raw, restored = pair.read(place)
        samples.append(checker.voxels(raw, restored))
        insides.append(np.where(np.isnan(raw), np.nan, restored)[place.inner])
    share = not_verifiable(insides, Support(checker.psf))
    return checker.fit(samples), None if np.isnan(share) else share


def _blocks(
    pair: _Pair, checker: Checker, scale: Scale, block: Triple, todo: Iterable[int]
) -> Iterator[tuple[int, Block, FloatArray]]:
    """Yield the map of some blocks of a time point and channel, with their numbers.

    All blocks are padded to one size, so that one blur works for all.
    """
    for index in todo:
        place = block_at(index, shape=pair.shape, block=block, halo=checker.halo)
        raw, restored = pair.read(place)
        size = [s.stop - s.start for s in place.write]
        if np.isnan(raw[place.inner]).all():
            yield index, place, np.full(size, np.nan, np.float32)
            continue
        rest = [(0, b - n) for b, n in zip(block, size, strict=True)]
        values = checker.z(beyond(raw, rest), beyond(restored, rest), scale)
        yield index, place, values[tuple(slice(0, n) for n in size)]


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
    shape: Triple = record.shape[2:]
    pair = _Pair(
        record.open(),
        open_volume(restored),
        time_point,
        restored_time,
        channel.index,
        position,
        record.fill(channel.index),
        shape,
    )
    checker = Checker(psf=channel.psf, noise=channel.noise, background=channel.background)
    place = _around(region, shape, half_width(channel.psf))
    raw, result = pair.read(place)
    light, _ = checker.blurred(result, ~np.isnan(raw))
    return raw[place.inner], result[place.inner], checker.predicted(light, scale)


def _apart(psf: Psf) -> Triple:
    """Distance (Z, Y, X) in voxels of two places that are listed."""
    z, y, x = (max(2, round(APART * w)) for w in width_voxels(psf))
    return (z, y, x)


def _shown(place: Block, values: FloatArray, apart: Triple) -> dict[str, Any]:
    """Summarise a block."""
    corner = [s.start for s in place.write]
    return {
        "voxels": values.size,
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
