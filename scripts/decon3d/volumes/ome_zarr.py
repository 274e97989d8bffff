"""OME-Zarr 0.1 to 0.5, and zarr arrays without OME metadata, as a volume.

Only the metadata that a volume needs are parsed: axes, paths of the levels and their
transformations strictly, names and colours of channels leniently.
"""

import math
import os
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d import errors
from decon3d.errors import UserError, reason
from decon3d.units import seconds
from decon3d.volumes.checked_stores import open_store
from decon3d.volumes.manifest import is_own
from decon3d.volumes.metadata import (
    axes_of,
    channel_colors_of,
    channel_names_of,
    position_of,
    voxel_in_um,
)
from decon3d.volumes.strict_stores import StrictStore, uses_blosc
from decon3d.volumes.volume import AXES, FROM_FILE, SINGLE, Reading, Volume
from decon3d.volumes.zarr_metadata import (
    MARKERS,
    Node,
    images_in,
    inner_path,
    list_of,
    node_at,
    nodes_below,
)

_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_WITHOUT_AXES = ("0.1", "0.2")

_LONGEST = 2**31 - 1
"""Largest number of voxels along an axis; above it, zarr counts chunks for ever."""


class ZarrArray:
    """A zarr array, read on demand; errors name the file.

    Parameters
    ----------
    path
        The array's folder.

    Raises
    ------
    UserError
        If the array cannot be opened, or, on access, a chunk cannot be read.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        folder = Path(path)
        node = node_at(path)
        if node is None or not node.is_array:
            raise UserError(
                f"{path} is listed as an array, but it is missing; copy it from its source"
            )
        try:
            if is_own(folder.parent):
                self._array: Any = open_store(folder.parent)[folder.name]
            else:
                store = StrictStore(path, blosc=uses_blosc(node.array))
                self._array = zarr.open_array(store, mode="r", zarr_format=node.zarr_format)  # type: ignore[arg-type]
            self.shape: tuple[int, ...] = tuple(self._array.shape)
            self.dtype: np.dtype[Any] = np.dtype(self._array.dtype)
            self.chunks: tuple[int, ...] = tuple(self._array.chunks)
            self.shards: tuple[int, ...] | None = self._array.shards
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{path} cannot be opened: {reason(error)}; if the reason is a codec or a data "
                "type, save the array with another one, else copy it again from its source"
            ) from None
        if max(self.shape, default=0) > _LONGEST:
            raise UserError(
                f"{path} states {self.shape} voxels, but an axis has at most {_LONGEST}; its "
                "metadata are damaged; copy it again from its source"
            )
        if min(self.chunks, default=1) < 1 or len(self.chunks) != len(self.shape):
            raise UserError(
                f"{path} states chunks of {self.chunks} voxels for the shape {self.shape}; its "
                "metadata are damaged; copy it again from its source"
            )
        self.ndim = len(self.shape)
        self.attributes = node.attributes
        names = node.array.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")
        self.dimension_names = _axis_letters(names) if isinstance(names, list) else None

    def __getitem__(self, region: tuple[Any, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self._array[region])
        except (MemoryError, UserError):
            raise
        except Exception as error:
            raise UserError(
                f"{self._broken_file(region)} cannot be read: {reason(error)}; copy it again from "
                "its source, or write the volume again"
            ) from None

    def chunk_files(self) -> tuple[int, int]:
        """Count the chunk files (shards, if sharded) that exist, and those of a full array."""
        cells = self.shards or self.chunks
        grid = [-(-n // c) for n, c in zip(self.shape, cells, strict=True)]
        there = 0
        with errors.reading(self.path):
            for folder, _, names in os.walk(self.path, onerror=_raise):
                inside = os.path.relpath(folder, self.path)
                for name in names:  # c/0/1/2, 0/1/2 or 0.1.2
                    place = re.findall(r"\d+", f"{inside}/{name}")
                    if name not in MARKERS and len(place) == self.ndim:
                        there += all(int(i) < n for i, n in zip(place, grid, strict=True))
        return there, math.prod(grid)

    def _broken_file(self, region: tuple[Any, ...]) -> str:
        """Name the first chunk file of a region that cannot be read; the array if all can."""
        cells = self.shards or self.chunks
        ranges = []
        for wanted, size, cell in zip(region, self.shape, cells, strict=True):
            inside = (
                range(*wanted.indices(size))
                if isinstance(wanted, slice)
                else range(wanted, wanted + 1)
            )
            ranges.append(range(inside.start // cell, (max(inside) // cell + 1) if inside else 0))
        for place in product(*ranges):
            try:
                self._array[
                    tuple(slice(i * c, (i + 1) * c) for i, c in zip(place, cells, strict=True))
                ]
            except Exception:
                return f"{self.path}/{self._array.metadata.encode_chunk_key(place)}"
        return self.path


def _raise(error: OSError) -> None:
    raise error


def open_zarr(path: str, level: int = 0, reading: Reading = FROM_FILE) -> Volume:
    """Open an OME-Zarr image, or a zarr array.

    Parameters
    ----------
    path
        Folder of an image, of a collection (plate, well, bioformats2raw), or of a zarr array.
    level
        Resolution level of an image's pyramid; 0 is full resolution.
    reading
        Which image of several, and what its axes are.

    Raises
    ------
    UserError
        If there is no such image, or its metadata are incomplete.
    """
    if is_own(path):
        open_store(path)  # compares its metadata with the manifest
    if images := images_in(path):
        named = isinstance(reading.series, str) and reading.series not in images
        names = [_name_of(f"{path}/{image}") for image in images] if named else images
        chosen = images[reading.choose(path, names)]
        path, reading = f"{path.rstrip('/')}/{chosen}", replace(reading, series=None)
    node = node_at(path)
    if node is None or not (node.is_array or "multiscales" in node.ome):
        raise UserError(_not_an_image(path, node))
    if node.is_array:
        return _plain_array(path, level, reading.axes)
    return _image(node, level, reading)


def _name_of(path: str) -> str:
    """Return the name that an image of a collection has in its metadata, or its path."""
    listed = list_of(_ome_of(path).get("multiscales"))
    name = listed[0].get("name") if len(listed) == 1 and isinstance(listed[0], dict) else None
    return _label(name) or path


def _plain_array(path: str, level: int, axes: str | None) -> Volume:
    if level:
        raise UserError(f"{path} is an array, without a pyramid; there is no level {level}")
    array = ZarrArray(path)
    found = array.dimension_names
    if axes is None and found is None:
        raise UserError(
            f"{path} is a zarr array of shape {array.shape} without OME metadata; give the "
            "dataset's `axes`, e.g. ZYX, and `voxel_size_um` as [Z, Y, X]"
        )
    named = axes_of(path, array.shape, found or "?" * array.ndim, axes)
    return Volume(
        path, array, named, None, channel_names_of([], named, array.shape), in_place=False
    )


def _image(node: Node, level: int, reading: Reading) -> Volume:
    path, axes = node.path, reading.axes
    multiscale, only = _multiscale(node, reading)
    if "image-label" in node.ome:
        raise UserError(f"{path} holds labels (a segmentation), not counts; name the image instead")
    datasets = [d for d in list_of(multiscale.get("datasets")) if isinstance(d, dict)]
    if level >= len(datasets):
        raise UserError(
            f"{path}: its metadata list {len(datasets)} level(s) of resolution in `datasets`; "
            f"there is no level {level}"
        )
    dataset = datasets[level]
    array = ZarrArray(f"{path.rstrip('/')}/{inner_path(path, dataset.get('path'), 'datasets')}")
    if level == 0:
        _check_largest(path, array, datasets[1:])
    own = None
    try:
        own = _axes(path, node, multiscale, array)
    except UserError:
        if axes is None:
            raise
    named = axes_of(path, array.shape, own or "?" * array.ndim, axes)
    at = {a: i for i, a in enumerate(named)}
    spatial = [a for a in "ZYX" if a in at]
    units = _units(multiscale, array.ndim)
    unitless = not any(units[at[a]] for a in spatial)
    note = ""
    try:
        scale, shift = _transformations(dataset, multiscale, array.ndim)
        problem = ""
    except ValueError as error:
        scale, shift, problem = None, None, str(error)

    def along(values: list[float] | None) -> list[tuple[float, str] | None]:
        if values is None:
            return [None, None, None]
        default = "" if unitless else "(none)"  # not a length, if other axes have a unit
        entries = {a: (values[at[a]], units[at[a]] or default) for a in spatial}
        return [entries.get(a) for a in "ZYX"]

    interval = seconds(scale[at["T"]], units[at["T"]]) if "T" in at and scale is not None else None
    if scale is not None and unitless:
        if all(scale[at[a]] == 1 for a in spatial):
            scale = shift = None  # voxels, not lengths
        else:
            note = "the metadata give the voxel size without a unit; it is taken as µm"
    size, unusable = voxel_in_um(along(scale))
    omero = node.ome.get("omero")
    listed = list_of(omero.get("channels")) if isinstance(omero, dict) else []
    channels = [c if isinstance(c, dict) else {} for c in listed]
    return Volume(
        path,
        array,
        named,
        size,
        channel_names_of([_label(c.get("label")) for c in channels], named, array.shape),
        channel_colors_of([color_of(c.get("color")) for c in channels], named, array.shape),
        interval,
        voxel_size_problem=problem or unusable,
        voxel_size_note=note,
        position_um=position_of(along(shift)),
        in_place=only and own is not None and _same(named, own),
    )


def _multiscale(node: Node, reading: Reading) -> tuple[dict[str, Any], bool]:
    """Choose one of a group's multiscale images; also return whether it is the only one."""
    listed = [m for m in list_of(node.ome["multiscales"]) if isinstance(m, dict)]
    if not listed:
        raise UserError(f"{node.path}: its `multiscales` lists no image; write it again")
    names = [_label(m.get("name")) or "" for m in listed]
    return listed[reading.choose(node.path, names)], len(listed) == 1


def _axes(path: str, node: Node, multiscale: dict[str, Any], array: ZarrArray) -> str:
    """Read an image's axes; `UserError` where the metadata have no clear answer."""
    version = multiscale.get("version", node.ome.get("version"))
    listed = multiscale.get("axes")
    if listed is None and array.ndim == 5 and version in (None, *_WITHOUT_AXES):
        return AXES  # these versions have no others
    names = [a.get("name") if isinstance(a, dict) else a for a in list_of(listed)]
    letters = _axis_letters(names)
    if letters is None or len(letters) != array.ndim:
        where = f"has the axes {names}" if names else "lists no axes"
        raise UserError(
            f"{path} {where} (OME-Zarr version {version or 'unknown'}); give the dataset's `axes`, "
            f"letters of TCZYX for the shape {array.shape}"
        )
    for letter, axis in zip(letters, list_of(listed), strict=True):
        kind = axis.get("type") if isinstance(axis, dict) else None
        if kind in ("time", "channel", "space") and kind != _TYPES[letter]:
            raise UserError(
                f"{path}: the axis {letter} has the type {kind!r}; give the dataset's `axes`, "
                f"letters of TCZYX for the shape {array.shape}"
            )
    other = array.dimension_names
    if other is not None and sorted(other) == sorted(letters) and other != letters:
        raise UserError(
            f"{path} has the axes {letters} in its OME metadata, but {other} in its array's "
            "dimension_names; give the right ones as the dataset's `axes`"
        )
    return letters


def _same(axes: str, own: str) -> bool:
    """Return whether axes are those of the metadata, apart from dimensions of length 1."""
    return all(a in (SINGLE, b) for a, b in zip(axes, own, strict=True))


def _axis_letters(names: list[Any]) -> str | None:
    """Join axis names of one letter each; None if one is not T, C, Z, Y or X."""
    letters = [n.upper() if isinstance(n, str) else "" for n in names]
    return "".join(letters) if letters and all(n in _TYPES for n in letters) else None


def _check_largest(path: str, array: ZarrArray, datasets: list[dict[str, Any]]) -> None:
    """Raise `UserError` if any level is larger than the first."""
    largest, name = math.prod(array.shape), ""
    for dataset in datasets:
        inside = dataset.get("path")
        node = node_at(Path(path, inner_path(path, inside, "datasets")))
        shape = list_of(node.array.get("shape")) if node else []
        known = len(shape) == array.ndim and all(isinstance(n, int) for n in shape)
        if known and math.prod(shape) > largest:
            largest, name = math.prod(shape), str(inside)
    if name:
        raise UserError(
            f"{path}: level {name!r} is larger than the first, which OME-Zarr forbids; name the "
            f"array itself, {path}/{name}, with `axes` and `voxel_size_um`"
        )


def _transformations(
    dataset: dict[str, Any], multiscale: dict[str, Any], ndim: int
) -> tuple[list[float] | None, list[float] | None]:
    """Join the transformations of a level and of all levels: scale and shift; None = none.

    Raises
    ------
    ValueError
        If one is not supported or not valid.
    """
    scale, shift, kinds = [1.0] * ndim, [0.0] * ndim, set()
    for table in (dataset, multiscale):
        for step in list_of(table.get("coordinateTransformations")):
            kind = step.get("type") if isinstance(step, dict) else None
            if kind == "identity":
                continue
            if kind not in ("scale", "translation"):
                raise ValueError(
                    f"it has a coordinate transformation of the type {kind!r}; only scale and "
                    "translation are read"
                )
            values = _numbers(step.get(kind))
            if values is None or len(values) != ndim or (kind == "scale" and min(values) <= 0):
                above = " above 0" if kind == "scale" else ""
                raise ValueError(
                    f"its {kind} {step.get(kind)!r} needs {ndim} numbers{above}, one for each axis"
                )
            kinds.add(kind)
            if kind == "scale":
                scale = [s * v for s, v in zip(scale, values, strict=True)]
                shift = [s * v for s, v in zip(shift, values, strict=True)]
            else:
                shift = [s + v for s, v in zip(shift, values, strict=True)]
    if not all(map(math.isfinite, (*scale, *shift))) or min(scale, default=1.0) <= 0:
        raise ValueError(
            f"its scale {scale} must be above 0, and scale and translation {shift} finite"
        )
    return scale if "scale" in kinds else None, shift if "translation" in kinds else None


def _numbers(values: Any) -> list[float] | None:
    """Return finite numbers as floats, None if one is not."""
    if not isinstance(values, list) or any(type(v) not in (int, float) for v in values):
        return None
    try:
        numbers = [float(v) for v in values]
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _units(multiscale: dict[str, Any], ndim: int) -> list[str]:
    listed = [
        a.get("unit") if isinstance(a, dict) else None for a in list_of(multiscale.get("axes"))
    ]
    units = [u if isinstance(u, str) else "" for u in listed]
    return units if len(units) == ndim else [""] * ndim


def _label(value: Any) -> str | None:
    return str(value) if isinstance(value, (str, int, float)) and value != "" else None


def color_of(value: Any) -> str | None:
    """Return RRGGBB of a colour: RGB, RRGGBB or RRGGBBAA with or without #, or an integer RGB."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:06X}" if 0 <= value < 2**24 else None
    found = value.strip().removeprefix("#").removeprefix("0x") if isinstance(value, str) else ""
    if not re.fullmatch(r"[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8}", found):
        return None
    return ("".join(2 * c for c in found) if len(found) == 3 else found[:6]).upper()


def _not_an_image(path: str, node: Node | None) -> str:
    """Describe a folder that is not an image."""
    inside = nodes_below(path)
    some = f"{', '.join(inside[:5])}{' …' if len(inside) > 5 else ''}"
    if node is None and not inside:
        kind = "an N5 store" if Path(path, "attributes.json").is_file() else "a folder"
        return (
            f"{path} is {kind} without zarr metadata (zarr.json, .zattrs) and without TIFF planes; "
            "give a TIFF, a folder of planes or an OME-Zarr"
        )
    if node is not None and "labels" in node.ome:
        return f"{path} holds labels (segmentations), not an image; name the image's own folder"
    if node is None and all("multiscales" in _ome_of(p) for p in inside):
        return f"{path} is a folder of OME-Zarr images ({some}); list them by a glob: {path}/*"
    what = "is a zarr group without OME metadata (`multiscales`)" if node else "is a folder"
    holds = f"name one of {some}" if inside else "it holds no array"
    return (
        f"{path} {what}; {holds}, with the dataset's `axes`, e.g. ZYX, and `voxel_size_um` as "
        "[Z, Y, X]"
    )


def _ome_of(path: str) -> dict[str, Any]:
    node = node_at(path)
    return node.ome if node else {}
