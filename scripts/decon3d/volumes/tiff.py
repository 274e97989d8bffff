"""TIFF, ImageJ TIFF, OME-TIFF and folders of planes as a volume."""

from typing import Any

import tifffile
import zarr

from decon3d.errors import UserError
from decon3d.volumes.metadata import (
    channel_colors_of,
    channel_names_of,
    check_axes,
    voxel_size_um_of,
)
from decon3d.volumes.planes import Planes
from decon3d.volumes.units import seconds
from decon3d.volumes.vendor import open_vendor
from decon3d.volumes.volume import Volume


def open_tiff(path: str) -> Volume:
    """Open the first series of a TIFF, or a microscope maker's format that bioio reads.

    Raises
    ------
    UserError
        If the file cannot be read, or its axes are not supported.
    """
    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        return open_vendor(path, str(error))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    series = file.series[0]
    axes = series.axes
    unknown = [a for a in axes if a in "QI"]
    # A stack without metadata has one axis of unknown meaning: it is Z.
    if len(unknown) == 1 and "Z" not in axes:
        axes = axes.replace(unknown[0], "Z")
    check_axes(path, axes)
    array: Any = zarr.open(series.aszarr(level=0), mode="r")
    sizes, names, colors, interval = _tiff_metadata(file)
    if "Z" not in axes and sizes[0] is None:
        sizes[0] = sizes[1]
    return Volume(
        path,
        array,
        axes,
        voxel_size_um_of(path, sizes),
        channel_names_of(names, axes, array.shape),
        channel_colors_of(colors, axes, array.shape),
        interval,
    )


def open_planes(path: str, files: list[str], level: int) -> Volume:
    """Open a folder with one TIFF file per plane (`planes.plane_files`) as one stack, Z Y X."""
    if level:
        raise UserError(f"{path} is a folder of planes, without a pyramid; no level {level}")
    array = Planes(files)
    with tifffile.TiffFile(files[0]) as file:
        sizes, names, colors, _ = _tiff_metadata(file)
    return Volume(
        path,
        array,
        "ZYX",
        voxel_size_um_of(path, sizes),
        channel_names_of(names, "ZYX", array.shape),
        channel_colors_of(colors, "ZYX", array.shape),
    )


def _tiff_metadata(
    file: tifffile.TiffFile,
) -> tuple[list[tuple[float, str] | None], list[Any], list[str | None], float | None]:
    """Read (size, unit) of Z, Y, X, names and colours of channels, and seconds between times."""
    sizes: list[tuple[float, str] | None] = [None, None, None]
    names: list[Any] = []
    colors: list[str | None] = []
    interval = None
    if file.is_ome and file.ome_metadata:
        pixels = _ome_pixels(file.ome_metadata)
        interval = seconds(pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s"))
        sizes = [
            (float(pixels[f"PhysicalSize{a}"]), str(pixels.get(f"PhysicalSize{a}Unit", "µm")))
            if f"PhysicalSize{a}" in pixels
            else None
            for a in "ZYX"
        ]
        channels = pixels.get("Channel", [])
        channels = channels if isinstance(channels, list) else [channels]
        names = [c.get("Name") for c in channels]
        colors = [_rgb(c.get("Color")) for c in channels]
    elif file.is_imagej:
        meta = file.imagej_metadata or {}
        unit = str(meta.get("unit", ""))
        if unit and unit.lower() not in ("pixel", "pixels"):
            lateral = [_tag_size(file, tag) for tag in ("YResolution", "XResolution")]
            spacing = meta.get("spacing")
            sizes = [(v, unit) if v else None for v in (spacing, *lateral)]
        interval = seconds(meta.get("finterval"), str(meta.get("tunit", "sec")))
        colors = ["".join(f"{v:02X}" for v in table[:, -1]) for table in meta.get("LUTs", ())]
    return sizes, names, colors, interval


def _ome_pixels(xml: str) -> dict[str, Any]:
    """Read the first image's Pixels element: sizes, channels, time increment."""
    images = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels: dict[str, Any] = (images[0] if isinstance(images, list) else images)["Pixels"]
    return pixels


def _rgb(color: Any) -> str | None:
    """Return RRGGBB of OME's colour, RGBA as a signed integer of 32 bits; None if it is none."""
    return f"{(color & 0xFFFFFFFF) >> 8:06X}" if isinstance(color, int) else None


def _tag_size(file: tifffile.TiffFile, tag: str) -> float | None:
    """Pixel size from a resolution tag (pixels per unit)."""
    value = file.pages[0].tags.get(tag)  # type: ignore[union-attr]
    if value is None or not value.value[0]:
        return None
    return float(value.value[1]) / float(value.value[0])
