"""Read a file that holds the image of a bead, and its voxel size."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.volumes.metadata import chosen_voxel_size, size_warnings
from decon3d.volumes.reader import FROM_FILE, Reading, Volume, open_volume
from decon3d.volumes.volume import Triple


def read_bead_file(
    path: Path, *, voxel_size_um: Triple | None, key: str, reading: Reading = FROM_FILE
) -> tuple[NDArray[np.float64], Triple, list[str]]:
    """Read a stack of one bead as Z Y X, and its voxel size.

    Parameters
    ----------
    path
        Any volume that `open_volume` reads, with one time point and channel.
    voxel_size_um
        Given voxel size (Z, Y, X), in µm; None = from the metadata.
    key
        Config key of the PSF, for messages.
    reading
        Which image of the file, and its axes: the config's `series` and `axes`.

    Returns
    -------
    tuple
        float64 array, axes Z Y X, the voxel size (Z, Y, X) in µm, and what is odd about that size,
        in words for the report.

    Raises
    ------
    UserError
        If the file is missing or cannot be read, is not one stack, or has no known voxel size.
    """
    volume, voxel = _open(path, voxel_size_um=voxel_size_um, key=key, reading=reading)
    whole = (slice(None), slice(None), slice(None))
    data = volume.read(0, 0, whole).astype(np.float64)
    return data, voxel, size_warnings(volume, voxel_size_um)


def check_bead_file(
    path: Path, *, voxel_size_um: Triple | None, key: str, reading: Reading = FROM_FILE
) -> None:
    """Raise what `read_bead_file` would, as far as the file's header shows it."""
    _open(path, voxel_size_um=voxel_size_um, key=key, reading=reading)


def _open(
    path: Path, *, voxel_size_um: Triple | None, key: str, reading: Reading
) -> tuple[Volume, Triple]:
    if not path.exists():
        raise UserError(f"{key}.path: {path} does not exist; check the path")
    try:
        volume = open_volume(path, reading=reading)
    except UserError as error:
        raise UserError(f"{key}.path: {error}") from None
    times, channels, *_ = volume.shape
    if times > 1 or channels > 1:
        raise UserError(
            f"{key}.path ({path}): not one stack of planes (Z Y X), but {times} time point(s) and "
            f"{channels} channel(s); save the bead as its own stack, or name its axes in {key}.axes"
        )
    return volume, chosen_voxel_size(volume, configured=voxel_size_um, key=f"{key}.voxel_size_um")
