"""Any supported volume as one lazily read T C Z Y X array with its voxel size."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from ome_zarr_models import open_ome_zarr

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.volumes.planes import Planes, plane_files
from decon3d.volumes.units import micrometres, seconds

if TYPE_CHECKING:
    import dask.array as da

AXES = "TCZYX"
_DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class Volume:
    """An acquisition, read on demand.

    `array` has the file's own axes, `axes` names them (a subset of T C Z Y X in any order);
    everything else speaks T C Z Y X. `channel_colors` (RRGGBB) are those of all channels, or none.
    With `clip_at_zero`, `read` gives 0 for negative counts.
    """

    path: str
    array: Any
    axes: str
    voxel_size_um: tuple[float, float, float] | None
    channel_names: tuple[str, ...]
    channel_colors: tuple[str, ...] = ()
    time_interval_s: float | None = None
    clip_at_zero: bool = False
    shape: tuple[int, int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        object.__setattr__(self, "shape", tuple(sizes.get(a, 1) for a in AXES))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored counts."""
        return np.dtype(self.array.dtype)

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Voxels (Z, Y, X) that the file holds, and is read, as one."""
        chunks = getattr(self.array, "chunks", None) or [1] * len(self.axes)
        sizes = [c if isinstance(c, int) else max(c) for c in chunks]  # dask lists all
        by_axis = dict(zip(self.axes, sizes, strict=True))
        return (by_axis.get("Z", 1), by_axis["Y"], by_axis["X"])

    def read(self, time: int, channel: int, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        """Read one region (Z, Y, X slices) of one time point and channel, as stored."""
        wanted = dict(zip(AXES, (time, channel, *region), strict=True))
        values = np.asarray(self.array[tuple(wanted[a] for a in self.axes)])
        kept = [a for a in self.axes if a in "ZYX"]
        values = values.transpose([kept.index(a) for a in "ZYX" if a in kept])
        if "Z" not in kept:
            values = values[np.newaxis]
        return np.maximum(values, 0) if self.clip_at_zero else values

    @cached_property
    def data(self) -> "da.Array":
        """The whole acquisition as a lazy dask array, T C Z Y X."""
        import dask.array as da  # half a second or more, and most jobs read regions only

        values = da.from_array(self.array, chunks=getattr(self.array, "chunks", "auto"))
        present = [a for a in AXES if a in self.axes]
        values = values.transpose([self.axes.index(a) for a in present])
        return values[tuple(slice(None) if a in self.axes else np.newaxis for a in AXES)]


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
        volume = _open_planes(path, planes, level)
    else:
        volume = _open_zarr(path, level) if Path(path).is_dir() else _open_tiff(path)
    if volume.dtype.name not in _DTYPES:
        raise UserError(
            f"{path}: counts of type {volume.dtype.name} are not supported; "
            f"save it as {', '.join(_DTYPES)}"
        )
    return replace(volume, clip_at_zero=True) if clip_at_zero else volume


def _open_zarr(path: str, level: int) -> Volume:
    try:
        group: Any = zarr.open_group(path, mode="r")
        image: Any = open_ome_zarr(group)
        multiscale = image.ome_attributes.multiscales[0]
    except (FileNotFoundError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is no OME-Zarr 0.4 or 0.5 image: {reason}") from None
    if level >= len(multiscale.datasets):
        raise UserError(f"{path} has {len(multiscale.datasets)} levels; there is no level {level}")
    dataset = multiscale.datasets[level]
    array = group[dataset.path]
    axes = "".join(str(axis.name) for axis in multiscale.axes).upper()
    _check_axes(path, axes)
    scale = np.ones(len(axes))
    for transform in (
        *(multiscale.coordinateTransformations or ()),
        *dataset.coordinateTransformations,
    ):
        if transform.type == "scale":
            scale = scale * np.asarray(transform.scale, float)
    units = [str(getattr(axis, "unit", None) or "") for axis in multiscale.axes]
    by_axis = dict(zip(axes, zip(scale, units, strict=True), strict=True))
    attributes: Any = group.attrs.get("ome", group.attrs)
    channels = list((attributes.get("omero") or {}).get("channels") or ())
    time = by_axis.get("T")
    return Volume(
        path,
        array,
        axes,
        _voxel_size(path, [by_axis.get(a) for a in "ZYX"]),
        _channel_names([c.get("label") for c in channels], axes, array.shape),
        _channel_colors([c.get("color") for c in channels], axes, array.shape),
        seconds(*time) if time else None,
    )


def _voxel_size(
    path: str, sizes: Sequence[tuple[float, str] | None]
) -> tuple[float, float, float] | None:
    """Convert (size, unit) of Z, Y, X to µm; None where a size is not given."""
    result = []
    for entry in sizes:
        if entry is None or not entry[0]:
            return None
        size, unit = entry
        length = micrometres(size, unit)
        if length is None:
            raise UserError(f"{path}: voxel size in the unit {unit!r}; give voxel_size_um instead")
        result.append(length)
    return (result[0], result[1], result[2])


def _check_axes(path: str, axes: str) -> None:
    if set(axes) - set(AXES) or not {"Y", "X"} <= set(axes) or len(set(axes)) < len(axes):
        raise UserError(
            f"{path} has the axes {axes}; volumes need Y and X and may have T, C and Z "
            "(an RGB picture is no volume)"
        )


def _channel_names(names: Sequence[Any], axes: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Name every channel; those without a name by their position."""
    count = dict(zip(axes, shape, strict=True)).get("C", 1)
    named = [str(n) if n else f"channel {i}" for i, n in enumerate(names)][:count]
    return tuple(named + [f"channel {i}" for i in range(len(named), count)])


def _channel_colors(
    colors: Sequence[str | None], axes: str, shape: Sequence[int]
) -> tuple[str, ...]:
    """Colour every channel, white (as OME does) where a file colours only others."""
    count = dict(zip(axes, shape, strict=True)).get("C", 1)
    found = [(color or "FFFFFF").lstrip("#").upper() for color in colors][:count]
    return tuple(found + ["FFFFFF"] * (count - len(found))) if any(colors) else ()


def _open_tiff(path: str) -> Volume:
    try:
        file = tifffile.TiffFile(path)
    except tifffile.TiffFileError as error:
        return _open_vendor(path, str(error))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    series = file.series[0]
    axes = series.axes
    unknown = [a for a in axes if a in "QI"]
    # A stack without metadata has one axis of unknown meaning: it is Z.
    if len(unknown) == 1 and "Z" not in axes:
        axes = axes.replace(unknown[0], "Z")
    _check_axes(path, axes)
    array: Any = zarr.open(series.aszarr(level=0), mode="r")
    sizes, names, colors, interval = _tiff_metadata(file)
    if "Z" not in axes and sizes[0] is None:
        sizes[0] = sizes[1]
    return Volume(
        path,
        array,
        axes,
        _voxel_size(path, sizes),
        _channel_names(names, axes, array.shape),
        _channel_colors(colors, axes, array.shape),
        interval,
    )


def _open_planes(path: str, files: list[str], level: int) -> Volume:
    if level:
        raise UserError(f"{path} is a folder of planes, without a pyramid; no level {level}")
    array = Planes(files)
    with tifffile.TiffFile(files[0]) as file:
        sizes, names, colors, _ = _tiff_metadata(file)
    return Volume(
        path,
        array,
        "ZYX",
        _voxel_size(path, sizes),
        _channel_names(names, "ZYX", array.shape),
        _channel_colors(colors, "ZYX", array.shape),
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


def _open_vendor(path: str, reason: str) -> Volume:
    """Open the first scene of a microscope maker's format through bioio."""
    try:
        import bioio
        from bioio_base.exceptions import UnsupportedFileFormatError
    except ImportError:
        raise UserError(
            f"{path} is no TIFF that can be read: {reason}. For a microscope's own format install "
            "bioio and its reader (`pip install bioio bioio-nd2`, bioio-lif …)"
        ) from None
    try:
        image = bioio.BioImage(path)
    except UnsupportedFileFormatError as error:
        raise UserError(f"{path} is no TIFF, and bioio cannot read it: {error}") from None
    if len(image.scenes) > 1:
        log.warning("%s holds %d scenes; the first is taken", path, len(image.scenes))
    sizes = [(float(v), "um") if v else None for v in image.physical_pixel_sizes]
    interval = image.time_interval
    array = image.dask_data  # T C Z Y X (an RGB picture has S, too)
    _check_axes(path, image.dims.order)
    return Volume(
        path,
        array,
        AXES,
        _voxel_size(path, sizes),
        _channel_names(list(image.channel_names or ()), AXES, array.shape),
        (),
        interval.total_seconds() if interval else None,
    )


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
