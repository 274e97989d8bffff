"""A user's own clean volume as the object: crops of it, flipped, on the image's voxels."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.phantoms.grids import Grid, Volume, VoxelSize, along
from decon3d.phantoms.sections import ObjectFile
from decon3d.user_paths import expand_path
from decon3d.volumes.reader import FROM_FILE, Reading, open_volume


@dataclass(frozen=True)
class OwnObject:
    """A file of a clean volume, with its range and hash.

    Attributes
    ----------
    voxel_size_um
        Voxel size (Z, Y, X), in µm; None = unknown, taken as the image's.
    digest
        Hash of its values.
    reading
        Which image of the file it is, and its axes.
    """

    path: str
    voxel_size_um: VoxelSize | None
    lowest: float
    highest: float
    digest: str
    reading: Reading = FROM_FILE


def open_own_object(name: str, entry: ObjectFile) -> OwnObject:
    """Read a user's volume, one plane at a time: its range, its hash, its voxel size.

    The first time point and channel count.

    Raises
    ------
    UserError
        If it cannot be read, holds NaN, or is flat.
    """
    reading = Reading.of(entry)
    volume = open_volume(expand_path(entry.path), reading=reading)
    lowest, highest, content = np.inf, -np.inf, hashlib.sha256(str(volume.shape).encode())
    for z in range(volume.shape[2]):
        plane = volume.read(0, 0, (slice(z, z + 1), slice(None), slice(None)))
        if not np.isfinite(plane).all():
            raise UserError(
                f"phantoms.objects.{name}: {volume.path} holds NaN or infinite values in plane "
                f"{z}; export it again"
            )
        lowest, highest = min(lowest, float(plane.min())), max(highest, float(plane.max()))
        content.update(np.ascontiguousarray(plane).tobytes())
    if not highest > lowest:
        raise UserError(
            f"phantoms.objects.{name}: {volume.path} has the value {lowest:g} in all voxels; give "
            "a volume with structure"
        )
    voxel = entry.voxel_size_um or volume.voxel_size_um
    if voxel is None and volume.voxel_size_problem:
        raise UserError(
            f"phantoms.objects.{name}.voxel_size_um: the voxel size that {volume.path} states "
            f"cannot be used ({volume.voxel_size_problem}); give it here as [Z, Y, X] in µm"
        )
    return OwnObject(volume.path, voxel, lowest, highest, content.hexdigest()[:16], reading)


def draw_crop(own: OwnObject, grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw a crop of a user's volume at random, flipped at random along each axis.

    The volume's range becomes 0 … 1. A coarser grid averages the voxels it covers, a finer one
    interpolates linearly. Where the grid's box is larger than the volume, its mirror image goes
    on beyond its faces.

    Parameters
    ----------
    own
        From `open_own_object`.
    grid
        Voxels of the crop and their size.
    rng
        Random generator.

    Returns
    -------
    array of float32, (Z, Y, X)
    """
    volume = open_volume(own.path, reading=own.reading)
    steps = np.divide(grid.voxel_size_um, own.voxel_size_um or grid.voxel_size_um)
    regions, folds, matrices = [], [], []
    for axis, (count, step) in enumerate(zip(grid.shape, steps, strict=True)):
        size = volume.shape[2 + axis]
        weights = _averaging(count, float(step))
        needed = weights.shape[1]
        start = rng.integers(size - needed + 1) if needed <= size else rng.integers(size)
        at = np.arange(start, start + needed) % (2 * size)
        at = np.minimum(at, 2 * size - 1 - at)
        if rng.random() < 0.5:
            at = at[::-1]
        regions.append(slice(int(at.min()), int(at.max()) + 1))
        folds.append(at - at.min())
        matrices.append(weights)
    values = volume.read(0, 0, (regions[0], regions[1], regions[2])).astype(np.float32)
    crop = (values[np.ix_(*folds)] - np.float32(own.lowest)) / np.float32(own.highest - own.lowest)
    for axis, weights in enumerate(matrices):
        crop = along(axis, weights, crop)
    return crop


def _averaging(count: int, step: float) -> NDArray[np.float32]:
    """Rows of weights: `count` voxels of length `step` over as many source voxels as they need.

    Row i averages over max(step, 1) around the voxel's middle, each source voxel being constant:
    the mean over a coarser voxel, linear interpolation for a finer one, the identity for one of
    the same size.
    """
    width = max(step, 1.0)
    start = np.arange(count)[:, None] * step
    needed = int(np.ceil(round(float((count - 1) * step + width), 6)))
    source = np.arange(needed)
    shared = np.minimum(start + width, source + 1) - np.maximum(start, source)
    return (np.clip(shared, 0, None) / width).astype(np.float32)
