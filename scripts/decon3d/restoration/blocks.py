"""The geometry of block-wise work: what a block writes, what it must read, what is mirrored.

The write regions tile the volume exactly once and start on multiples of the block. A read region
is the write region and its halo, cut at the volume's faces; what is missing there is mirrored
(`face`), so that a block looks the same to a network wherever the volume was cut.
"""

from dataclasses import dataclass
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

Triple = tuple[int, int, int]
LARGEST_CHUNK = (32, 128, 128)
SMALLEST = 8
Region = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Block:
    """One block of a volume, all triples in the order Z, Y, X.

    Attributes
    ----------
    write
        Region of the volume that this block restores.
    read
        Region of the volume that it reads: `write` and its halo, inside the volume.
    face
        Voxels to mirror before and after `read` on each axis.
    inner
        Where `write` lies inside the padded read region.
    """

    write: Region
    read: Region
    face: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    inner: Region

    @property
    def origin(self) -> Triple:
        """First voxel of the padded read region in the volume; negative beyond a face."""
        z, y, x = (r.start - f[0] for r, f in zip(self.read, self.face, strict=True))
        return (z, y, x)

    def pad(self, values: NDArray[np.generic]) -> NDArray[np.generic]:
        """Mirror the read values (Z, Y, X) across the volume's faces."""
        return np.pad(values, self.face, mode="symmetric") if np.any(self.face) else values


def grid(shape: Triple, block: Triple) -> Triple:
    """Count the blocks along each axis."""
    z, y, x = (ceil(n / b) for n, b in zip(shape, block, strict=True))
    return (z, y, x)


def block_at(
    index: int,
    *,
    shape: Triple,
    block: Triple,
    halo: Triple,
    stride: Triple = (1, 1, 1),
    mirror: bool = True,
) -> Block:
    """Return the block with a running number (X fastest).

    Parameters
    ----------
    shape
        Of the volume.
    block
        Size of a write region; multiples of `stride`. The last one along an axis may be shorter.
    halo
        Context that a voxel's result depends on; multiples of `stride`.
    stride
        The padded read region starts and ends on multiples of it (only if `mirror`).
    mirror
        Whether to fill the halo beyond the volume's faces; if not, `face` is zero.
    """
    counts = grid(shape, block)
    if not 0 <= index < prod(counts):
        raise IndexError(f"block {index} of {prod(counts)}")
    position = np.unravel_index(index, counts)
    write, read, face, inner = [], [], [], []
    for i, n, b, h, s in zip(position, shape, block, halo, stride, strict=True):
        assert b % s == 0 and h % s == 0, "block and halo are multiples of the stride"
        start, stop = int(i) * b, min(int(i) * b + b, n)
        low, high = start - h, start - h + ceil((stop - start + 2 * h) / s) * s
        first, last = max(low, 0), min(high, n)
        write.append(slice(start, stop))
        read.append(slice(first, last))
        face.append((first - low, high - last) if mirror else (0, 0))
        begin = start - (low if mirror else first)
        inner.append(slice(begin, begin + stop - start))
    return Block(tuple(write), tuple(read), tuple(face), tuple(inner))  # type: ignore[arg-type]


def choose_block(
    shape: Triple,
    *,
    halo: Triple,
    stride: Triple,
    bytes_per_voxel: float,
    memory_bytes: float,
    at_least: int = 1,
) -> tuple[Triple, Triple]:
    """Choose the largest block that fits the memory, and the chunk that it is made of.

    From the whole volume on, the longest axis is halved until the padded block times
    `bytes_per_voxel` fits and there are `at_least` blocks, or until no axis is longer than
    `SMALLEST`.

    Returns
    -------
    block, chunk
        Z, Y, X. The block is a multiple of the chunk on every axis, both of the stride.

    Raises
    ------
    MemoryError
        If not even the smallest block fits with its halo.
    """
    size = [ceil(n / s) * s for n, s in zip(shape, stride, strict=True)]

    def need() -> float:
        return prod(s + 2 * h for s, h in zip(size, halo, strict=True)) * bytes_per_voxel

    while need() > memory_bytes or prod(grid(shape, (size[0], size[1], size[2]))) < at_least:
        axis = max(range(3), key=lambda a: size[a])
        if size[axis] <= max(SMALLEST, stride[axis]):
            if need() > memory_bytes:
                raise MemoryError(f"one block of {tuple(size)} needs {need() / 1e9:.2g} GB")
            break
        size[axis] = ceil(size[axis] / 2 / stride[axis]) * stride[axis]
    chunk = [_divide(n, c, s) for n, c, s in zip(size, LARGEST_CHUNK, stride, strict=True)]
    # A block of several chunks is made longer by less than a chunk's rest.
    block = [ceil(n / c) * c for n, c in zip(size, chunk, strict=True)]
    return (block[0], block[1], block[2]), (chunk[0], chunk[1], chunk[2])


def _divide(size: int, largest: int, stride: int) -> int:
    """Cut a length into the fewest equal chunks (multiples of the stride) up to `largest`."""
    return ceil(size / ceil(size / largest) / stride) * stride
