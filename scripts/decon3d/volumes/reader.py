"""Open any supported volume as one lazily read T C Z Y X array with its voxel size."""

from dataclasses import replace
from pathlib import Path

from decon3d.errors import UserError
from decon3d.volumes.ome_zarr import open_zarr
from decon3d.volumes.planes import plane_files
from decon3d.volumes.tiff import open_planes, open_tiff
from decon3d.volumes.volume import AXES, Volume

__all__ = ["AXES", "Volume", "open_volume"]

_DTYPES = ("uint8", "uint16", "float32")


def open_volume(path: str | Path, *, level: int = 0, clip_at_zero: bool = False) -> Volume:
    """Open a TIFF, ImageJ or OME-TIFF, an OME-Zarr 0.4 / 0.5, or what bioio reads if installed.

    Parameters
    ----------
    path
        The file, an OME-Zarr's folder, or a folder with a TIFF for each plane.
    level
        Resolution level of an OME-Zarr's pyramid; 0 is full resolution.
    clip_at_zero
        Whether to read negative counts as 0: those of a restored volume that is restored again.

    Raises
    ------
    UserError
        If the file is none of these, or its axes or dtype are not supported.
    """
    path = str(path)
    if planes := plane_files(path):
        volume = open_planes(path, planes, level)
    else:
        volume = open_zarr(path, level) if Path(path).is_dir() else open_tiff(path)
    if volume.dtype.name not in _DTYPES:
        raise UserError(
            f"{path}: counts of type {volume.dtype.name} are not supported; "
            f"save it as {', '.join(_DTYPES)}"
        )
    return replace(volume, clip_at_zero=True) if clip_at_zero else volume
