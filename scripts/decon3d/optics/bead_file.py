"""Read a file that holds the image of a bead, and its voxel size."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.volumes.metadata import chosen_voxel_size, contradiction
from decon3d.volumes.reader import FROM_FILE, Reading, Volume, open_volume
from decon3d.volumes.volume import Triple


def read_bead_file(
    path: Path, *, voxel_size_um: Triple | None, key: str, reading: Reading = FROM_FILE
) -> tuple[NDArray[np.float64], Triple]:
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
        float64 array, axes Z Y X, and the voxel size (Z, Y, X) in µm.

    Raises
    ------
    UserError
        If the file is missing or cannot be read, is not one stack, or has no known voxel size.
    """
    volume, voxel = _open(path, voxel_size_um=voxel_size_um, key=key, reading=reading)
    if text := contradiction(voxel_size_um, volume.voxel_size_um):
        log.warning("%s (%s): %s", key, path, text)
    whole = (slice(None), slice(None), slice(None))
    return volume.read(0, 0, whole).astype(np.float64), voxel


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
            f"{key}.path ({path}): not one stack of planes (Z Y X) but {times} time point(s) and "
            f"{channels} channel(s); save the bead as a stack of its own, or name its axes in "
            f"{key}.axes"
        )
    return volume, chosen_voxel_size(volume, configured=voxel_size_um, key=f"{key}.voxel_size_um")
