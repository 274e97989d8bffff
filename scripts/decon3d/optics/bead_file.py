"""Read a TIFF that holds the image of a bead, and its voxel size."""

import contextlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from decon3d.errors import UserError, reading

Triple = tuple[float, float, float]

_MICROMETRES = {
    "um": 1.0, "µm": 1.0, "μm": 1.0, "\\u00b5m": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "nm": 1e-3, "mm": 1e3, "m": 1e6, "cm": 1e4, "inch": 25400.0,
}  # fmt: skip


def read_bead_file(
    path: Path, *, voxel_size_um: Triple | None, key: str
) -> tuple[NDArray[np.float64], Triple]:
    """Read the first series of a TIFF as Z Y X, and its voxel size.

    Parameters
    ----------
    path
        TIFF, OME-TIFF or ImageJ TIFF.
    voxel_size_um
        Given voxel size (Z, Y, X), in µm; None = from the metadata.
    key
        Config key of the PSF, for messages.

    Returns
    -------
    tuple
        float64 array, axes Z Y X, and the voxel size (Z, Y, X) in µm.

    Raises
    ------
    UserError
        If the file is missing or no TIFF, is not 3D, or has no known voxel size.
    """
    with _open(path, key) as file:
        sizes, voxel = _header(file, path, voxel_size_um=voxel_size_um, key=key)
        data = file.series[0].asarray()
    return data.reshape(sizes).astype(np.float64), voxel


def check_bead_file(path: Path, *, voxel_size_um: Triple | None, key: str) -> None:
    """Raise what `read_bead_file` would, as far as the file's header shows it."""
    with _open(path, key) as file:
        _header(file, path, voxel_size_um=voxel_size_um, key=key)


@contextlib.contextmanager
def _open(path: Path, key: str) -> Iterator[tifffile.TiffFile]:
    if not path.is_file():
        raise UserError(f"{key}.path: {path} does not exist; check the path")
    with reading(f"{key}.path: {path}"), tifffile.TiffFile(path) as file:
        yield file


def _header(
    file: tifffile.TiffFile, path: Path, *, voxel_size_um: Triple | None, key: str
) -> tuple[list[int], Triple]:
    """Return the numbers of voxels and the voxel size (Z, Y, X) in µm."""
    series = file.series[0]
    voxel = voxel_size_um or metadata_voxel_size(file)
    kept = [(axis, size) for axis, size in zip(series.axes, series.shape, strict=True) if size > 1]
    if len(kept) != 3 or kept[-1][0] != "X" or kept[-2][0] != "Y" or kept[0][0] in "CS":
        given = " × ".join(f"{axis} {size}" for axis, size in kept)
        raise UserError(
            f"{key}.path ({path}): not one stack of planes (Z Y X) but {given or 'one voxel'}"
        )
    if voxel is None:
        raise UserError(
            f"{key}.voxel_size_um is missing: the metadata of {path} does not hold the voxel "
            "size; give [Z, Y, X] in µm, e.g. [0.1, 0.1, 0.1]"
        )
    return [size for _, size in kept], voxel


def metadata_voxel_size(tif: tifffile.TiffFile) -> Triple | None:
    """Voxel size (Z, Y, X) in µm from OME or ImageJ metadata; None where it is not all there."""
    if tif.ome_metadata:
        return _from_ome(tif.ome_metadata)
    return _from_imagej(tif)


def _from_ome(text: str) -> Triple | None:
    pixels = next((e for e in ET.fromstring(text).iter() if e.tag.endswith("}Pixels")), None)
    if pixels is None:
        return None
    sizes = []
    for axis in "ZYX":
        value = pixels.get(f"PhysicalSize{axis}")
        unit = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm").lower())
        if value is None or unit is None:
            return None
        sizes.append(float(value) * unit)
    return sizes[0], sizes[1], sizes[2]


def _from_imagej(tif: tifffile.TiffFile) -> Triple | None:
    metadata: dict[str, Any] = tif.imagej_metadata or {}
    unit = _MICROMETRES.get(str(metadata.get("unit", "")).lower())
    spacing = metadata.get("spacing")
    tags = tif.series[0].keyframe.tags
    if unit is None or not spacing or "XResolution" not in tags or "YResolution" not in tags:
        return None
    (xn, xd), (yn, yd) = tags["XResolution"].value, tags["YResolution"].value
    if not (xn and yn and xd and yd):
        return None
    return float(spacing) * unit, yd / yn * unit, xd / xn * unit
