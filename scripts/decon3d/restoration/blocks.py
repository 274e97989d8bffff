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
    chunk: Triple,
    bytes_per_voxel: float,
    memory_bytes: float,
    at_least: int = 1,
) -> Triple:
    """Choose the largest block (Z, Y, X; multiples of `chunk`) that fits the memory.

    The longest axis is halved until the padded block times `bytes_per_voxel` fits and there are
    `at_least` blocks, or until a block is one chunk.

    Raises
    ------
    MemoryError
        If not even one chunk with its halo fits.
    """
    size = [ceil(n / c) * c for n, c in zip(shape, chunk, strict=True)]

    def need() -> float:
        padded = [min(s, n) + 2 * h for s, n, h in zip(size, shape, halo, strict=True)]
        return prod(padded) * bytes_per_voxel

    def blocks() -> int:
        return prod(grid(shape, (size[0], size[1], size[2])))

    while need() > memory_bytes or blocks() < at_least:
        axes = [a for a in range(3) if size[a] > chunk[a]]
        if not axes:
            if need() > memory_bytes:
                raise MemoryError(f"one block of {tuple(size)} needs {need() / 1e9:.1f} GB")
            break
        axis = max(axes, key=lambda a: size[a])
        size[axis] = ceil(size[axis] / 2 / chunk[axis]) * chunk[axis]
    return (size[0], size[1], size[2])
