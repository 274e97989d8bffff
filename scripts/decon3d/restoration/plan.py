"""The plan of a restoration: blocks, their division among parts, outputs.

One work list over volume × time × channel × block is cut into parts of equal cost. A block is
one shard of the output, the unit of writing, and belongs to one part only. The plan fixes
everything that could make parts differ from each other.
"""

import shutil
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from math import lcm, prod
from pathlib import Path
from typing import Any

import numpy as np

from decon3d.errors import DamagedError, UserError
from decon3d.files import digest, read_json, read_record, write_record
from decon3d.logs import log
from decon3d.networks.engines import Engine, choose_engine
from decon3d.restoration.blocks import (
    BLOCK_COST,
    Block,
    Triple,
    block_at,
    choose_block,
    grid,
)
from decon3d.restoration.restorers import State
from decon3d.restoration.sections import Restoration
from decon3d.versions import VERSIONS
from decon3d.volumes.checked_stores import open_array
from decon3d.volumes.manifest import Layout, checksum_of, inner_chunks
from decon3d.volumes.volume_record import VolumeRecord
from decon3d.volumes.writer import create_level


@dataclass(frozen=True)
class Item:
    """One block of one time point and channel.

    `number` counts within the work list, `time` and `channel` within the output.
    """

    number: int
    volume: int
    time: int
    channel: int
    block: Block

    @property
    def voxels(self) -> int:
        """Voxels that the item writes."""
        return prod(s.stop - s.start for s in self.block.write)


@dataclass(frozen=True)
class VolumePlan:
    """The blocks of one volume. Triples are Z, Y, X; `times` and `channels` index the input.

    `key` is a hash of all that decides the restored voxels. While it stays the same, finished
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
    def blocks(self) -> int:
        """Blocks per time point and channel."""
        return prod(grid(self.shape, self.block))

    @property
    def items(self) -> int:
        """Blocks in all."""
        return self.blocks * len(self.times) * len(self.channels)

    def fill(self, channel: int) -> float | None:
        """Return the value of voxels without data in a channel, by its place in the output."""
        return list(self.no_data.values())[channel]


@dataclass(frozen=True)
class Plan:
    """The whole plan of one dataset and method."""

    method: str
    restorers: list[dict[str, Any]]
    halo: Triple
    stride: Triple
    mirror: bool
    output_dtype: str
    engine: Engine | None
    """Engine of a network; None = a classical method."""
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
    def starts(self) -> list[int]:
        """Running number of each volume's first item."""
        return [0, *np.cumsum([v.items for v in self.volumes]).tolist()]

    def place(self, number: int) -> tuple[int, int]:
        """Return the volume of an item of the work list, and its number within the volume."""
        volume = bisect_right(self.starts, number) - 1
        return volume, number - self.starts[volume]

    def item(self, number: int) -> Item:
        """Return an item of the work list."""
        index, within = self.place(number)
        volume = self.volumes[index]
        within, block = divmod(within, volume.blocks)
        time, channel = divmod(within, len(volume.channels))
        geometry = block_at(
            block,
            shape=volume.shape,
            block=volume.block,
            halo=self.halo,
            stride=self.stride,
            mirror=self.mirror,
        )
        return Item(number, index, time, channel, geometry)

    def shard(self, item: Item) -> Path:
        """Return the file of level 0 that an item writes."""
        volume = self.volumes[item.volume]
        place = [w.start // b for w, b in zip(item.block.write, volume.block, strict=True)]
        return Path(volume.store, "0", "c", *map(str, (item.time, item.channel, *place)))

    def shard_checksum(self, item: Item) -> int:
        """Return the checksum of the checksums in the file that an item writes.

        Raises
        ------
        FileNotFoundError, ValueError
            If it is missing or damaged.
        """
        volume = self.volumes[item.volume]
        extent = tuple(s.stop - s.start for s in item.block.write)
        return checksum_of(self.shard(item), inner_chunks(volume.block, volume.chunk, extent))

    def part_of(self, number: int) -> int:
        """Return the part that does an item of the work list."""
        return bisect_right(self.bounds, number) - 1

    def part(self, number: int) -> Iterator[Item]:
        """Iterate over the work of one part."""
        return map(self.item, range(self.bounds[number], self.bounds[number + 1]))

    def work(self) -> list[dict[str, float]]:
        """Return the blocks and the uncompressed input, work and output of each part."""
        edges = self.starts
        found = []
        for first, last in pairwise(self.bounds):
            blocks = computed = read = written = 0
            for volume, start, stop in zip(self.volumes, edges, edges[1:], strict=False):
                count = max(0, min(last, stop) - max(first, start))
                padded = _padded(volume.block, volume.shape, self.halo, self.mirror)
                blocks += count
                computed += count * padded
                read += count * _padded(volume.block, volume.shape, self.halo, False)
                written += count * prod(volume.block) * np.dtype(volume.dtype).itemsize
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
    UserError
        If its content was changed.
    """
    content = read_record(path)
    for key in ("summary", "parts"):
        content.pop(key)
    for volume in content["volumes"]:
        for key in ("shape", "chunk", "block"):
            volume[key] = tuple(volume[key])
    content["volumes"] = [VolumePlan(**v) for v in content["volumes"]]
    content.update(halo=tuple(content["halo"]), stride=tuple(content["stride"]))
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
    halo = _worst([s.halo for s in every])
    stride = _common([s.stride for s in every])
    halo = _round_up(halo, stride)
    bytes_per_voxel = max(s.bytes_per_voxel for s in every)
    engine = None
    if any(s.of_network for s in every):
        engine = choose_engine(restoration.engine, restoration.precision, gpu=gpu)
        bytes_per_voxel *= engine.memory
    volumes = []
    for record, store in zip(records, stores, strict=True):
        shape = (record.shape[2], record.shape[3], record.shape[4])
        chosen = list(range(record.shape[0])) if times is None else list(times)
        kind = record.dtype if restoration.output_dtype == "input" else "float32"
        decisive = [
            record.identity,
            [s.identity for s in every],
            engine and asdict(engine),
            kind,
            chosen,
            channels,
        ]

        layout = _finished_layout(store, decisive)
        if layout is None:
            units = len(chosen) * len(channels) * len(records)
            try:
                layout = choose_block(
                    shape,
                    halo=halo,
                    stride=stride,
                    bytes_per_voxel=bytes_per_voxel,
                    memory_bytes=restoration.memory_gb * 1e9,
                    at_least=-(-restoration.parts // units),
                )
            except MemoryError as error:
                raise UserError(
                    f"restoration.memory_gb: {restoration.memory_gb:g} is too little for {method} "
                    f"on {record.name}: {error}"
                ) from None
        block, chunk = layout
        volumes.append(
            VolumePlan(
                record.name,
                record.path,
                store,
                shape,
                kind,
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
    padded = [_padded(v.block, v.shape, halo, every[0].mirror) for v in volumes]
    plan = Plan(
        method=method,
        restorers=[s.description for s in every],
        halo=halo,
        stride=stride,
        mirror=every[0].mirror,
        output_dtype=restoration.output_dtype,
        engine=engine,
        volumes=volumes,
        bounds=_cut([v.items for v in volumes], padded, restoration.parts),
        block_memory_gb=max(padded) * bytes_per_voxel / 1e9,
        warnings=warnings or {},
    )
    for volume in volumes:
        _create(volume)
    _write(plan, path)
    return plan


def check_stores(plan: Plan, path: str | Path) -> None:
    """Check that the outputs were created for the plan at `path`, not for an older one.

    Raises
    ------
    DamagedError
        If one was not, or is missing: the plan and all parts are to be made again.
    """
    path = Path(path)
    parts = path.parents[1] / "parts" / plan.method
    for volume in plan.volumes:
        try:
            check_level_0(volume, of_plan=False)
        except DamagedError as error:
            files = [path, *sorted(parts.glob("*.json"))]
            raise DamagedError(error.path, error.problem, files=files) from None
        if open_array(volume.store, "0").attrs.get("key") != volume.key:
            raise DamagedError(path, f"is not the plan that {volume.store} was created for")


def _write(plan: Plan, path: str | Path) -> None:
    summary = _summary(plan)
    log.info("%s: %s", plan.method, summary)
    work = plan.work()
    for number, part in enumerate(work):
        log.info(
            "part %d: %d block(s), %.4g Mvoxel to compute, %.3g GB to write",
            number,
            part["blocks"],
            part["computed_mvoxel"],
            part["written_gb"],
        )
    extra = {"summary": summary, "parts": work}
    write_record(path, {**asdict(plan), **extra})


def _worst(triples: list[Triple]) -> Triple:
    z, y, x = (max(t[a] for t in triples) for a in range(3))
    return (z, y, x)


def _common(triples: list[Triple]) -> Triple:
    z, y, x = (lcm(*(t[a] for t in triples)) for a in range(3))
    return (z, y, x)


def _round_up(triple: Triple, stride: Triple) -> Triple:
    z, y, x = (-(-n // s) * s for n, s in zip(triple, stride, strict=True))
    return (z, y, x)


def _padded(block: Triple, shape: Triple, halo: Triple, mirror: bool) -> int:
    """Largest number of voxels of a block with its halo; within the volume unless mirrored."""
    sizes = zip(block, shape, halo, strict=True)
    return prod(b + 2 * h if mirror else min(b + 2 * h, n) for b, n, h in sizes)


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


def _create(volume: VolumePlan) -> None:
    """Create the empty level 0, unless it exists for the same key."""
    try:
        check_level_0(volume)
        return
    except DamagedError:  # or missing, or of another plan
        shutil.rmtree(volume.store, ignore_errors=True)
    create_level(
        volume.store,
        shape=(len(volume.times), len(volume.channels), *volume.shape),
        dtype=volume.dtype,
        chunk=volume.chunk,
        shard=volume.block,
        attributes={"key": volume.key},
    )


def _key(decisive: list[Any], block: Triple, chunk: Triple) -> str:
    """Hash all that decides the restored voxels."""
    return digest([*decisive, chunk, block, VERSIONS["restore"]])


def _finished_layout(store: str, decisive: list[Any]) -> tuple[Triple, Triple] | None:
    """Return a finished volume's block and chunk; None = it is unfinished, damaged or outdated."""
    try:
        key = read_json(Path(store, "zarr.json"))["attributes"]["decon3d"]["key"]
        layout = Layout.of(read_json(Path(store, "0", "zarr.json")))
        (bz, by, bx), (cz, cy, cx) = layout.file[2:], (layout.chunk or ())[2:]
    except (DamagedError, KeyError, TypeError, IndexError, ValueError):
        return None
    block, chunk = (bz, by, bx), (cz, cy, cx)
    return (block, chunk) if key == _key(decisive, block, chunk) else None


def check_level_0(volume: VolumePlan, *, of_plan: bool = True) -> None:
    """Check that a volume's empty level 0 exists and was made for this plan.

    Parameters
    ----------
    of_plan
        Whether to compare the plan's key, too.

    Raises
    ------
    DamagedError
        If its metadata are missing, damaged, or of another plan.
    """
    path = Path(volume.store, "0", "zarr.json")
    metadata = read_json(path)
    try:
        key, dtype = metadata["attributes"]["key"], metadata["data_type"]
        layout = Layout.of(metadata)
    except (KeyError, TypeError, IndexError):
        raise DamagedError(path, "is damaged") from None
    shape = (len(volume.times), len(volume.channels), *volume.shape)
    wanted = Layout(shape, (1, 1, *volume.block), (1, 1, *volume.chunk))
    if (dtype, layout) != (volume.dtype, wanted) or (of_plan and key != volume.key):
        raise DamagedError(path, "is damaged, or was made for another plan")


def _summary(plan: Plan) -> str:
    voxels = sum(prod(v.shape) * len(v.times) * len(v.channels) for v in plan.volumes)
    blocks = sorted({v.block for v in plan.volumes})
    by = "" if plan.engine is None else f" by {plan.engine.name} in {plan.engine.precision}"
    return (
        f"{len(plan.volumes)} volume(s), {voxels / 1e6:.1f} Mvoxel in {plan.bounds[-1]} block(s) "
        f"of up to {blocks[-1]} with halo {plan.halo} (Z, Y, X), {len(plan.bounds) - 1} "
        f"part(s){by}, about {plan.block_memory_gb:.2f} GB per block"
    )
