"""What is done of a consistency map, so that a job that was killed goes on there."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import zarr

from decon3d.files import digest, write_text
from decon3d.logs import log
from decon3d.restoration.blocks import Triple
from decon3d.restoration.part import read_lines
from decon3d.volumes.writer import create_level

PROGRESS = "0.progress"
"""File in a store that is not finished."""


class Done:
    """What is done of a map: a JSON line for each scale that was fitted and each block."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = {tuple(line["of"]): line for line in read_lines(path)}
        write_text(path, "".join(json.dumps(line) + "\n" for line in self._lines.values()))
        self._before = time.perf_counter()

    def __contains__(self, of: tuple[int, int, int | None]) -> bool:
        return of in self._lines

    def __getitem__(self, of: tuple[int, int, int | None]) -> dict[str, Any]:
        return self._lines[of]

    @property
    def blocks(self) -> int:
        """How many blocks are done."""
        return sum(block is not None for *_, block in self._lines)

    @property
    def voxels(self) -> int:
        """How many voxels they hold."""
        return sum(line.get("voxels", 0) for line in self._lines.values())

    @property
    def seconds(self) -> float:
        """What all that is done took."""
        return float(sum(line["seconds"] for line in self._lines.values()))

    def add(self, position: int, channel: int, block: int | None, **values: Any) -> None:
        """Note a block of a time point and channel, or (None) their scale, on disk at once."""
        now = time.perf_counter()
        spent, self._before = round(now - self._before, 4), now
        line = {"of": [position, channel, block], "seconds": spent, **values}
        with open(self.path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
        self._lines[position, channel, block] = line


def begin_or_go_on(
    store: str, *, shape: tuple[int, ...], chunk: Triple, block: Triple, key: str
) -> "tuple[zarr.Array[Any], Done]":
    """Open the map's level 0 where it was begun for the same key and blocks, or begin it."""
    key = digest([key, chunk, block])
    level_0 = Path(store) / "0"
    if (level_0 / "zarr.json").exists():
        array = zarr.open_array(str(level_0), mode="r+")
        if array.attrs.get("key") == key:
            done = Done(Path(store) / PROGRESS)
            log.info("%s: going on after %d block(s)", store, done.blocks)
            return array, done
    if Path(store).exists():
        shutil.rmtree(store)
    array = create_level(
        store, shape=shape, dtype="float32", chunk=chunk, shard=block, attributes={"key": key}
    )
    return array, Done(Path(store) / PROGRESS)
