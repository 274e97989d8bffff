"""The volumes of a dataset: names and paths from a path, a glob, a list or a sheet."""

import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from decon3d.errors import ConfigError, UserError
from decon3d.field_types import NAME
from decon3d.user_paths import expand_path, path_problem
from decon3d.volumes.sections import VolumeEntry
from decon3d.volumes.sheets import is_sheet, read_sheet
from decon3d.volumes.zarr_metadata import images_in

ENDINGS = re.compile(
    r"\.(ome\.)?(tiff?|zarr|btf|tf8|czi|dv|ims|lif|lsm|nd2|oib|stk)/?$", re.IGNORECASE
)
"""Endings of the names of volumes."""


@dataclass(frozen=True)
class VolumeSource:
    """One input volume: its name in the results, its path and that of its truth, if any."""

    name: str
    path: str
    reference: str | None = None


def matches(pattern: str) -> list[str]:
    """List the files (or folders: OME-Zarr, planes) that a path or a glob names, sorted.

    The longest leading part that exists is taken literally: `[1]` in the name of an existing folder
    is not a pattern.
    """
    if os.path.lexists(pattern):
        return [pattern]
    literal = pattern
    while literal and not os.path.lexists(literal):
        literal = literal.rpartition("/")[0]
    rest = pattern[len(literal) :]
    return sorted(glob.glob(glob.escape(literal) + rest, recursive=True))


def listed_files(entries: str | list[str] | None) -> list[str]:
    """List the files that a path, a pattern or a list of these names; none for None."""
    several = [entries] if isinstance(entries, str) else entries or []
    return [file for entry in several for file in matches(expand_path(entry))]


def volume_files(path: str) -> list[str]:
    """List the files that stand for a volume in the workflow.

    Of an OME-Zarr, its metadata; of a folder of planes, the folder. Other changes show in the
    volume's fingerprint (`volumes.fingerprints`), a parameter of the rules.
    """
    path = path.rstrip("/")
    inside = [
        f"{path}/{n}"
        for n in ("zarr.json", ".zattrs", ".zarray", ".zgroup")
        if Path(path, n).is_file()
    ]
    return inside[:1] or [path]


def find_volumes(
    entries: Sequence[str | VolumeEntry], *, key: str, each_image: bool
) -> dict[str, VolumeSource]:
    """Resolve paths, globs and sheets to named volumes, in their order.

    Parameters
    ----------
    entries
        What the config lists.
    key
        Config key of the list, for messages.
    each_image
        Take each image of a plate or bioformats2raw folder as a volume.

    Raises
    ------
    ConfigError
        With every name that is unusable or given twice, and every problem of a sheet.
    """
    sources: dict[str, VolumeSource] = {}
    problems = []
    for entry in entries:
        try:
            found = _expand(key, entry)
            if each_image:
                found = [image for source in found for image in _images(key, source)]
        except ConfigError as error:
            problems += error.problems
            continue
        except UserError as error:
            problems.append(f"{key}: {error}")
            continue
        for source in found:
            if not re.fullmatch(NAME, source.name):
                problems.append(
                    f"{key}: {source.name!r} cannot be a volume's name; use letters, digits, _ "
                    f"and - only ({source.path})"
                )
            elif source.name in sources and _is_same(source.path, sources[source.name].path):
                problems.append(f"{key}: {source.path} is listed twice; remove one entry")
            elif source.name in sources:
                problems.append(
                    f"{key}: {sources[source.name].path} and {source.path} would both be called "
                    f"{source.name!r}; give names in a list of {{name, path}} or a sheet"
                )
            if source.reference and _is_same(source.path, source.reference):
                problems.append(
                    f"{key}: {source.path} is its own reference; give the volume with the truth"
                )
            named = filter(None, (source.path, source.reference))
            problems += [f"{key}: {problem}" for path in named if (problem := path_problem(path))]
            sources[source.name] = source
    if problems:
        raise ConfigError(problems)
    return sources


def _is_same(path: str, other: str) -> bool:
    return os.path.realpath(path) == os.path.realpath(other)


def _expand(key: str, entry: str | VolumeEntry) -> list[VolumeSource]:
    if isinstance(entry, VolumeEntry):
        reference = expand_path(entry.reference) if entry.reference else None
        return [VolumeSource(entry.name, expand_path(entry.path), reference)]
    path = expand_path(entry)
    return [
        source
        for found in matches(path) or [path]
        for source in (
            _listed(key, found) if is_sheet(found) else [VolumeSource(volume_name(found), found)]
        )
    ]


def _images(key: str, source: VolumeSource) -> list[VolumeSource]:
    """List the images of a collection (plate, bioformats2raw) as volumes; any other is itself."""
    try:
        images = images_in(source.path)
        truths = images_in(source.reference) if images and source.reference else images
    except UserError:
        return [source]  # reported again, with the others' problems, when the volume is opened
    if not images:
        return [source]
    if missing := set(images) - set(truths):
        raise ConfigError(
            [
                f"{key}: {source.reference} lacks the image {min(missing)} of {source.path}; "
                "give a reference with the same images"
            ]
        )
    only = len(images) == 1
    return [
        VolumeSource(
            source.name if only else f"{source.name}_{_plain(image)}",
            f"{source.path.rstrip('/')}/{image}",
            f"{source.reference.rstrip('/')}/{image}" if source.reference else None,
        )
        for image in images
    ]


def _listed(key: str, sheet: str) -> list[VolumeSource]:
    """List the volumes of a sheet; relative paths are relative to the sheet."""
    sources, problems = [], []
    for row in read_sheet(sheet, key=key):
        where = f"{key}: line {row.line} of {sheet}"
        paths_there = []
        for text in filter(None, (row.path, row.reference)):
            try:
                path = str(Path(sheet).parent / text)
                if not os.path.lexists(path):
                    path = str(Path(sheet).parent / expand_path(text))
            except UserError as error:
                problems.append(f"{where}: {error}")
                continue
            if not os.path.exists(path):
                problems.append(f"{where} names {path}, which does not exist; check the path")
            paths_there.append(path)
        if len(paths_there) == 1 + bool(row.reference):
            sources.append(VolumeSource(row.name, paths_there[0], *paths_there[1:]))
    if problems:
        raise ConfigError(problems)
    return sources


def volume_name(path: str) -> str:
    """Make a volume's name from its file's: remove endings, replace odd characters by `_`.

    Of an image inside a `.zarr` folder it has the folder's name and its path inside.
    """
    parts = path.rstrip("/").split("/")
    folders = [i for i, part in enumerate(parts) if part.lower().endswith(".zarr")]
    first = folders[-1] if folders else len(parts) - 1
    return _plain("_".join([ENDINGS.sub("", parts[first]), *parts[first + 1 :]]))


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)
