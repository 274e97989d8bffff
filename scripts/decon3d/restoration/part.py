"""One part of a restoration: its blocks, restored by the prepared restorers."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.compute import Tiling, with_data
from decon3d.blocks.progress import Progress
from decon3d.blocks.run import peak_memory_gb, run_blocks
from decon3d.blocks.work import Item
from decon3d.errors import DamagedError
from decon3d.files import digest, write_record
from decon3d.restoration.plan import Plan, load_plan
from decon3d.restoration.restorers import Restorer, State, open_restorer
from decon3d.volumes.fingerprints import check_unchanged
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.reader import Volume, open_volume

COUNTS = ("clipped", "not_finite", "no_data")
"""Numbers of voxels that each block records."""
SECONDS = ("seconds", "computing_seconds")
Restored = tuple[NDArray[np.float32], NDArray[np.bool_] | None]
"""Counts, and which of them have no data."""


def restore_part(
    path: str | Path,
    states: list[State],
    *,
    part: int,
    marker: str | Path,
    threads: int,
    device: str = "cpu",
) -> None:
    """Restore the blocks of one part of the plan at `path`, and write its marker.

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
    DamagedError
        If the plan was made for other states, or an output's level 0 for another plan.
    UserError
        If a volume that is read in place has changed, or the job got SIGTERM (the next attempt
        resumes).
    DeviceMemoryError
        If not even a small part of a block fits into the device's memory.
    """
    plan = load_plan(path)
    if [s.description for s in states] != plan.restorers:
        raise DamagedError(path, "was made for other prepared states")
    marker, numbers = Path(marker), plan.numbers(part)
    done = Progress(marker.with_suffix(".progress"), plan.work, numbers)
    function = _Restoration(plan, states, threads)
    try:
        run_blocks(function, plan.work, numbers, done=done, what=f"{plan.method} part {part}")
    except DamagedError as error:
        if error.path.name != "zarr.json":
            raise
        # The plan makes the empty level 0, so it has to be made again, too.
        raise DamagedError(error.path, error.problem, files=[*error.files, path]) from None
    lines = [done.lines[number] for number in numbers]
    write_record(
        marker,
        {
            "method": plan.method,
            "part": part,
            "plan": plan.digest,
            "blocks": len(lines),
            **{key: sum(line[key] for line in lines) for key in ("voxels", *COUNTS)},
            **{key: round(sum(line[key] for line in lines), 3) for key in SECONDS},
            "content": digest([line["crc32"] for line in lines]),
            "peak_memory_gb": round(peak_memory_gb(), 3),
            "threads": threads,
            "device": device,
            "halvings": function.tiling.halvings,
            "engine": None if plan.engine is None else asdict(plan.engine),
        },
    )


class _Restoration:
    """The function that restores a block of a plan."""

    def __init__(self, plan: Plan, states: list[State], threads: int) -> None:
        self.tiling = Tiling(stride=plan.stride, halo=plan.halo)
        self._plan = plan
        self._states = states
        self._threads = threads
        self._restorers: dict[int, Restorer] = {}
        self._inputs: dict[int, Volume] = {}

    def read(self, item: Item) -> NDArray[Any]:
        source = self._plan.volumes[item.output]
        if item.output not in self._inputs:
            self._inputs[item.output] = open_volume(source.view, clip_at_zero=source.clip_at_zero)
        values = read_marked(
            self._inputs[item.output],
            source.times[item.time],
            list(source.channels.values())[item.channel],
            item.block.read,
            source.fill(item.channel),
        )
        return item.block.pad(values)

    def compute(self, item: Item, inputs: NDArray[Any]) -> Restored:
        if item.channel not in self._restorers:
            self._restorers[item.channel] = open_restorer(
                self._states[item.channel],
                threads=self._threads,
                engine=self._plan.engine,
                tile=self._plan.tile,
            )
        restore = self._restorers[item.channel].restore
        source = self._plan.volumes[item.output]
        fill = source.fill(item.channel)
        return with_data(
            inputs,
            item.block,
            fill=np.nan if fill is None else fill,
            compute=lambda: self.tiling.compute(restore, inputs, item.block, source.block),
        )

    def result(self, item: Item, computed: Restored) -> tuple[NDArray[Any], dict[str, Any]]:
        values, absent = computed
        wrong = ~np.isfinite(values)
        if absent is not None:
            wrong &= ~absent
        not_finite, clipped = int(np.count_nonzero(wrong)), 0
        if not_finite:
            values = np.where(wrong, np.float32(0), values)
        dtype = np.dtype(self._plan.volumes[item.output].dtype)
        if dtype.kind in "ui":
            info = np.iinfo(dtype)
            values = np.rint(values)
            clipped = int(np.count_nonzero((values < info.min) | (values > info.max)))
            values = np.clip(values, info.min, info.max)
        no_data = 0 if absent is None else int(np.count_nonzero(absent))
        return values, {"clipped": clipped, "not_finite": not_finite, "no_data": no_data}

    def check_inputs(self, output: int) -> None:
        volume = self._plan.volumes[output]
        check_unchanged(volume.view, volume.seen)
