"""Headers of volumes: grid, type and voxel size, read in parallel and cached between runs."""

import gc
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from decon3d.errors import UserError, reading
from decon3d.files import digest, read_json, write_json
from decon3d.versions import VERSIONS
from decon3d.volumes.fingerprints import attributes, fingerprint, forget_fingerprints
from decon3d.volumes.volume import Reading, Triple, Volume

Source = tuple[str, Reading]
"""A path, and the config's reading options."""
Shape = tuple[int, int, int, int, int]

CACHE = ".snakemake/decon3d/headers.json"
"""The headers' cache, below the working directory."""
THREADS = 16
"""Files opened at once: opening waits for the file server, not for the CPU."""
_MOST_KEPT = 20_000


@dataclass(frozen=True)
class Header:
    """A volume's metadata.

    Attributes
    ----------
    path
        The volume.
    shape
        Voxels (T, C, Z, Y, X).
    itemsize
        Bytes of a voxel.
    voxel_size_um
        Voxel size (Z, Y, X), in µm; None = unknown.
    voxel_size_problem
        Why the file's voxel size cannot be used; empty if it can.
    files
        All files of a set that is one volume; empty for a volume in one file or folder.
    """

    path: str
    shape: Shape
    itemsize: int
    voxel_size_um: Triple | None
    voxel_size_problem: str = ""
    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, volume: Volume) -> "Header":
        """Return the header of an opened volume."""
        return cls(
            volume.path,
            volume.shape,
            volume.dtype.itemsize,
            volume.voxel_size_um,
            volume.voxel_size_problem,
            volume.files,
        )


def read_header(source: Source) -> Header:
    """Read the header of one volume.

    Raises
    ------
    UserError
        If the file does not exist or cannot be read as a volume.
    """
    from decon3d.volumes.reader import open_volume  # half a second, and most runs have a cache

    path, how = source
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist; check the path")
    with reading(path):
        # Its own path; an image inside a collection has a different one.
        return replace(Header.of(open_volume(path, reading=how)), path=path)


def read_headers(
    sources: Iterable[Source], *, cache: str | Path = CACHE
) -> dict[Source, Header | UserError]:
    """Read the headers of many volumes in parallel, those of unchanged files from a cache.

    A file is unchanged if its fingerprint (`volumes.fingerprints`) is. Problems are not kept.

    Parameters
    ----------
    sources
        The volumes.
    cache
        A JSON file; made or replaced if need be. If it is damaged or cannot be written, the
        headers are read from the files.

    Returns
    -------
    dict
        By source: the header, or the error of a file that cannot be read.
    """
    wanted = list(dict.fromkeys(sources))
    kept = _load(cache)
    forget_fingerprints()
    with ThreadPoolExecutor(THREADS) as pool:
        same = dict(zip(wanted, pool.map(lambda s: _is_unchanged(s, kept), wanted), strict=True))
        new = [source for source in wanted if not same[source]]
        if new:
            import decon3d.volumes.reader  # noqa: F401 (once, before the threads)
        read = dict(zip(new, pool.map(_stamp_and_header, new), strict=True))
    doubtful = [source for source, (_, found) in read.items() if isinstance(found, UserError)]
    if doubtful:  # once more, alone: tifffile's complaints do not say of which thread's file they
        gc.collect()  # are, and many files may have been open at once
    read |= {source: _stamp_and_header(source) for source in doubtful}
    if new:
        good = {s: (stamp, h) for s, (stamp, h) in read.items() if isinstance(h, Header)}
        _save(cache, {**kept, **good} if len(kept) < _MOST_KEPT else good)
    return {source: kept[source][1] if same[source] else read[source][1] for source in wanted}


def kept_headers(cache: str | Path = CACHE) -> dict[Source, Header]:
    """Return the cached headers of an earlier `read_headers`, without reading the files."""
    return {source: header for source, (_, header) in _load(cache).items()}


def _is_unchanged(source: Source, kept: Mapping[Source, tuple[str, Header]]) -> bool:
    try:
        return source in kept and kept[source][0] == _stamp(source, kept[source][1].files)
    except UserError:
        return False


def _stamp_and_header(source: Source) -> tuple[str, Header | UserError]:
    """Read a header and the stamp that validates its cache entry."""
    stamp = ""
    try:
        stamp = _stamp(source)  # first, so that a file that changes meanwhile is read again
        header = read_header(source)
    except UserError as error:
        return stamp, error
    return _stamp(source, header.files) if header.files else stamp, header


def _stamp(source: Source, files: Iterable[str] = ()) -> str:
    """Return a hash that changes with the files of a path, and with others of its set."""
    with reading(source[0]):
        others = [attributes(file) for file in files]
        return digest([VERSIONS["ingest"], fingerprint(source[0]), others])


def _load(cache: str | Path) -> dict[Source, tuple[str, Header]]:
    try:
        return dict(_entry(**values) for values in read_json(cache))
    except Exception:  # it is only a cache, so all errors are ignored
        return {}


def _entry(
    *, stamp: str, series: int | str | None, axes: str | None, header: dict[str, Any]
) -> tuple[Source, tuple[str, Header]]:
    lists = {key: tuple(value) for key, value in header.items() if isinstance(value, list)}
    found = Header(**{**header, **lists})
    return (found.path, Reading(series, axes)), (stamp, found)


def _save(cache: str | Path, entries: dict[Source, tuple[str, Header]]) -> None:
    values = [
        {"stamp": stamp, "series": how.series, "axes": how.axes, "header": asdict(header)}
        for (_, how), (stamp, header) in entries.items()
    ]
    try:
        write_json(cache, values)
    except (OSError, ValueError):  # a read-only folder: the next run reads the headers again
        return
