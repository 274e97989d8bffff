"""One part of a restoration: read ahead, restore, write behind, and remember what is done.

Finished blocks are recorded in a progress file, by the hash of all that decides their voxels: a
killed part goes on at its first unfinished block. Writing a block is atomic and can be repeated.
On SIGTERM the present block is finished, for it may be the time limit that comes.
"""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.files import digest, write_json, write_text
from decon3d.interruption import told_to_stop
from decon3d.logs import log, progress
from decon3d.restoration.empty import restore_block
from decon3d.restoration.plan import Item, Plan
from decon3d.restoration.restorers import Restorer, State, open_restorer
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.reader import Volume, open_volume


class ProgressRecord:
    """Which blocks are done: a JSON line each, in one file per part.

    All files of a method are read, since another plan may have cut the work otherwise; this part
    appends to its own. Lines of volumes that the plan no longer holds are dropped from it.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        keys = {v.key for v in plan.volumes}
        self.path = path
        self.keys = [v.key for v in plan.volumes]
        own = [line for line in read_lines(path) if line["key"] in keys]
        write_text(path, "".join(json.dumps(line) + "\n" for line in own))
        self.lines = finished_blocks(path.parent, plan)

    def __contains__(self, item: Item) -> bool:
        return (self.keys[item.volume], item.index) in self.lines

    def add(self, item: Item, **values: Any) -> None:
        """Note that an item is done, on disk at once."""
        line = {"key": self.keys[item.volume], "item": item.index, **values}
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self.lines[line["key"], line["item"]] = line

    def of(self, items: Iterable[Item]) -> list[dict[str, Any]]:
        """Return the lines of some finished items."""
        return [self.lines[self.keys[i.volume], i.index] for i in items]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a progress file; a line cut off by a kill is left out, so that its block is redone."""
    lines = []
    if path.exists():
        for text in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                lines.append(json.loads(text))
    return lines


def finished_blocks(folder: Path, plan: Plan) -> dict[tuple[str, int], dict[str, Any]]:
    """Collect what all parts, of this plan or an earlier one, have finished of these volumes."""
    keys = {v.key for v in plan.volumes}
    files = sorted(folder.glob("*.progress"))
    lines = (line for path in files for line in read_lines(path) if line["key"] in keys)
    return {(line["key"], line["item"]): line for line in lines}


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
        JSON that says that the part is done: seconds, voxels, blocks, peak memory, clipped
        voxels, voxels without data. The progress record lies beside it.

    Raises
    ------
    UserError
        If the states are not those that the plan was made for, or the job was told to stop (the
        next attempt goes on).
    """
    if [s.description for s in states] != plan.restorers:
        raise UserError(f"the plan of {plan.method} is older than its states; remake the plan")
    marker = Path(marker)
    record = ProgressRecord(marker.with_suffix(".progress"), plan)
    todo = [item for item in plan.part(part) if item not in record]
    log.info("part %d: %d block(s) to do", part, len(todo))
    voxels = sum(item.voxels for item in todo)
    restorers: dict[int, Restorer] = {}
    outputs: dict[int, zarr.Array[Any]] = {}
    with (
        told_to_stop() as stopped,
        ThreadPoolExecutor(1) as writer,
        progress(total=voxels / 1e6, what=f"{plan.method} part {part}", unit="Mvoxel") as bar,
    ):
        pending: Future[None] | None = None
        before = time.perf_counter()
        for item, values in _read_ahead(plan, todo):
            if stopped():
                break
            if item.channel not in restorers:
                restorers[item.channel] = open_restorer(states[item.channel], threads=threads)
            if item.volume not in outputs:
                store = Path(plan.volumes[item.volume].store) / "0"
                outputs[item.volume] = zarr.open_array(str(store), mode="r+")
            started = time.perf_counter()
            fill = plan.volumes[item.volume].fill(item.channel)
            restored = restore_block(restorers[item.channel], values, item.block, fill=fill)
            computing = time.perf_counter() - started
            if pending is not None:
                pending.result()
            spent = {
                "seconds": round(time.perf_counter() - before, 4),
                "computing_seconds": round(computing, 4),
            }
            pending = writer.submit(_write, outputs[item.volume], item, *restored, record, spent)
            before = time.perf_counter()
            bar.update(item.voxels / 1e6)
        if pending is not None:
            pending.result()
    left = sum(item not in record for item in todo)
    if left:
        raise UserError(
            f"part {part} of {plan.method} was told to stop (SIGTERM) with {left} of its blocks "
            "left; the next attempt goes on there"
        )
    lines = record.of(plan.part(part))
    write_json(
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
        },
    )


def _read_ahead(plan: Plan, todo: list[Item]) -> Iterator[tuple[Item, NDArray[Any]]]:
    """Read the next block while the present one is worked on."""
    volumes: dict[int, Volume] = {}

    def read(item: Item) -> NDArray[Any]:
        source = plan.volumes[item.volume]
        if item.volume not in volumes:
            volumes[item.volume] = open_volume(source.view, clip_at_zero=source.clip_at_zero)
        channel = list(source.channels.values())[item.channel]
        values = read_marked(
            volumes[item.volume], source.times[item.time], channel, item.block.read,
            source.fill(item.channel),
        )  # fmt: skip
        return item.block.pad(values)

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, todo[0]) if todo else None
        for k, item in enumerate(todo):
            assert ahead is not None
            values = ahead.result()
            ahead = reader.submit(read, todo[k + 1]) if k + 1 < len(todo) else None
            yield item, values


def _write(
    output: "zarr.Array[Any]",
    item: Item,
    values: NDArray[np.float32],
    absent: NDArray[np.bool_] | None,
    record: ProgressRecord,
    spent: dict[str, float],
) -> None:
    """Write one block as the output's type, then note it: never the other way round."""
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
    output[(item.time, item.channel, *item.block.write)] = final
    record.add(
        item,
        voxels=item.voxels,
        clipped=clipped,
        not_finite=not_finite,
        no_data=0 if absent is None else int(np.count_nonzero(absent)),
        crc32=crc32(final.data),
        **spent,
    )


def peak_memory_gb() -> float:
    """Peak resident memory of this process, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
