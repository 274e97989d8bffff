"""Metadata that every format has: voxel size, axes, names and colours of channels."""

from collections.abc import Sequence
from typing import Any

from decon3d.errors import UserError
from decon3d.volumes.units import micrometres
from decon3d.volumes.volume import AXES


def voxel_size_um_of(
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


def check_axes(path: str, axes: str) -> None:
    """Raise `UserError` unless the axes are Y and X and any of T, C and Z, each once."""
    if set(axes) - set(AXES) or not {"Y", "X"} <= set(axes) or len(set(axes)) < len(axes):
        raise UserError(
            f"{path} has the axes {axes}; volumes need Y and X and may have T, C and Z "
            "(an RGB picture is no volume)"
        )


def channel_names_of(names: Sequence[Any], axes: str, shape: Sequence[int]) -> tuple[str, ...]:
    """Name every channel; those without a name by their position."""
    count = dict(zip(axes, shape, strict=True)).get("C", 1)
    named = [str(n) if n else f"channel {i}" for i, n in enumerate(names)][:count]
    return tuple(named + [f"channel {i}" for i in range(len(named), count)])


def channel_colors_of(
    colors: Sequence[str | None], axes: str, shape: Sequence[int]
) -> tuple[str, ...]:
    """Colour every channel, white (as OME does) where a file colours only others."""
    count = dict(zip(axes, shape, strict=True)).get("C", 1)
    found = [(color or "FFFFFF").lstrip("#").upper() for color in colors][:count]
    return tuple(found + ["FFFFFF"] * (count - len(found))) if any(colors) else ()
