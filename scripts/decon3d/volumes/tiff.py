"""TIFF, ImageJ TIFF, OME-TIFF and folders of planes as a volume."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import tifffile
import zarr

from decon3d.errors import UserError
from decon3d.units import finite, micrometres, seconds
from decon3d.volumes.metadata import (
    ImageMetadata,
    Length,
    axes_of,
    channel_colors_of,
    channel_names_of,
    position_of,
    voxel_in_um,
)
from decon3d.volumes.ome_xml import ome_xml_of, read_ome_xml
from decon3d.volumes.planes import Planes
from decon3d.volumes.tiff_pages import (
    check_chain,
    check_grey,
    check_pages,
    image_series,
    ome_series,
    strict,
)
from decon3d.volumes.vendor import open_vendor
from decon3d.volumes.volume import FROM_FILE, Reading, Volume

_CENTIMETRE = 3
_MAKERS = {"ndtiff", "micromanager", "scanimage", "fluoview", "lsm", "stk"}
"""Kinds of TIFF whose own metadata hold the order of the planes."""


def open_tiff(path: str, reading: Reading = FROM_FILE) -> Volume:
    """Open one image of a TIFF, or a microscope maker's format that bioio reads.

    Raises
    ------
    UserError
        If the file cannot be read or is incomplete, holds several images of which none is chosen,
        or its axes are not supported.
    """
    with strict(path):
        try:
            file = tifffile.TiffFile(path)
        except tifffile.TiffFileError as error:
            return open_vendor(path, str(error), reading)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
        try:
            check_chain(path, file)
            series, metadata = _image(path, file, reading)
            bits = series.keyframe.bitspersample
            if metadata.significant_bits is None and bits < 8 * series.dtype.itemsize:
                metadata = replace(metadata, significant_bits=bits)
            check_pages(path, series)
            if not file.is_imagej:  # the counts are as stored, for any colour map
                check_grey(path, series.keyframe)
            array: Any = zarr.open(series.aszarr(level=0, squeeze=False), mode="r")
        except BaseException:
            file.close()
            raise
    stated = series.get_axes(squeeze=False)
    axes = axes_of(path, array.shape, stated, reading.axes)
    volume = _volume(path, array, axes, metadata)
    if any(a != s and {a, s} <= set("ZYX") for a, s in zip(axes, stated, strict=True)):
        problem = f"the config's `axes` exchange the {stated.replace('S', '')} of the file"
        volume = replace(volume, voxel_size_um=None, voxel_size_problem=problem, position_um=None)
    if not series.is_multifile:
        return volume
    files = {page.parent.filehandle.path for page in series._pages if page is not None}
    return replace(volume, files=tuple(sorted(os.path.realpath(name) for name in files)))


def open_planes(path: str, files: list[str], level: int, reading: Reading = FROM_FILE) -> Volume:
    """Open a folder with one TIFF file per plane (`planes.plane_files`).

    They are one stack, Z Y X, or the image of their OME-XML if it describes a set of files.

    Parameters
    ----------
    path, files
        The folder, and its planes from `plane_files`.
    level
        Must be 0: there is no pyramid.
    reading
        Axes of the config; ZYX accepts any file names.

    Raises
    ------
    UserError
        If the files are not one stack, or cannot be read.
    """
    if level:
        raise UserError(f"{path} is a folder of planes, without a pyramid; no level {level}")
    if _is_ome_set(path, files):
        return replace(open_tiff(files[0], reading), path=path)
    if reading.series is not None or reading.axes not in (None, "ZYX"):
        raise UserError(
            f"{path} is a folder of planes: one image with the axes ZYX; `series` and other `axes` "
            "do not apply to it"
        )
    array = Planes(files, any_names=reading.axes == "ZYX")
    with tifffile.TiffFile(files[0]) as file:
        metadata = _ome_or_imagej(files[0], file, single_plane=True)
    return _volume(path, array, "ZYX", metadata)


def _is_ome_set(path: str, files: list[str]) -> bool:
    """Return whether the XML of a folder's first file describes an image in several files.

    Raises
    ------
    UserError
        If the folder holds other files, too.
    """
    with strict(files[0]), tifffile.TiffFile(files[0]) as file:
        text = ome_xml_of(file)
        if text is None:
            return False
        images = read_ome_xml(text, files[0]).images
    named = {os.path.basename(b.file) for image in images for b in image.blocks if b.file}
    if not named:
        return False
    odd = [f for f in map(os.path.basename, files[1:]) if f not in named]
    if odd:
        raise UserError(
            f"{path}: {odd[0]} is not part of the set of files that {os.path.basename(files[0])} "
            "describes; keep each set in a folder of its own, or list one file of each"
        )
    return True


def _volume(path: str, array: Any, axes: str, metadata: ImageMetadata) -> Volume:
    size, problem = voxel_in_um(metadata.voxel)
    return Volume(
        path,
        array,
        axes,
        size,
        channel_names_of(metadata.channel_names, axes, array.shape),
        channel_colors_of(metadata.channel_colors, axes, array.shape),
        metadata.time_interval_s,
        voxel_size_problem=problem,
        position_um=position_of(metadata.position),
        significant_bits=metadata.significant_bits,
        stated=metadata.stated,
    )


def _image(
    path: str, file: tifffile.TiffFile, reading: Reading
) -> tuple[tifffile.TiffPageSeries, ImageMetadata]:
    """Choose the image to read, with its metadata."""
    text = ome_xml_of(file)
    if text is not None:
        described = read_ome_xml(text, path)
        images = [image for image in described.images if not image.is_label] or described.images
        image = images[reading.choose(path, [image.name for image in images])]
        if image.modulo and reading.axes is None:
            raise UserError(
                f"{path}: its {image.modulo} axis also counts phases, angles, wavelengths or the "
                "like (OME's ModuloAlong annotation); save each of these as a volume of its own, "
                "or name all axes in the dataset's `axes` to read them one after the other"
            )
        return ome_series(path, file, described, image), image.metadata
    found = image_series(file)
    if not found:
        raise UserError(f"{path} holds no image; export it again")
    names = [series.name or " × ".join(map(str, series.shape)) for series in found]
    series = found[reading.choose(path, names)]
    if file.is_imagej:
        metadata = _of_imagej(file)
        _refuse_miscount(path, file, series)
        _refuse_calibrated(path, file)
        return series, metadata
    makers = _MAKERS & set(file.flags)
    unordered = series.kind in ("uniform", "generic") and len(series._pages) > 1
    if makers and unordered and reading.axes is None:
        raise UserError(
            f"{path}: the metadata of {min(makers)} on the order of its {len(series._pages)} "
            "planes are missing or unreadable; copy the whole folder (with NDTiff.index, if there "
            "is one), or name all axes in the dataset's `axes`"
        )
    return series, ImageMetadata()


def _refuse_calibrated(path: str, file: tifffile.TiffFile) -> None:
    """Reject counts with a calibration function of ImageJ, such as those of signed 16 bits.

    The function is written as `cf` (its kind), `c0`, `c1` …; a straight line from 0 with slope 1
    changes nothing.
    """
    meta = file.imagej_metadata or {}
    coefficients = [meta[f"c{i}"] for i in range(10) if f"c{i}" in meta]
    if "cf" in meta and (meta["cf"] != 0 or coefficients != [0.0, 1.0]):
        raise UserError(
            f"{path}: its counts have a calibration function of ImageJ (cf {meta['cf']}, "
            f"coefficients {coefficients}), as for signed 16 bits; open it in ImageJ, "
            "convert it with Image > Type > 32-bit, and save it again"
        )


def _refuse_miscount(path: str, file: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Reject an ImageJ file whose number of planes differs from its metadata."""
    stated = (file.imagej_metadata or {}).get("images", 1)
    planes = series.size // max(1, series.keyframe.size)
    if len(file.pages) > planes:
        extra: Any = file.pages.get(planes, aspage=True)
        if extra.hash == series.keyframe.hash:
            raise UserError(
                f"{path}: ImageJ's metadata state {planes} planes, but it holds {len(file.pages)}; "
                "export it again"
            )
    if isinstance(stated, int) and stated > planes:
        raise UserError(
            f"{path} is incomplete: ImageJ's metadata state {stated} planes, but it holds "
            f"{planes}; copy or export it again"
        )


def _ome_or_imagej(path: str, file: tifffile.TiffFile, *, single_plane: bool) -> ImageMetadata:
    text = ome_xml_of(file)
    if text is not None:
        return read_ome_xml(text, path).images[0].metadata
    return _of_imagej(file, single_plane=single_plane) if file.is_imagej else ImageMetadata()


def _of_imagej(file: tifffile.TiffFile, *, single_plane: bool = False) -> ImageMetadata:
    """Read ImageJ's calibration, as ImageJ does.

    Where a unit is given, a size without a number is 1.0 (`ij.io.FileInfo`): ImageJ does not write
    a spacing of 1. `yunit` and `zunit` are given where they differ from `unit`. Resolutions per
    centimetre beside a unit of µm are converted.
    """
    meta = file.imagej_metadata or {}
    tables = meta.get("LUTs", ())
    tables = [tables] if isinstance(tables, np.ndarray) else tables  # tifffile unpacks a single one
    unit = str(meta.get("unit", "")).strip()
    units = [str(meta.get(f"{axis}unit", "") or unit).strip() for axis in "zyx"]
    sizes: list[Length | None] = [None, None, None]
    if not _is_pixel(unit):
        spacing = finite(meta.get("spacing", 1.0))
        tags = ("YResolution", "XResolution")
        values = [spacing, *(_tag_size(file, tag) for tag in tags)]
        factors = [1.0, *[_of_centimetres(file, u) for u in units[1:]]]
        sizes = [
            (None if v is None else v * f, u)
            for v, f, u in zip(values, factors, units, strict=True)
        ]
        if single_plane and "spacing" not in meta:
            sizes[0] = None
    return ImageMetadata(
        (sizes[0], sizes[1], sizes[2]),
        channel_colors=tuple("".join(f"{v:02X}" for v in table[:, -1]) for table in tables),
        time_interval_s=seconds(meta.get("finterval"), str(meta.get("tunit", "sec"))),
    )


def _is_pixel(unit: str) -> bool:
    return unit.lower() in ("", "pixel", "pixels")


def _of_centimetres(file: tifffile.TiffFile, unit: str) -> float:
    """Return what a resolution per centimetre is multiplied with for a unit of µm."""
    per = file.pages.first.tags.valueof("ResolutionUnit", 1)
    return 1e4 if per == _CENTIMETRE and micrometres(1, unit) == 1.0 else 1.0


def _tag_size(file: tifffile.TiffFile, tag: str) -> float | None:
    """Pixel size from a resolution tag (pixels per unit); 1 without the tag."""
    value = file.pages.first.tags.valueof(tag)
    if value is None:
        return 1.0
    pixels, units = (finite(v) or 0.0 for v in value)
    return units / pixels if pixels else None
