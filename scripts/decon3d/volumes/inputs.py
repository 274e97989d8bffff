"""Which volumes a dataset has: names and paths from a path, a glob, a list or a sheet."""

import csv
import glob
import os
import re
from dataclasses import dataclass
from pathlib import Path

from decon3d import paths
from decon3d.errors import ConfigError
from decon3d.settings import NAME, Dataset, VolumeEntry, expand_path
from decon3d.volumes.planes import plane_files

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
    """List the files (or folders: OME-Zarr, planes) that a glob names, sorted."""
    return sorted(glob.glob(pattern, recursive=True))


def volume_files(path: str) -> list[str]:
    """List the files whose change is a volume's: itself, or what stands for a folder.

    Of an OME-Zarr, its metadata. Of a folder of planes, the folder, which changes when planes come
    or go, and the newest plane: all of them would be thousands for a workflow to keep.
    """
    path = path.rstrip("/")
    if planes := plane_files(path):
        return [path, max(planes, key=lambda file: (os.stat(file).st_mtime_ns, file))]
    inside = [f"{path}/{n}" for n in ("zarr.json", ".zattrs") if Path(path, n).is_file()]
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
    for source in (s for entry in entries for s in _expand(key, entry)):
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
    """Make a volume's name from its file's: the endings go, odd characters become `_`."""
    stem = _ENDINGS.sub("", path.rstrip("/")).rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem)
