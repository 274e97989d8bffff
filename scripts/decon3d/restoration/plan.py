"""The plan of a restoration: blocks, their division among parts, outputs.

One work list over volume × time × channel × block is cut into parts of equal cost. A block is
one shard of the output, the unit of writing, and belongs to one part only. The plan fixes
everything that could make parts differ from each other.
"""

from bisect import bisect_right
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from math import lcm, prod
from pathlib import Path
from typing import Any

import numpy as np

from decon3d.blocks.geometry import BLOCK_COST, Triple, choose_block, padded_voxels, triple
from decon3d.blocks.work import Output, WorkList
from decon3d.errors import DamagedError
from decon3d.files import digest, read_json, read_record, write_record
from decon3d.logs import log
from decon3d.networks.engines import Engine, choose_engine
from decon3d.restoration.restorers import State
from decon3d.restoration.sections import Restoration
from decon3d.versions import VERSIONS
from decon3d.volumes.manifest import Layout
from decon3d.volumes.volume_record import VolumeRecord

MOST_WORK = 6.0
"""Voxels computed per voxel of the volumes above which the log recommends more memory."""


@dataclass(frozen=True)
class VolumePlan:
    """The blocks of one volume, from its view (what ingest made or checked) to its output.

    Triples are Z, Y, X, in voxels; `times` and `channels` index the input. `dtype` is that of the
    restored counts. `key` is a hash of all that decides them. While it stays the same, finished
    blocks are kept, even if other volumes are added.
    """

    name: str
    view: str
    store: str
    shape: Triple
    dtype: str
    times: list[int]
    channels: dict[str, int]
    chunk: Triple
    block: Triple
    key: str
    no_data: dict[str, float | None]
    """Value of the voxels without data, by channel; None = there is none."""
    clip_at_zero: bool = False
    seen: str = ""
    """Fingerprint of a view that is not this project's, to be checked after reading."""

    @property
    def output(self) -> Output:
        """The array that the blocks are written to."""
        shape = (len(self.times), len(self.channels), *self.shape)
        return Output(self.store, shape, self.dtype, self.chunk, self.block, self.key)

    def fill(self, channel: int) -> float | None:
        """Return the value of voxels without data in a channel, by its place in the output."""
        return list(self.no_data.values())[channel]


@dataclass(frozen=True)
class Plan:
    """The whole plan of one dataset and method.

    `restorers` describes the state of each channel's restorer; `halo` and `stride` are voxels
    (Z, Y, X) that suit all of them.
    """

    method: str
    restorers: list[dict[str, Any]]
    halo: Triple
    stride: Triple
    mirror: bool
    output_dtype: str
    engine: Engine | None
    """Engine of a network; None = a classical method."""
    tile: Triple | None
    """Largest tile of the restorers' second step; None = they have none."""
    volumes: list[VolumePlan]
    bounds: list[int]
    """Part i does the items from bounds[i] up to bounds[i + 1]."""
    block_memory_gb: float
    warnings: dict[str, list[str]]
    """Warnings about this method, by volume; without effect on the work."""

    @property
    def digest(self) -> str:
        """Hash of the whole plan."""
        return digest({**asdict(self), "warnings": None})

    @cached_property
    def work(self) -> WorkList:
        """The blocks of all volumes."""
        outputs = [volume.output for volume in self.volumes]
        return WorkList(outputs, self.halo, self.stride, self.mirror)

    def numbers(self, part: int) -> range:
        """Return the items of the work list that a part does."""
        return range(self.bounds[part], self.bounds[part + 1])

    def part_of(self, number: int) -> int:
        """Return the part that does an item of the work list."""
        return bisect_right(self.bounds, number) - 1

    def loads(self) -> list[dict[str, float]]:
        """Return the blocks and the uncompressed input, work and output of each part."""
        halo, found = self.halo, []
        for first, last in pairwise(self.bounds):
            blocks = computed = read = written = 0
            for v, (start, stop) in zip(self.volumes, pairwise(self.work.starts), strict=True):
                count = max(0, min(last, stop) - max(first, start))
                blocks += count
                computed += count * padded_voxels(v.block, v.shape, halo=halo, mirror=self.mirror)
                read += count * padded_voxels(v.block, v.shape, halo=halo, mirror=False)
                written += count * prod(v.block) * np.dtype(v.dtype).itemsize
            found.append(
                {
                    "blocks": blocks,
                    "computed_mvoxel": round(computed / 1e6, 3),
                    "read_mvoxel": round(read / 1e6, 3),
                    "written_gb": round(written / 1e9, 6),
                }
            )
        return found


def load_plan(path: str | Path) -> Plan:
    """Read a plan that `make_plan` wrote.

    Raises
    ------
    DamagedError
        If it is missing or was changed.
    """
    content = read_record(path)
    for key in ("summary", "parts", "block_mb"):
        content.pop(key, None)
    for volume in content["volumes"]:
        for key in ("shape", "chunk", "block"):
            volume[key] = tuple(volume[key])
    content["volumes"] = [VolumePlan(**v) for v in content["volumes"]]
    content.update(halo=tuple(content["halo"]), stride=tuple(content["stride"]))
    content["tile"] = content["tile"] and tuple(content["tile"])
    if content["engine"] is not None:
        content["engine"] = Engine(**content["engine"])
    return Plan(**content)


def make_plan(
    *,
    method: str,
    states: dict[str, State],
    records: list[VolumeRecord],
    stores: list[str],
    channels: dict[str, int],
    times: list[int] | None,
    restoration: Restoration,
    path: str | Path,
    gpu: bool = False,
    warnings: dict[str, list[str]] | None = None,
) -> Plan:
    """Plan the restoration of a dataset's volumes and create the empty level 0 of each output.

    An output that was made for the same key stays, with its content. A finished one keeps its
    block, whatever memory and parts are now: neither redoes what is done.

    Parameters
    ----------
    states
        The prepared restorer of each channel.
    records, stores
        The ingested volumes, and where their restorations go.
    channels
        Channels to restore, with their index in the input.
    times
        Time points to restore; None = all.
    path
        Where the plan is written.
    gpu
        Whether the parts request a GPU.
    warnings
        Warnings by volume (`bundle_checks.training_warnings`).

    Raises
    ------
    UserError
        If the smallest block does not fit the memory, or the engine is not available.
    """
    every = [states[name] for name in channels]
    stride = triple(lcm(*sizes) for sizes in zip(*(s.stride for s in every), strict=True))
    halos = zip(*(s.halo for s in every), stride, strict=True)
    halo = triple(-(-max(sizes) // step) * step for *sizes, step in halos)  # in whole strides
    mirror = every[0].mirror
    bytes_per_voxel = max(s.bytes_per_voxel for s in every)
    second = every[0].second_step  # the same for all channels: one method has one network
    memory_bytes = restoration.memory_gb * 1e9
    engine = None
    if any(s.of_network for s in every):
        engine = choose_engine(restoration.engine, restoration.precision, gpu=gpu)
        bytes_per_voxel *= 1 if second else engine.memory
    volumes = []
    for record, store in zip(records, stores, strict=True):
        shape: Triple = record.shape[2:]
        chosen = list(range(record.shape[0])) if times is None else list(times)
        dtype = record.dtype if restoration.output_dtype == "input" else "float32"
        decisive = [
            record.identity,
            [s.identity for s in every],
            engine and asdict(engine),
            dtype,
            chosen,
            channels,
        ]
        units = len(chosen) * len(channels) * len(records)
        block, chunk = _finished_layout(store, decisive) or choose_block(
            shape,
            halo=halo,
            stride=stride,
            bytes_per_voxel=bytes_per_voxel,
            memory_bytes=memory_bytes,
            at_least=-(-restoration.parts // units),
            mirror=mirror,
        )
        volumes.append(
            VolumePlan(
                record.name,
                record.path,
                store,
                shape,
                dtype,
                chosen,
                dict(channels),
                chunk,
                block,
                _key(decisive, block, chunk),
                {n: record.fill(i) for n, i in channels.items()},
                record.clip_at_zero,
                record.seen,
            )
        )
    padded = [padded_voxels(v.block, v.shape, halo=halo, mirror=mirror) for v in volumes]
    block_bytes = max(padded) * bytes_per_voxel
    tile = None
    if second and engine:
        held = max(padded) * second.held_bytes_per_voxel
        per_voxel = second.bytes_per_voxel * engine.memory
        tile, _ = choose_block(
            triple(max(sizes) for sizes in zip(*(v.block for v in volumes), strict=True)),
            halo=second.halo,
            stride=stride,
            bytes_per_voxel=per_voxel,
            memory_bytes=memory_bytes,
            reserved_bytes=held,
        )
        tile_voxels = padded_voxels(tile, tile, halo=second.halo, mirror=True)
        block_bytes = max(block_bytes, held + tile_voxels * per_voxel)
    plan = Plan(
        method=method,
        restorers=[s.description for s in every],
        halo=halo,
        stride=stride,
        mirror=mirror,
        output_dtype=restoration.output_dtype,
        engine=engine,
        tile=tile,
        volumes=volumes,
        bounds=_cut([v.output.items for v in volumes], padded, restoration.parts),
        block_memory_gb=block_bytes / 1e9,
        warnings=warnings or {},
    )
    for volume in volumes:
        volume.output.create()
    _write(plan, path, block_mb=round(1000 * restoration.memory_gb))
    read = [padded_voxels(v.block, v.shape, halo=halo, mirror=False) for v in volumes]
    work = sum(n * v.output.items for n, v in zip(read, volumes, strict=True))
    ratio = work / sum(prod(v.output.shape) for v in volumes)
    if ratio > MOST_WORK:
        log.warning(
            "restoration.memory_gb: %g: the blocks of %s have, with their halos, %.0f times the "
            "voxels of the volumes; with more memory (or fewer parts), the restoration is faster",
            restoration.memory_gb,
            method,
            ratio,
        )
    return plan


def _write(plan: Plan, path: str | Path, *, block_mb: int) -> None:
    summary = _summary(plan)
    log.info("%s: %s", plan.method, summary)
    loads = plan.loads()
    for number, part in enumerate(loads):
        log.info(
            "part %d: %d block(s), %.4g Mvoxel to compute, %.3g GB to write",
            number,
            part["blocks"],
            part["computed_mvoxel"],
            part["written_gb"],
        )
    extra = {"summary": summary, "parts": loads, "block_mb": block_mb}
    write_record(path, {**asdict(plan), **extra})


def _cut(items: list[int], padded: list[int], parts: int) -> list[int]:
    """Cut the work list where the accumulated cost passes equal shares; parts may be empty.

    Parameters
    ----------
    items, padded
        Of each volume: its blocks, and the voxels of one with its halo.
    """
    ends = np.concatenate([[0], np.cumsum(items)])
    cost = np.concatenate([[0.0], np.cumsum(items * (np.array(padded) + BLOCK_COST))])
    shares = np.interp(np.linspace(0, cost[-1], parts + 1), cost, ends)
    bounds = np.rint(shares).astype(int).tolist()
    assert bounds[0] == 0 and bounds[-1] == ends[-1]
    assert all(a <= b for a, b in pairwise(bounds))
    return bounds


def _key(decisive: list[Any], block: Triple, chunk: Triple) -> str:
    """Hash all that decides the restored voxels."""
    return digest([*decisive, chunk, block, VERSIONS["restore"]])


def _finished_layout(store: str, decisive: list[Any]) -> tuple[Triple, Triple] | None:
    """Return a finished volume's block and chunk; None = it is unfinished, damaged or outdated."""
    try:
        key = read_json(Path(store, "zarr.json"))["attributes"]["decon3d"]["key"]
        layout = Layout.of(read_json(Path(store, "0", "zarr.json")))
        block, chunk = triple(layout.file[2:]), triple((layout.chunk or ())[2:])
    except (DamagedError, KeyError, TypeError, IndexError, ValueError):
        return None
    return (block, chunk) if key == _key(decisive, block, chunk) else None


def _summary(plan: Plan) -> str:
    voxels = sum(prod(v.shape) * len(v.times) * len(v.channels) for v in plan.volumes)
    blocks = sorted({v.block for v in plan.volumes})
    by = "" if plan.engine is None else f" by {plan.engine.name} in {plan.engine.precision}"
    return (
        f"{len(plan.volumes)} volume(s), {voxels / 1e6:.1f} Mvoxel in {plan.bounds[-1]} block(s) "
        f"of up to {blocks[-1]} with halo {plan.halo} (Z, Y, X), {len(plan.bounds) - 1} "
        f"part(s){by}, about {plan.block_memory_gb:.2f} GB per block"
    )
