"""The loop over blocks: read ahead, compute, write behind, record progress.

While a block is computed, a thread reads the next one and another writes the last one. Neither gets
further ahead, so the memory is that of a few blocks. A job that was killed by any signal resumes at
its first unfinished block. Writing a block is atomic and can be repeated. On SIGTERM, the present
block is finished, since the time limit may follow.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol
from zlib import crc32

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d.blocks.progress import Progress
from decon3d.blocks.work import Item, WorkList
from decon3d.errors import UserError
from decon3d.files import announce_output
from decon3d.logs import log, progress
from decon3d.signals import catch_sigterm
from decon3d.volumes.checked_stores import open_to_write


class BlockFunction(Protocol):
    """A function of aligned blocks of some arrays, in three steps that overlap."""

    def read(self, item: Item) -> Any:
        """Read the inputs of an item, in the reader's thread."""

    def compute(self, item: Item, inputs: Any) -> Any:
        """Compute an item, in the main thread."""

    def result(self, item: Item, computed: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the voxels that an item writes and its numbers (JSON), in the writer's thread."""

    def check_inputs(self, output: int) -> None:
        """Raise `UserError` if the inputs of an output changed while they were read."""


def run_blocks(
    function: BlockFunction,
    work: WorkList,
    numbers: range,
    *,
    done: Progress,
    what: str,
) -> None:
    """Compute and write some items of a work list; those that are done are left out.

    Parameters
    ----------
    function
        Reads and computes an item.
    work, numbers
        The work list, and the items to do.
    done
        The progress of these items. Each line gets `voxels`, `crc32` of the voxels, `seconds`,
        `computing_seconds`, and the numbers of the function's `result`.
    what
        The job, for the log.

    Raises
    ------
    UserError
        If inputs changed, or the job got SIGTERM (the next attempt resumes).
    DamagedError
        If an output's level 0 is missing or was created for another plan.
    """
    todo = [number for number in numbers if number not in done.lines]
    voxels = sum(work.item(number).voxels for number in todo)
    itemsize = max((np.dtype(output.dtype).itemsize for output in work.outputs), default=0)
    announce_output(voxels * itemsize / 1e9)
    log.info("%s: %d block(s) to do, %.1f Mvoxel", what, len(todo), voxels / 1e6)
    arrays: dict[int, zarr.Array[Any]] = {}

    def write(item: Item, computed: Any, spent: dict[str, float]) -> None:
        """Write one block as the output's type, then record it, in this order."""
        array = arrays[item.output]
        values, found = function.result(item, computed)
        values = np.ascontiguousarray(values, dtype=array.dtype)
        # zarr reads a shard at a volume's edge before it writes it, and a damaged one would stop
        # it.
        work.shard(item).unlink(missing_ok=True)
        array[(item.time, item.channel, *item.block.write)] = values
        done.add(item, voxels=item.voxels, crc32=crc32(values.data), **found, **spent)

    with (
        catch_sigterm() as stopped,
        ThreadPoolExecutor(1) as writer,
        progress(total=voxels, what=what, unit="voxel") as bar,
    ):
        pending: Future[None] | None = None
        before = time.perf_counter()
        for count, (item, inputs) in enumerate(_read_ahead(function.read, work, todo), 1):
            if stopped():
                break
            if item.output not in arrays:
                work.outputs[item.output].check()
                arrays[item.output] = open_to_write(work.outputs[item.output].level_0)
            started = time.perf_counter()
            computed = function.compute(item, inputs)
            computing = time.perf_counter() - started
            if pending is not None:
                pending.result()
            spent = {
                "seconds": round(time.perf_counter() - before, 4),
                "computing_seconds": round(computing, 4),
            }
            pending = writer.submit(write, item, computed, spent)
            before = time.perf_counter()
            bar.set_postfix_str(f"{count}/{len(todo)} blocks", refresh=False)
            bar.update(item.voxels)
        if pending is not None:
            pending.result()
    # Also of blocks that an earlier attempt did: it may have been killed before it looked.
    for output in work.outputs_of(numbers):
        function.check_inputs(output)
    left = sum(number not in done.lines for number in numbers)
    if left:
        raise UserError(
            f"{what} was stopped by SIGTERM with {left} of its blocks left; run it again to "
            "resume there"
        )


def _read_ahead(
    read: Callable[[Item], Any], work: WorkList, todo: list[int]
) -> Iterator[tuple[Item, Any]]:
    """Read the next block while the present one is computed."""
    with ThreadPoolExecutor(1) as reader:
        ahead: tuple[Item, Future[Any]] | None = None
        for number in todo:
            item = work.item(number)
            ready, ahead = ahead, (item, reader.submit(read, item))
            if ready is not None:
                yield ready[0], ready[1].result()
        if ahead is not None:
            yield ahead[0], ahead[1].result()


def peak_memory_gb() -> float:
    """Peak resident memory of this process, in GB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9
