"""OME-Zarr 0.4 and 0.5 as a volume."""

from typing import Any

import numpy as np
from ome_zarr_models import open_ome_zarr

from decon3d.errors import UserError
from decon3d.volumes.checked import open_group
from decon3d.volumes.metadata import (
    channel_colors_of,
    channel_names_of,
    check_axes,
    voxel_size_um_of,
)
from decon3d.volumes.units import seconds
from decon3d.volumes.volume import Volume


def open_zarr(path: str, level: int) -> Volume:
    """Open one resolution level of an OME-Zarr image; 0 is full resolution.

    Raises
    ------
    UserError
        If the folder is not an OME-Zarr image, or lacks the level.
    """
    try:
        group: Any = open_group(path)
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
    check_axes(path, axes)
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
        voxel_size_um_of(path, [by_axis.get(a) for a in "ZYX"]),
        channel_names_of([c.get("label") for c in channels], axes, array.shape),
        channel_colors_of([c.get("color") for c in channels], axes, array.shape),
        seconds(*time) if time else None,
    )
