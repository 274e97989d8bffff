"""Which volumes a dataset has: names and paths from a path, a glob, a list or a sheet."""

import csv
import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path

from decon3d import paths
from decon3d.errors import ConfigError, UserError
from decon3d.settings import NAME, Dataset, VolumeEntry, expand_path
from decon3d.volumes.planes import plane_files
from decon3d.volumes.zarr_metadata import images_in

_ENDINGS = re.compile(
    r"\.(ome\.)?(tiff?|zarr|btf|tf8|czi|dv|ims|lif|lsm|nd2|oib|stk)/?$", re.IGNORECASE
)


@dataclass(frozen=True)
class VolumeSource:
    """One input volume: its name in the results, its path and that of its truth, if any."""

    name: str
    path: str
    reference: str | None = None


def matches(pattern: str) -> list[str]:
    """List the files (or folders: OME-Zarr, planes) that a glob names, sorted.

    The longest leading part that exists as it is written is taken literally: `[1]` in a folder's
    name is not a pattern.
    """
    if os.path.lexists(pattern):
        return [pattern]
    literal = pattern
    while literal and not os.path.lexists(literal):
        literal = literal.rpartition("/")[0]
    rest = pattern[len(literal) :]
    return sorted(glob.glob(glob.escape(literal) + rest, recursive=True))


def volume_files(path: str) -> list[str]:
    """List the files whose change is a volume's: itself, or what stands for a folder.

    Of an OME-Zarr, its metadata. Of a folder of planes, the folder, which changes when planes come
    or go, and the newest plane: all of them would be thousands for a workflow to keep.
    """
    path = path.rstrip("/")
    if planes := plane_files(path):
        return [path, max(planes, key=lambda file: (os.stat(file).st_mtime_ns, file))]
    inside = [
        f"{path}/{n}"
        for n in ("zarr.json", ".zattrs", ".zarray", ".zgroup")
        if Path(path, n).is_file()
    ]
    return inside[:1] or [path]


def list_volumes(name: str, dataset: Dataset) -> dict[str, VolumeSource]:
    """Resolve `datasets.<name>.volumes` to named volumes, in the order of the config.

    Raises
    ------
    ConfigError
        If names collide or are unusable, or a sheet lacks a column.
    """
    key = f"datasets.{name}.volumes"
    if dataset.simulate is not None:
        made = {volume: paths.simulated(name, volume) for volume in dataset.simulate}
        return {v: VolumeSource(v, p, paths.simulated_truth(name, v)) for v, p in made.items()}
    assert dataset.volumes is not None
    entries = dataset.volumes if isinstance(dataset.volumes, list) else [dataset.volumes]
    sources: dict[str, VolumeSource] = {}
    problems = []
    series = getattr(dataset, "series", None)
    found = (s for entry in entries for s in _expand(key, entry))
    for source in found if series is not None else (one for s in found for one in _images(key, s)):
        if not re.match(NAME, source.name):
            problems.append(f"{key}: {source.name!r} is no usable name; use letters, digits, _, -")
        elif source.name in sources:
            problems.append(
                f"{key}: {sources[source.name].path} and {source.path} would both be called "
                f"{source.name!r}; give names in a list of {{name, path}} or a sheet"
            )
        sources[source.name] = source
    if problems:
        raise ConfigError(problems)
    return sources


def previewed_volume(name: str, dataset: Dataset, volumes: dict[str, VolumeSource]) -> VolumeSource:
    """Choose the volume that a preview shows: `datasets.<name>.preview.volume`, or the first.

    Raises
    ------
    ConfigError
        If there is no such volume.
    """
    wanted = dataset.preview.volume
    if wanted is None:
        return next(iter(volumes.values()))
    if wanted not in volumes:
        some = ", ".join(list(volumes)[:5]) + (" …" if len(volumes) > 5 else "")
        raise ConfigError(
            [f"datasets.{name}.preview.volume: there is no volume {wanted!r}; known: {some}"]
        )
    return volumes[wanted]


def _expand(key: str, entry: str | VolumeEntry) -> list[VolumeSource]:
    if isinstance(entry, VolumeEntry):
        reference = expand_path(entry.reference) if entry.reference else None
        return [VolumeSource(entry.name, expand_path(entry.path), reference)]
    path = expand_path(entry)
    if path.endswith((".tsv", ".csv")):
        return _read_sheet(key, path)
    return [VolumeSource(volume_name(p), p) for p in (matches(path) or [path])]


def _images(key: str, source: VolumeSource) -> list[VolumeSource]:
    """List the images of a collection (plate, bioformats2raw) as volumes; any other is itself."""
    try:
        images = images_in(source.path)
        truths = images_in(source.reference) if images and source.reference else images
    except UserError:
        return [source]  # said again, with the others' problems, when the volume is opened
    if not images:
        return [source]
    if missing := set(images) - set(truths):
        raise ConfigError(
            [f"{key}: {source.reference} lacks the image {min(missing)} of {source.path}"]
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


def _read_sheet(key: str, path: str) -> list[VolumeSource]:
    """Read a sheet of volumes; relative paths are relative to the sheet."""
    with open(path, newline="", encoding="utf-8-sig") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t" if path.endswith(".tsv") else ","))
    if not rows or not {"name", "path"} <= set(rows[0]):
        raise ConfigError([f"{key}: the sheet {path} needs the columns name and path, and a row"])
    folder = Path(path).parent
    sources = [
        VolumeSource(
            row["name"],
            str(folder / expand_path(row["path"])),
            str(folder / expand_path(row["reference"])) if row.get("reference") else None,
        )
        for row in rows
    ]
    missing = [p for s in sources for p in (s.path, s.reference) if p and not Path(p).exists()]
    if missing:
        raise ConfigError([f"{key}: {path} names {p}, which is not there" for p in missing])
    return sources


def volume_name(path: str) -> str:
    """Make a volume's name from its file's: the endings go, odd characters become `_`.

    Of an image inside a `.zarr` folder it has the folder's name and its path inside.
    """
    parts = path.rstrip("/").split("/")
    folders = [i for i, part in enumerate(parts) if part.lower().endswith(".zarr")]
    first = folders[-1] if folders else len(parts) - 1
    return _plain("_".join([_ENDINGS.sub("", parts[first]), *parts[first + 1 :]]))


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)
