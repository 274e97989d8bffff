"""Metadata of zarr groups and arrays, read as plain JSON, and the images of a collection.

A collection holds many images: an HCS plate, one of its wells, or what bioformats2raw writes. The
layouts are those of OME-Zarr 0.4 and 0.5 (https://ngff.openmicroscopy.org).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from decon3d.errors import UserError, reason

MARKERS = ("zarr.json", ".zarray", ".zgroup", ".zattrs")
"""Files that make a folder a node of a zarr store."""


@dataclass(frozen=True)
class Node:
    """A group or an array of a zarr store.

    Attributes
    ----------
    array
        Metadata of an array; empty for a group.
    """

    path: str
    is_array: bool
    zarr_format: int
    attributes: dict[str, Any]
    array: dict[str, Any]

    @property
    def ome(self) -> dict[str, Any]:
        """OME's attributes: those below `ome` (0.5), or else all (0.4)."""
        found = self.attributes.get("ome")
        return found if isinstance(found, dict) else self.attributes


def is_node(path: str | Path) -> bool:
    """Return whether a folder is a group or an array of a zarr store."""
    return any(Path(path, name).is_file() for name in MARKERS)


def node_at(path: str | Path) -> Node | None:
    """Read the metadata of the group or array at a path; None if there is none.

    Raises
    ------
    UserError
        If a metadata file cannot be read.
    """
    if Path(path, "zarr.json").is_file():
        found = _read(Path(path, "zarr.json"))
        attributes = found.get("attributes")
        is_array = found.get("node_type") == "array"
        return Node(
            str(path),
            is_array,
            3,
            attributes if isinstance(attributes, dict) else {},
            found if is_array else {},
        )
    if not is_node(path):
        return None
    file, own = Path(path, ".zattrs"), Path(path, ".zarray")
    is_array = own.is_file()
    attributes = _read(file) if file.is_file() else {}
    return Node(str(path), is_array, 2, attributes, _read(own) if is_array else {})


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} cannot be read: {error}; copy it again from its source") from None
    if not isinstance(found, dict):
        raise UserError(f"{file} is not a JSON object; copy it again from its source")
    return found


def images_in(path: str | Path) -> list[str]:
    """List the images of a collection by their paths inside, `A/1/0` or `0`; else empty.

    Raises
    ------
    UserError
        If the collection's metadata are broken, or name an image that is missing.
    """
    node = node_at(path)
    if node is None or node.is_array or "multiscales" in node.ome:
        return []
    ome = node.ome
    if "plate" in ome:
        wells = _paths(node, _entries(ome["plate"], "wells"), "plate.wells")
        found = [f"{well}/{field}" for well in wells for field in _fields(Path(path, well))]
    elif "well" in ome:
        found = _fields(path)
    elif "bioformats2raw.layout" in ome:
        found = _series(path)
    else:
        return []
    if not found:
        raise UserError(f"{path} lists no image; copy it again from its source")
    missing = [inside for inside in found if not is_node(Path(path, inside))]
    if missing:
        raise UserError(
            f"{path}: the image {missing[0]} is listed but missing; copy it again from its source, "
            f"or name the existing images in `volumes`, e.g. {path}/{found[0]}"
        )
    return found


def nodes_below(path: str | Path, depth: int = 2) -> list[str]:
    """List the zarr groups and arrays in a folder, the outermost of each branch only."""
    try:
        folders = sorted(p for p in Path(path).iterdir() if p.is_dir())
    except OSError:
        return []
    found = []
    for folder in folders:
        if is_node(folder):
            found.append(str(folder))
        elif depth > 1:
            found += nodes_below(folder, depth - 1)
    return found


def _series(path: str | Path) -> list[str]:
    """List the images of a bioformats2raw layout: those that `OME` lists, or else from 0 on."""
    node = node_at(Path(path, "OME"))
    if node is not None and "series" in node.ome:
        return _paths(node, [{"path": p} for p in list_of(node.ome["series"])], "series")
    try:
        names = [p.name for p in Path(path).iterdir() if p.name.isdecimal() and is_node(p)]
    except OSError as error:
        raise UserError(f"{path} cannot be listed: {reason(error)}") from None
    return [str(i) for i in range(len(names))]  # a gap is a missing image


def _fields(path: str | Path) -> list[str]:
    """List the images of a well."""
    node = node_at(path)
    if node is None:
        raise UserError(f"{path} is listed as a well, but it is missing; copy it from its source")
    return _paths(node, _entries(node.ome.get("well"), "images"), "well.images")


def _entries(table: Any, key: str) -> list[Any]:
    return list_of(table.get(key)) if isinstance(table, dict) else []


def list_of(value: Any) -> list[Any]:
    """Return a value of parsed JSON if it is a list, else an empty list."""
    return value if isinstance(value, list) else []


def _paths(node: Node, entries: list[Any], key: str) -> list[str]:
    paths = [entry.get("path") if isinstance(entry, dict) else None for entry in entries]
    return [inner_path(node.path, p, key) for p in paths]


def inner_path(path: str, value: Any, key: str) -> str:
    """Return a path in the metadata, if it is inside the store.

    Raises
    ------
    UserError
        If it is not a path, or leads outside.
    """
    parts = value.strip("/").split("/") if isinstance(value, str) else [""]
    if any(part in ("", ".", "..") or not part.isprintable() for part in parts):
        raise UserError(
            f"{path}: {key} has the path {value!r}, which is not a path inside the store; "
            "copy it again from its source"
        )
    return "/".join(parts)
