"""OME-TIFF: one BigTIFF with a pyramid per plane, for programs that do not read OME-Zarr."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from decon3d.files import replacing
from decon3d.volumes.writer import SMALLEST_LEVEL, mean_of_data

TILE = 256
SLAB_BYTES = 256 * 2**20


def write_ome_tiff(
    path: str | Path,
    level_0: Any,
    *,
    name: str,
    voxel_size_um: tuple[float, float, float],
    channel_names: list[str],
    channel_colors: list[str],
    time_interval_s: float | None,
    position_um: tuple[float, float, float] | None = None,
) -> None:
    """Write a volume as a tiled, compressed OME-TIFF, streaming, whole or not at all.

    Reduced levels are halved along Y and X only, since each belongs to one plane; the data are
    read once per level.

    Parameters
    ----------
    level_0
        Array (T, C, Z, Y, X) that is read a few planes at a time.
    voxel_size_um
        Z, Y, X, in µm.
    channel_colors
        RRGGBB; may be empty.
    position_um
        Position (Z, Y, X) of the first voxel on the stage, in µm; the planes follow along Z.
    """
    path = Path(path)
    depth = max(size for size in level_0.shape[3:])
    steps = [1]
    while depth / steps[-1] > SMALLEST_LEVEL:
        steps.append(2 * steps[-1])
    channel: dict[str, Any] = {"Name": channel_names}
    if len(channel_colors) == len(channel_names):
        channel["Color"] = [_signed(f"{color}FF") for color in channel_colors]
    sizes = dict(zip("ZYX", voxel_size_um, strict=True))
    metadata: dict[str, Any] = {
        "axes": "TCZYX",
        "Name": name,
        "Channel": channel,
        **{f"PhysicalSize{axis}": size for axis, size in sizes.items()},
        **{f"PhysicalSize{axis}Unit": "µm" for axis in sizes},
    }
    if time_interval_s is not None:
        metadata |= {"TimeIncrement": time_interval_s, "TimeIncrementUnit": "s"}
    if position_um is not None:
        metadata["Plane"] = _places(level_0.shape[:3], position_um, voxel_size_um[0])
    with (
        replacing(path) as temporary,
        tifffile.TiffWriter(temporary, bigtiff=True, ome=True) as file,
    ):
        for step in steps:
            full = step == 1
            height, width = (size // step for size in level_0.shape[3:])
            file.write(
                _tiles(level_0, step),
                shape=(*level_0.shape[:3], height, width),
                dtype=level_0.dtype,
                tile=(TILE, TILE),
                compression="zlib",
                photometric="minisblack",
                resolution=(1e4 / (sizes["X"] * step), 1e4 / (sizes["Y"] * step)),
                resolutionunit="CENTIMETER",
                subifds=len(steps) - 1 if full else None,
                subfiletype=0 if full else 1,
                metadata=metadata if full else None,
            )


def _places(
    shape: tuple[int, int, int], position_um: tuple[float, float, float], step_um: float
) -> dict[str, list[Any]]:
    """Return the positions of all planes (T, C, Z) of a volume on the stage."""
    times, channels, depth = shape
    z, y, x = position_um
    planes = times * channels * depth
    places = {
        "Z": [z + step_um * i for i in range(depth)] * (times * channels),
        "Y": [y] * planes,
        "X": [x] * planes,
    }
    units = {f"Position{axis}Unit": ["µm"] * planes for axis in places}
    return {**{f"Position{axis}": values for axis, values in places.items()}, **units}


def _signed(rgba: str) -> int:
    """Return OME's colour: RGBA as a signed integer of 32 bits."""
    return int.from_bytes(bytes.fromhex(rgba), "big", signed=True)


def _tiles(level_0: Any, step: int) -> Iterator[NDArray[Any]]:
    """Cut all planes, reduced by a factor along Y and X, into tiles."""
    for plane in _planes(level_0):
        if step > 1:
            height, width = (size // step for size in plane.shape)
            cells = plane[: height * step, : width * step].reshape(height, step, width, step)
            reduced = mean_of_data(cells, axis=(1, 3))
            plane = np.rint(reduced) if plane.dtype.kind in "ui" else reduced
        plane = plane.astype(level_0.dtype)
        for y in range(0, plane.shape[0], TILE):
            for x in range(0, plane.shape[1], TILE):
                yield plane[y : y + TILE, x : x + TILE]


def _planes(level_0: Any) -> Iterator[NDArray[Any]]:
    times, channels, depth, height, width = level_0.shape
    thick = max(1, min(level_0.chunks[2], SLAB_BYTES // (height * width * level_0.dtype.itemsize)))
    for time in range(times):
        for channel in range(channels):
            for z in range(0, depth, thick):
                yield from np.asarray(level_0[time, channel, z : z + thick])
