"""One part of a restoration: read ahead, restore, write behind, record progress.

While a block is computed, a thread reads the next one and another writes the last one. Neither gets
further ahead, so the memory is that of a few blocks. A progress file records finished blocks, by
the hash of all that decides their voxels. A part that was killed by any signal resumes at its first
unfinished block. Writing a block is atomic and can be repeated. On SIGTERM, the present block is
finished, since the time limit may follow.
"""

import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d.errors import DamagedError, UserError
from decon3d.files import (
    announce_output,
    append_line,
    digest,
    read_lines,
    write_lines,
    write_record,
)
from decon3d.logs import log, progress
from decon3d.restoration.no_data_blocks import restore_block
from decon3d.restoration.plan import Item, Plan, check_level_0, load_plan
from decon3d.restoration.restorers import Restorer, State, open_restorer
from decon3d.restoration.tiles import Tiling
from decon3d.signals import catch_sigterm
from decon3d.volumes.checked_stores import open_to_write
from decon3d.volumes.fingerprints import check_unchanged
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.reader import Volume, open_volume


class ProgressRecord:
    """The finished blocks of a part: a JSON line each, in one file per part.

    All files of a method are read, since another plan may have divided the work differently; this
    part appends to its own. Lines of volumes that are no longer in the plan are removed from it.
    """

    def __init__(self, path: Path, plan: Plan, part: int) -> None:
        keys = {v.key for v in plan.volumes}
        self.path = path
        self.plan = plan
        write_lines(path, (line for line in read_lines(path) if line["key"] in keys))
        numbers = range(plan.bounds[part], plan.bounds[part + 1])
        done = finished_blocks(path.parent, plan, numbers)
        self.lines = {n: line for n, line in done.items() if shard_problem(plan, n, line) is None}

    def __contains__(self, number: int) -> bool:
        return number in self.lines

    def add(self, number: int, **values: Any) -> None:
        """Record that an item of the work list is done, immediately on disk."""
        volume, index = self.plan.place(number)
        line = {"key": self.plan.volumes[volume].key, "item": index, **values}
        self.lines[number] = append_line(self.path, line)


def shard_problem(plan: Plan, number: int, line: dict[str, Any]) -> str | None:
    """Compare the shard of an item with its progress record.

    Only the checksums in the shard are compared; reading the voxels compares these.

    Returns
    -------
    str or None
        The problem; None = none.
    """
    item = plan.item(number)
    try:
        found = plan.shard_checksum(item)
    except FileNotFoundError:
        return "is missing"
    except ValueError as error:
        return str(error)
    return None if found == line["shard"] else "does not match its progress record"


def finished_blocks(folder: Path, plan: Plan, numbers: range) -> dict[int, dict[str, Any]]:
    """Collect the finished items of the work list, of any part of this plan or an earlier one.

    Parameters
    ----------
    folder
        Of the progress files.
    numbers
        The items that are asked for.
    """
    starts = {v.key: start for v, start in zip(plan.volumes, plan.starts, strict=False)}
    found = {}
    for path in sorted(folder.glob("*.progress")):
        for line in read_lines(path):
            start = starts.get(line["key"])
            if start is not None and start + line["item"] in numbers:
                found[start + line["item"]] = line
    return found


def restore_part(
    path: str | Path,
    states: list[State],
    *,
    part: int,
    marker: str | Path,
    threads: int,
    device: str = "cpu",
) -> None:
    """Restore one part of the plan at `path`.

    Parameters
    ----------
    states, part, marker, threads, device
        As for `run_part`.

    Raises
    ------
    DamagedError
        If the plan is not the one that was made for these states.
    UserError
        As `run_part` does.
    """
    plan = load_plan(path)
    if [s.description for s in states] != plan.restorers:
        raise DamagedError(path, "was made for other prepared states")
    try:
        run_part(plan, states, part=part, marker=marker, threads=threads, device=device)
    except DamagedError as error:
        if error.path.name != "zarr.json":
            raise
        # The plan makes the empty level 0, so it has to be made again, too.
        raise DamagedError(error.path, error.problem, files=[*error.files, path]) from None


def run_part(
    plan: Plan,
    states: list[State],
    *,
    part: int,
    marker: str | Path,
    threads: int,
    device: str = "cpu",
) -> None:
    """Restore the blocks of one part and write its marker.

    Parameters
    ----------
    states
        Each channel's prepared restorer, in the plan's order of channels.
    marker
        JSON of the finished part: seconds, voxels, blocks, peak memory, clipped voxels, voxels
        without data. The progress record is beside it.
    threads
        CPU threads of the computation.
    device
        In words, for the marker.

    Raises
    ------
    UserError
        If a volume that is read in place has changed, or the job got SIGTERM (the next attempt
        resumes).
    DeviceMemoryError
        If not even a small part of a block fits into the device's memory.
    """
    marker = Path(marker)
    record = ProgressRecord(marker.with_suffix(".progress"), plan, part)
    numbers = range(plan.bounds[part], plan.bounds[part + 1])
    todo = [number for number in numbers if number not in record]
    voxels = sum(plan.item(number).voxels for number in todo)
    announce_output(voxels * np.dtype(plan.volumes[0].dtype).itemsize / 1e9)
    log.info("part %d: %d block(s) to do, %.1f Mvoxel", part, len(todo), voxels / 1e6)
    opened: dict[int, Restorer] = {}
    outputs: dict[int, zarr.Array[Any]] = {}
    tiling = Tiling(stride=plan.stride, halo=plan.halo)
    with (
        catch_sigterm() as stopped,
        ThreadPoolExecutor(1) as writer,
        progress(
            total=voxels, what=f"{plan.method} part {part}", unit="voxel", unit_scale=True
        ) as bar,
    ):
        pending: Future[None] | None = None
        before = time.perf_counter()
        for count, (item, values) in enumerate(_read_ahead(plan, todo), 1):
            if stopped():
                break
            if item.channel not in opened:
                opened[item.channel] = open_restorer(
                    states[item.channel], threads=threads, engine=plan.engine
                )
            if item.volume not in outputs:
                check_level_0(plan.volumes[item.volume])
                store = Path(plan.volumes[item.volume].store) / "0"
                outputs[item.volume] = open_to_write(store)
            started = time.perf_counter()
            restored = restore_block(
                opened[item.channel],
                values,
                item.block,
                fill=plan.volumes[item.volume].fill(item.channel),
                size=plan.volumes[item.volume].block,
                tiling=tiling,
            )
            computing = time.perf_counter() - started
            if pending is not None:
                pending.result()
            spent = {
                "seconds": round(time.perf_counter() - before, 4),
                "computing_seconds": round(computing, 4),
            }
            pending = writer.submit(
                _write, outputs[item.volume], plan, item, *restored, record, spent
            )
            before = time.perf_counter()
            bar.set_postfix_str(f"{count}/{len(todo)} blocks", refresh=False)
            bar.update(item.voxels)
        if pending is not None:
            pending.result()
    for index in {plan.place(number)[0] for number in todo}:
        check_unchanged(plan.volumes[index].view, plan.volumes[index].seen)
    left = sum(number not in record for number in numbers)
    if left:
        raise UserError(
            f"part {part} of {plan.method} was stopped by SIGTERM with {left} of its blocks left; "
            "run it again to resume there"
        )
    lines = [record.lines[number] for number in numbers]
    write_record(
        marker,
        {
            "method": plan.method,
            "part": part,
            "plan": plan.digest,
            "blocks": len(lines),
            "voxels": sum(line["voxels"] for line in lines),
            "seconds": round(sum(line["seconds"] for line in lines), 3),
            "computing_seconds": round(sum(line["computing_seconds"] for line in lines), 3),
            "clipped": sum(line["clipped"] for line in lines),
            "not_finite": sum(line["not_finite"] for line in lines),
            "no_data": sum(line["no_data"] for line in lines),
            "content": digest([line["crc32"] for line in lines]),
            "peak_memory_gb": round(peak_memory_gb(), 3),
            "threads": threads,
            "device": device,
            "halvings": tiling.halvings,
            "engine": None if plan.engine is None else asdict(plan.engine),
        },
    )


def _read_ahead(plan: Plan, todo: list[int]) -> Iterator[tuple[Item, NDArray[Any]]]:
    """Read the next block while the present one is restored."""
    volumes: dict[int, Volume] = {}

    def read(number: int) -> tuple[Item, NDArray[Any]]:
        item = plan.item(number)
        source = plan.volumes[item.volume]
        if item.volume not in volumes:
            volumes[item.volume] = open_volume(source.view, clip_at_zero=source.clip_at_zero)
        channel = list(source.channels.values())[item.channel]
        values = read_marked(
            volumes[item.volume],
            source.times[item.time],
            channel,
            item.block.read,
            source.fill(item.channel),
        )
        return item, item.block.pad(values)

    with ThreadPoolExecutor(1) as reader:
        ahead: Future[tuple[Item, NDArray[Any]]] | None = None
        for number in todo:
            ready, ahead = ahead, reader.submit(read, number)
            if ready is not None:
                yield ready.result()
        if ahead is not None:
            yield ahead.result()


def _write(
    output: "zarr.Array[Any]",
    plan: Plan,
    item: Item,
    values: NDArray[np.float32],
    absent: NDArray[np.bool_] | None,
    record: ProgressRecord,
    spent: dict[str, float],
) -> None:
    """Write one block as the output's type, then record it, in this order."""
    wrong = ~np.isfinite(values)
    if absent is not None:
        wrong &= ~absent
    not_finite = int(np.count_nonzero(wrong))
    if not_finite:
        values = np.where(wrong, np.float32(0), values)
    clipped = 0
    if output.dtype.kind in "ui":
        info = np.iinfo(output.dtype)
        values = np.rint(values)
        clipped = int(np.count_nonzero((values < info.min) | (values > info.max)))
        values = np.clip(values, info.min, info.max)
    final = np.ascontiguousarray(values, dtype=output.dtype)
    shard = plan.shard(item)
    # zarr reads a shard at a volume's edge before it writes it, and a damaged one would stop it.
    shard.unlink(missing_ok=True)
    output[(item.time, item.channel, *item.block.write)] = final
    record.add(
        item.number,
        voxels=item.voxels,
        clipped=clipped,
        not_finite=not_finite,
        no_data=0 if absent is None else int(np.count_nonzero(absent)),
        crc32=crc32(final.data),
        shard=plan.shard_checksum(item),
        **spent,
    )


def peak_memory_gb() -> float:
    """Peak resident memory of this process, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
