"""The work list: every block of every time point and channel of some outputs, by a running number.

A block is one shard of the output's level 0, the unit of writing, so two jobs may write different
blocks of one output at the same time.
"""

import shutil
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np

from decon3d.blocks.geometry import Block, Triple, block_at, grid
from decon3d.errors import DamagedError
from decon3d.files import read_json
from decon3d.volumes.manifest import Layout, checksum_of, inner_chunks
from decon3d.volumes.writer import create_level


@dataclass(frozen=True)
class Output:
    """The full resolution of an OME-Zarr that is written block by block.

    `shape` is T, C, Z, Y, X; `chunk` and `block` are Z, Y, X. `key` is a hash of all that decides
    the voxels: while it stays the same, finished blocks are kept.
    """

    store: str
    shape: tuple[int, int, int, int, int]
    dtype: str
    chunk: Triple
    block: Triple
    key: str

    @property
    def level_0(self) -> Path:
        """Folder of the array."""
        return Path(self.store, "0")

    @property
    def blocks(self) -> int:
        """Blocks of one time point and channel."""
        return prod(grid(self.shape[2:], self.block))

    @property
    def items(self) -> int:
        """Blocks in all."""
        return self.blocks * prod(self.shape[:2])

    def create(self) -> None:
        """Create the empty array, unless it exists for the same key: then its content stays."""
        try:
            self.check()
            return
        except DamagedError:  # or missing, or of another key
            shutil.rmtree(self.store, ignore_errors=True)
        create_level(
            self.store,
            shape=self.shape,
            dtype=self.dtype,
            chunk=self.chunk,
            shard=self.block,
            attributes={"key": self.key},
        )

    def check(self) -> None:
        """Check that the array exists and was created for this key.

        Raises
        ------
        DamagedError
            If its metadata are missing, damaged, or of another key.
        """
        if self.created_for() != self.key:
            raise DamagedError(self.level_0 / "zarr.json", "was made for another plan")

    def created_for(self) -> str:
        """Return the key that the array was created for.

        Raises
        ------
        DamagedError
            If its metadata are missing, damaged, or of another type or layout.
        """
        path = self.level_0 / "zarr.json"
        metadata = read_json(path)
        try:
            key, dtype = str(metadata["attributes"]["key"]), metadata["data_type"]
            layout = Layout.of(metadata)
        except (KeyError, TypeError, IndexError):
            raise DamagedError(path, "is damaged") from None
        if (dtype, layout) != (
            self.dtype,
            Layout(self.shape, (1, 1, *self.block), (1, 1, *self.chunk)),
        ):
            raise DamagedError(path, "is damaged, or was made for another plan")
        return key


@dataclass(frozen=True)
class Item:
    """One block of one time point and channel of an output.

    `number` counts within the work list, `output` within its outputs.
    """

    number: int
    output: int
    time: int
    channel: int
    block: Block

    @property
    def voxels(self) -> int:
        """Voxels that the item writes."""
        return prod(s.stop - s.start for s in self.block.write)


@dataclass(frozen=True)
class WorkList:
    """The blocks of some outputs: output × time × channel × block, the last fastest.

    `halo`, `stride` and `mirror` are those of `geometry.block_at`. Items are numbered, not listed:
    10 TB have 100 000 of them.
    """

    outputs: Sequence[Output]
    halo: Triple
    stride: Triple = (1, 1, 1)
    mirror: bool = True

    @cached_property
    def starts(self) -> list[int]:
        """Number of each output's first item, and the number of all items."""
        return [0, *np.cumsum([output.items for output in self.outputs]).tolist()]

    def __len__(self) -> int:
        return self.starts[-1]

    def numbers(self, output: int) -> range:
        """Return the numbers of an output's items."""
        return range(self.starts[output], self.starts[output + 1])

    def outputs_of(self, numbers: range) -> list[int]:
        """Return the outputs that some items write to."""
        return [
            output
            for output, (start, stop) in enumerate(pairwise(self.starts))
            if numbers and start < numbers.stop and numbers.start < stop
        ]

    def item(self, number: int) -> Item:
        """Return an item by its number."""
        index = bisect_right(self.starts, number) - 1
        output = self.outputs[index]
        stack, block = divmod(number - self.starts[index], output.blocks)
        time, channel = divmod(stack, output.shape[1])
        geometry = block_at(
            block,
            shape=output.shape[2:],
            block=output.block,
            halo=self.halo,
            stride=self.stride,
            mirror=self.mirror,
        )
        return Item(number, index, time, channel, geometry)

    def shard(self, item: Item) -> Path:
        """Return the file that an item writes."""
        output = self.outputs[item.output]
        place = [w.start // b for w, b in zip(item.block.write, output.block, strict=True)]
        return output.level_0.joinpath("c", *map(str, (item.time, item.channel, *place)))

    def checksum(self, item: Item) -> int:
        """Return the checksum of the checksums in the file that an item writes.

        Raises
        ------
        FileNotFoundError, ValueError
            If it is missing or damaged.
        """
        output = self.outputs[item.output]
        extent = tuple(s.stop - s.start for s in item.block.write)
        return checksum_of(self.shard(item), inner_chunks(output.block, output.chunk, extent))
