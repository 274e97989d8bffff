"""Progress of a consistency map, from which a killed job resumes."""

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from decon3d.files import append_line, digest, read_lines, write_lines
from decon3d.logs import log
from decon3d.restoration.blocks import Triple
from decon3d.volumes.checked_stores import open_to_write
from decon3d.volumes.manifest import Layout, begin_store, checksum_of
from decon3d.volumes.writer import create_level

PROGRESS = "0.progress"
"""File in an unfinished store."""


class Done:
    """Progress of a map: a JSON line for each fitted scale and each block.

    Parameters
    ----------
    path
        Of the progress file, in the store. Blocks whose shard was changed since are left out.
    layout
        Of level 0: each block is a shard.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path = path
        self._layout = layout
        lines = {tuple(line["of"]): line for line in read_lines(path)}
        self._lines = {of: line for of, line in lines.items() if self._is_whole(of, line)}
        write_lines(path, self._lines.values())
        self._before = time.perf_counter()

    def __contains__(self, of: tuple[int, int, int | None]) -> bool:
        return of in self._lines

    def __getitem__(self, of: tuple[int, int, int | None]) -> dict[str, Any]:
        return self._lines[of]

    @property
    def blocks(self) -> int:
        """Number of finished blocks."""
        return sum(block is not None for *_, block in self._lines)

    @property
    def voxels(self) -> int:
        """Number of voxels in finished blocks."""
        return sum(line.get("voxels", 0) for line in self._lines.values())

    @property
    def seconds(self) -> float:
        """Time spent on finished work."""
        return float(sum(line["seconds"] for line in self._lines.values()))

    def add(self, position: int, channel: int, block: int | None, **values: Any) -> None:
        """Record a block of a time point and channel, or (None) their scale, at once on disk."""
        now = time.perf_counter()
        spent, self._before = round(now - self._before, 4), now
        line = {"of": [position, channel, block], "seconds": spent, **values}
        if block is not None:
            line["shard"] = self._checksum(position, channel, block)
        self._lines[position, channel, block] = append_line(self.path, line)

    def shard(self, position: int, channel: int, block: int) -> Path:
        """Return a block's file of level 0."""
        return self.path.parent / "0" / self._key(position, channel, block)

    def _key(self, position: int, channel: int, block: int) -> str:
        shape, file = self._layout.shape[2:], self._layout.file[2:]
        counts = [-(-n // f) for n, f in zip(shape, file, strict=True)]
        return "/".join(map(str, ("c", position, channel, *np.unravel_index(block, counts))))

    def _checksum(self, position: int, channel: int, block: int) -> int:
        key = self._key(position, channel, block)
        return checksum_of(self.path.parent / "0" / key, self._layout.inner(key))

    def _is_whole(self, of: tuple[int, int, int | None], line: dict[str, Any]) -> bool:
        """Return whether a block's shard is unchanged."""
        position, channel, block = of
        if block is None:
            return True
        try:
            return bool(self._checksum(position, channel, block) == line["shard"])
        except (OSError, ValueError):
            return False


def start_or_resume(
    store: str, *, shape: tuple[int, ...], chunk: Triple, block: Triple, key: str
) -> "tuple[zarr.Array[Any], Done]":
    """Open the map's level 0 if it was begun for the same key and blocks, else create it."""
    key = digest([key, chunk, block])
    layout = Layout(shape, (1, 1, *block), (1, 1, *chunk))
    level_0 = Path(store) / "0"
    if (level_0 / "zarr.json").exists():
        array = open_to_write(level_0)
        if array.attrs.get("key") == key:
            begin_store(store)
            done = Done(Path(store) / PROGRESS, layout)
            log.info("%s: resuming after %d block(s)", store, done.blocks)
            return array, done
    if Path(store).exists():
        shutil.rmtree(store)
    array = create_level(
        store, shape=shape, dtype="float32", chunk=chunk, shard=block, attributes={"key": key}
    )
    return array, Done(Path(store) / PROGRESS, layout)
