"""Open any supported volume as one lazily read T C Z Y X array with its voxel size."""

import os
import stat
from dataclasses import replace
from pathlib import Path

from decon3d import errors
from decon3d.errors import UserError
from decon3d.volumes.metadata import check_stack
from decon3d.volumes.ome_zarr import open_zarr
from decon3d.volumes.planes import plane_files
from decon3d.volumes.tiff import open_planes, open_tiff
from decon3d.volumes.volume import AXES, FROM_FILE, Reading, Volume

__all__ = ["AXES", "FROM_FILE", "Reading", "Volume", "open_volume"]

_KEPT = ("uint8", "uint16", "float32")
_CONVERTED = ("int8", "int16", "int32", "int64", "uint32", "uint64", "float16", "float64")
"""Types that are read as float32; ingest stores integers that fit as uint16."""
_ZIPPED = (".zip", ".ozx")


def open_volume(
    path: str | Path,
    *,
    level: int = 0,
    clip_at_zero: bool = False,
    reading: Reading = FROM_FILE,
    stack: bool = True,
) -> Volume:
    """Open a TIFF, ImageJ or OME-TIFF, an OME-Zarr or zarr array, or a format of bioio's.

    Parameters
    ----------
    path
        The file, an OME-Zarr's folder, or a folder with a TIFF for each plane.
    level
        Resolution level of an OME-Zarr's pyramid; 0 is full resolution.
    clip_at_zero
        Whether to read negative counts as 0: those of a restored volume that is restored again.
    reading
        Which image of a file of several, and what its axes are: the config's `series` and `axes`.
    stack
        Whether it must have several planes along Z; a camera's frames may be one plane each.

    Raises
    ------
    UserError
        If the file has another format, cannot be read, lacks planes, holds several images without a
        choice, is not a stack, or has axes or a dtype that are not supported.
    """
    path = str(path)
    with errors.reading(path):
        _check_kind(path)
        if path.lower().endswith(_ZIPPED) and Path(path).is_file():
            raise UserError(f"{path} is a zipped OME-Zarr; unzip it into a folder and name that")
        if planes := plane_files(path):
            volume = open_planes(path, planes, level, reading)
        elif Path(path).is_dir():
            volume = open_zarr(path, level, reading)
        else:
            volume = open_tiff(path, reading)
        if level == 0 and stack:
            check_stack(volume)
    found = volume.stored_dtype.name
    if found not in _KEPT + _CONVERTED:
        raise UserError(
            f"{path}: counts of type {found} are not supported; save it as {', '.join(_KEPT)}"
        )
    convert_to = None if found in _KEPT else "float32"
    return replace(volume, clip_at_zero=clip_at_zero, convert_to=convert_to)


def _check_kind(path: str) -> None:
    """Reject empty files, pipes and devices; reading a pipe may never end."""
    kind = os.stat(path)
    if stat.S_ISDIR(kind.st_mode):
        return
    if not stat.S_ISREG(kind.st_mode):
        raise UserError(f"{path} is a pipe or a device; give a file or a folder")
    if not kind.st_size:
        raise UserError(f"{path} is empty (0 bytes); copy or export it again")
