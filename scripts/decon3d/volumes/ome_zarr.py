"""OME-Zarr 0.4 and 0.5 as a volume."""

from typing import Any

import numpy as np
import zarr
from ome_zarr_models import open_ome_zarr

from decon3d.errors import UserError
from decon3d.volumes.metadata import (
    axes_of,
    channel_colors_of,
    channel_names_of,
    position_of,
    voxel_size_of,
)
from decon3d.volumes.units import seconds
from decon3d.volumes.volume import FROM_FILE, Reading, Volume


def open_zarr(path: str, level: int, reading: Reading = FROM_FILE) -> Volume:
    """Open one resolution level of an OME-Zarr image; 0 is full resolution.

    Raises
    ------
    UserError
        If the folder is not an OME-Zarr image, or lacks the level.
    """
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
    axes = axes_of(path, array.shape, axes, reading.axes)
    scale, shift = np.ones(len(axes)), np.zeros(len(axes))
    for transform in (
        *dataset.coordinateTransformations,
        *(multiscale.coordinateTransformations or ()),
    ):
        if transform.type == "scale":
            factor = np.asarray(transform.scale, float)
            scale, shift = scale * factor, shift * factor
        elif transform.type == "translation":
            shift = shift + np.asarray(transform.translation, float)
    units = [str(getattr(axis, "unit", None) or "") for axis in multiscale.axes]
    by_axis = dict(zip(axes, zip(scale, units, strict=True), strict=True))
    attributes: Any = group.attrs.get("ome", group.attrs)
    channels = list((attributes.get("omero") or {}).get("channels") or ())
    time = by_axis.get("T")
    places = dict(zip(axes, zip(shift, units, strict=True), strict=True))
    size, problem = voxel_size_of([by_axis.get(a) for a in "ZYX"])
    return Volume(
        path,
        array,
        axes,
        size,
        channel_names_of([c.get("label") for c in channels], axes, array.shape),
        channel_colors_of([c.get("color") for c in channels], axes, array.shape),
        seconds(*time) if time else None,
        voxel_size_problem=problem,
        position_um=position_of([places.get(a) for a in "ZYX"]),
    )
