"""The geometry of block-wise work: the regions that a block writes, reads and mirrors.

The write regions tile the volume exactly once and start on multiples of the block. A read region is
the write region and its halo, cut at the volume's faces. Beyond the faces, voxels are mirrored
(`face`), so that a block looks the same to a network for any division of the volume. Mirrored
blocks have the same size as the others, also at the end of the volume, since engines need one
shape.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError

Triple = tuple[int, int, int]
LARGEST_CHUNK = (32, 128, 128)
SMALLEST = 8
BLOCK_COST = 1e4
"""Voxels whose computation takes as long as the overhead of a block: files, calls."""
Region = tuple[slice, slice, slice]
T = TypeVar("T")
T_Values = TypeVar("T_Values", bound=np.generic)


def triple(values: Iterable[T]) -> tuple[T, T, T]:
    """Return the values of the three axes (Z, Y, X) as a tuple."""
    z, y, x = values
    return (z, y, x)


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
        return triple(r.start - f[0] for r, f in zip(self.read, self.face, strict=True))

    def pad(self, values: NDArray[T_Values]) -> NDArray[T_Values]:
        """Mirror the read values (Z, Y, X, or channels before them) across the volume's faces."""
        if not np.any(self.face):
            return values
        return np.pad(values, [(0, 0)] * (values.ndim - 3) + [*self.face], mode="symmetric")


def centred(shape: Sequence[int], size: Triple) -> Region:
    """Return the middle region of a shape (Z, Y, X), of `size` voxels at most."""
    return triple(
        slice((n - min(n, s)) // 2, (n + min(n, s)) // 2) for n, s in zip(shape, size, strict=True)
    )


def grid(shape: Triple, block: Triple) -> Triple:
    """Count the blocks along each axis."""
    return triple(ceil(n / b) for n, b in zip(shape, block, strict=True))


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
        Whether to fill a whole block and its halo beyond the volume's faces; if not, `face` is
        zero.
    """
    counts = grid(shape, block)
    if not 0 <= index < prod(counts):
        raise IndexError(f"block {index} of {prod(counts)}")
    in_strides = (n % s == 0 for sizes in (block, halo) for n, s in zip(sizes, stride, strict=True))
    assert all(in_strides), "block and halo are multiples of the stride"
    starts = (int(i) * b for i, b in zip(np.unravel_index(index, counts), block, strict=True))
    write = (slice(i, min(i + b, n)) for i, b, n in zip(starts, block, shape, strict=True))
    return block_of(triple(write), shape, halo=halo, size=block, mirror=mirror)


def block_of(
    write: Region,
    shape: Triple,
    *,
    halo: Triple,
    size: Triple | None = None,
    mirror: bool = True,
) -> Block:
    """Return any region (Z, Y, X) of a volume as a block.

    Parameters
    ----------
    shape, halo, mirror
        As for `block_at`.
    size
        Size of a whole block, which is padded beyond a face of the volume; None = the region's.
    """
    read, face, inner = [], [], []
    sizes = size or [part.stop - part.start for part in write]
    for part, n, h, b in zip(write, shape, halo, sizes, strict=True):
        low, high = part.start - h, part.start + b + h
        first, last = max(low, 0), min(high, n)
        read.append(slice(first, last))
        face.append((first - low, high - last) if mirror else (0, 0))
        begin = part.start - (low if mirror else first)
        inner.append(slice(begin, begin + part.stop - part.start))
    return Block(write, triple(read), triple(face), triple(inner))


def padded_voxels(block: Triple, shape: Triple, *, halo: Triple, mirror: bool) -> int:
    """Count the voxels of the largest block with its halo; inside the volume unless mirrored."""
    sizes = zip(block, shape, halo, strict=True)
    return prod(int(_padded(b, n, h, mirror).max()) for b, n, h in sizes)


def _padded(block: int, size: int, halo: int, mirror: bool) -> NDArray[np.int64]:
    """Return the length of each block of an axis with its halo."""
    starts = np.arange(0, size, block)
    if mirror:
        return np.full(len(starts), block + 2 * halo)
    return np.minimum(starts + block + halo, size) - np.maximum(starts - halo, 0)


@lru_cache(maxsize=64)
def choose_block(
    shape: Triple,
    *,
    halo: Triple,
    stride: Triple,
    bytes_per_voxel: float,
    memory_bytes: float,
    reserved_bytes: float = 0.0,
    at_least: int = 1,
    mirror: bool = True,
) -> tuple[Triple, Triple]:
    """Choose the block that fits the memory with the least work, and its chunk.

    Of all ways to cut the axes into equal lengths, the one with the fewest voxels to compute, halo
    included (and each block costs something); of those, the one whose longest side is shortest.

    Parameters
    ----------
    shape
        Of the volume.
    halo, stride
        As for `block_at`.
    bytes_per_voxel
        Memory per voxel of the padded block.
    memory_bytes, reserved_bytes
        The whole memory, and the part of it that is taken already.
    at_least
        Least number of blocks, if the volume is large enough.
    mirror
        As for `block_at`: without, blocks at the volume's faces have no halo there.

    Returns
    -------
    block, chunk
        Z, Y, X. The block is a multiple of the chunk on every axis, both of the stride.

    Raises
    ------
    UserError
        If not even the smallest block fits with its halo.
    """
    axes = [_lengths(n, c, s) for n, c, s in zip(shape, LARGEST_CHUNK, stride, strict=True)]
    lengths = [
        [_padded(b, n, h, mirror) for b in axis]
        for axis, n, h in zip(axes, shape, halo, strict=True)
    ]
    padded = [np.array([int(of_axis.max()) for of_axis in axis]) for axis in lengths]
    totals = [np.array([int(of_axis.sum()) for of_axis in axis]) for axis in lengths]
    counts = [np.array([len(of_axis) for of_axis in axis]) for axis in lengths]
    most = (memory_bytes - reserved_bytes) / bytes_per_voxel
    smallest = prod(int(p.min()) for p in padded)
    if smallest > most:
        size = tuple(min(axis) for axis in axes)
        need = smallest * bytes_per_voxel + reserved_bytes
        raise UserError(
            f"restoration.memory_gb: {memory_bytes / 1e9:g} is too little: the smallest block, "
            f"{size} voxels (Z, Y, X) with {halo} more on each side, needs "
            f"{ceil(need / 1e7) / 100:g} GB; set this value"
        )
    at_least = min(at_least, prod(int(c.max()) for c in counts))
    best: tuple[float, Triple] | None = None
    for z, (pz, tz, cz) in enumerate(zip(padded[0], totals[0], counts[0], strict=True)):
        voxels = pz * padded[1][:, None] * padded[2]
        blocks = cz * counts[1][:, None] * counts[2]
        side = np.maximum(axes[0][z], np.maximum.outer(axes[1], axes[2]))
        work = tz * totals[1][:, None] * totals[2] + BLOCK_COST * blocks
        work = work * (1 + 1e-9 * side)
        work[(voxels > most) | (blocks < at_least)] = np.inf
        y, x = np.unravel_index(int(np.argmin(work)), work.shape)
        if best is None or work[y, x] < best[0]:
            best = (float(work[y, x]), (axes[0][z], axes[1][y], axes[2][x]))
    assert best is not None
    block = best[1]
    if not np.isfinite(best[0]):  # more blocks than the memory requires
        block = (min(axes[0]), min(axes[1]), min(axes[2]))
    chunk = (_divide(n, c, s) for n, c, s in zip(block, LARGEST_CHUNK, stride, strict=True))
    return block, triple(chunk)


def _lengths(size: int, largest_chunk: int, stride: int) -> list[int]:
    """List the lengths of the blocks that an axis can be cut into: equal, of whole chunks."""
    found: list[int] = []
    for parts in range(1, ceil(size / max(SMALLEST, stride)) + 1):
        length = ceil(size / parts / stride) * stride
        chunk = _divide(length, largest_chunk, stride)
        # A block of several chunks is made longer by less than a chunk's rest.
        length = ceil(length / chunk) * chunk
        if length not in found[-1:]:
            found.append(length)
    return found


def _divide(size: int, largest: int, stride: int) -> int:
    """Cut a length into the fewest equal chunks (multiples of the stride) up to `largest`."""
    return ceil(size / ceil(size / largest) / stride) * stride
