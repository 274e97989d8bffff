"""The manifest of a finished store: every file with its size and checksum.

Every chunk that is written here ends in the CRC-32C of its bytes (the codec `crc32c`), and a shard
in an index of its chunks. The manifest holds the checksum of a file's checksums, so it is made and
compared without reading the voxels. The codec compares the voxels with the chunk's checksum; the
manifest compares the chunk's checksum with the chunk's place.
"""

import contextlib
import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar

from decon3d.errors import DamagedError
from decon3d.files import digest, read_json, write_json, write_text

MANIFEST = "manifest.json"
GROUP = "zarr.json"
CHECKSUM = 4
"""Bytes of a checksum at the end of a chunk or of a shard's index."""
ABSENT = 2**64 - 1
"""Offset, in a shard's index, of a missing chunk."""

T = TypeVar("T")
Shape = tuple[int, ...]
Entry = tuple[int, int]
"""Size in bytes, and checksum."""
Inner = tuple[bool, ...] | None
"""For each chunk of a shard, whether it is inside the array; None = the file is one chunk."""


@lru_cache(maxsize=1024)
def inner_chunks(shard: Shape, chunk: Shape, extent: Shape) -> tuple[bool, ...]:
    """Return, for each chunk of a shard, whether it is inside the array.

    Parameters
    ----------
    shard, chunk
        Voxels along each axis.
    extent
        Voxels of the shard that lie in the array.
    """
    axes = [
        [start < end for start in range(0, size, step)]
        for size, step, end in zip(shard, chunk, extent, strict=True)
    ]
    return tuple(all(place) for place in product(*axes))


@dataclass(frozen=True)
class Layout:
    """How an array is cut into files: voxels of the array, of a file, and of a chunk in a shard."""

    shape: Shape
    file: Shape
    chunk: Shape | None

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> "Layout":
        """Read an array's `zarr.json`."""
        file = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        codec = metadata["codecs"][0]
        sharded = codec["name"] == "sharding_indexed"
        chunk = tuple(codec["configuration"]["chunk_shape"]) if sharded else None
        return cls(tuple(metadata["shape"]), file, chunk)

    def files(self) -> Iterator[str]:
        """Name all files of the array, relative to its folder."""
        counts = (range(-(-n // f)) for n, f in zip(self.shape, self.file, strict=True))
        for place in product(*counts):
            yield "/".join(["c", *map(str, place)])

    def inner(self, key: str) -> Inner:
        """Return which chunks a file must hold, by its name."""
        if self.chunk is None:
            return None
        place = map(int, key.rpartition("c/")[2].split("/"))
        cut = zip(place, self.file, self.shape, strict=True)
        return inner_chunks(self.file, self.chunk, tuple(min(f, n - i * f) for i, f, n in cut))


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise `DamagedError` with a file's name if it is missing, or for a `ValueError`, its problem.

    The problem is the rest of a sentence, e.g. "is cut off".
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise DamagedError(path, "is missing") from None
    except ValueError as error:
        raise DamagedError(path, str(error)) from None


def crc32c(data: bytes, before: int = 0) -> int:
    """CRC-32C of bytes; `before` is the CRC of the preceding bytes."""
    import google_crc32c  # a dependency of zarr; not needed to compare sizes

    return int(google_crc32c.extend(before, data))


def checksum_of(path: Path, inner: Inner) -> int:
    """Return the checksum of a file's checksums, without reading its voxels.

    Parameters
    ----------
    inner
        Which chunks the file must hold.

    Raises
    ------
    ValueError
        If the file is too short, or its index is damaged or lacks a chunk.
    """
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        if inner is None:
            return crc32c(_read(stream, size - CHECKSUM, CHECKSUM))
        found = 0
        for offset, length in _index(stream, size, inner):
            found = crc32c(_read(stream, offset + length - CHECKSUM, CHECKSUM), found)
        return found


def check_bytes(path: Path, inner: Inner) -> None:
    """Compare all bytes of a chunk or shard with the checksums in it.

    Raises
    ------
    ValueError
        If they do not match.
    """
    with open(path, "rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        parts = [(0, size)] if inner is None else _index(stream, size, inner)
        for offset, length in parts:
            _checked(_read(stream, offset, length))


def _index(stream: BinaryIO, size: int, inner: tuple[bool, ...]) -> list[Entry]:
    length = 16 * len(inner) + CHECKSUM
    content = _checked(_read(stream, size - length, length))
    numbers = struct.unpack(f"<{2 * len(inner)}Q", content[:-CHECKSUM])
    places = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(needed and ABSENT in place for needed, place in zip(inner, places, strict=True)):
        raise ValueError("lacks a chunk")
    return [place for place in places if ABSENT not in place]


def _read(stream: BinaryIO, offset: int, length: int) -> bytes:
    if offset < 0 or length < CHECKSUM:
        raise ValueError("is cut off")
    stream.seek(offset)
    content = stream.read(length)
    if len(content) < length:
        raise ValueError("is cut off")
    return content


def _checked(content: bytes) -> bytes:
    if crc32c(content[:-CHECKSUM]) != int.from_bytes(content[-CHECKSUM:], "little"):
        raise ValueError("does not match its checksum")
    return content


def finish_store(store: str | Path, attributes: dict[str, Any]) -> None:
    """Write a store's manifest, then its group's `zarr.json`, which marks the store as finished.

    Parameters
    ----------
    store
        Folder with an array in each subfolder.
    attributes
        Of the group; `manifest` is added, the manifest's name.

    Raises
    ------
    DamagedError
        If a chunk of an array is missing or damaged.
    """
    store = Path(store)
    content = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {**attributes, "manifest": MANIFEST},
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    data = text.encode()
    files: dict[str, Entry] = {GROUP: (len(data), crc32c(data))}
    for array in sorted(path.parent for path in store.glob(f"*/{GROUP}")):
        data = (array / GROUP).read_bytes()
        files[f"{array.name}/{GROUP}"] = (len(data), crc32c(data))
        layout = layout_of(array)
        for key in layout.files():
            path = array / key
            with naming(path):
                entry = (path.stat().st_size, checksum_of(path, layout.inner(key)))
            files[f"{array.name}/{key}"] = entry
    write_json(store / MANIFEST, {"digest": digest(files), "files": files}, indent=None)
    write_text(store / GROUP, text)


def begin_store(store: str | Path) -> None:
    """Remove the mark of a finished store before any change.

    Temporary files of killed writers are removed, too.
    """
    for name in (GROUP, MANIFEST):
        (Path(store) / name).unlink(missing_ok=True)
    for half_written in Path(store).rglob("*.partial"):
        half_written.unlink(missing_ok=True)


def finished_attributes(store: str | Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Return the attribute `decon3d` of a finished store, if it can be kept.

    Parameters
    ----------
    wanted
        Entries that the attribute must have.

    Returns
    -------
    dict or None
        None = the store is unfinished or damaged, or lacks such an entry.
    """
    path = Path(store) / GROUP
    made = read_json(path)["attributes"].get("decon3d", {}) if path.exists() else {}
    same = {**made, **wanted} == made
    return made if same and not damages(store, look="checksums") else None


def is_own(store: str | Path) -> bool:
    """Return whether this project finished a store, by its manifest or its flag."""
    store = Path(store)
    if (store / MANIFEST).is_file():
        return True
    try:
        content = json.loads((store / GROUP).read_bytes())
        return bool(content["attributes"]["manifest"] == MANIFEST)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def load_manifest(store: str | Path) -> dict[str, Entry]:
    """Read a finished store's manifest.

    Raises
    ------
    DamagedError
        If it is missing or altered.
    """
    return _cached_json(Path(store) / MANIFEST, _entries)


def layout_of(array: Path) -> Layout:
    """Read an array's layout.

    Raises
    ------
    DamagedError
        If its `zarr.json` is missing or damaged.
    """
    return _cached_json(array / GROUP, Layout.of)


def _entries(manifest: dict[str, Any]) -> dict[str, Entry]:
    files = manifest["files"]
    if manifest["digest"] != digest(files):
        raise ValueError
    return {name: (size, checksum) for name, (size, checksum) in files.items()}


def _cached_json(path: Path, parse: Callable[[dict[str, Any]], T]) -> T:
    with naming(path):
        about = path.stat()
        found: T = _parsed(path, parse, about.st_mtime_ns, about.st_size)
        return found


@lru_cache(maxsize=64)
def _parsed(path: Path, parse: Callable[[dict[str, Any]], Any], modified: int, size: int) -> Any:
    try:
        return parse(json.loads(path.read_bytes()))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        raise ValueError("is damaged") from None


def damages(
    store: str | Path, *, look: Literal["sizes", "checksums", "bytes"] = "bytes"
) -> list[DamagedError]:
    """List the missing, altered and damaged files of a finished store.

    Parameters
    ----------
    look
        Compare the files' sizes only (opens none), also the checksums in them, or all bytes.
    """
    store = Path(store)
    try:
        files = load_manifest(store)
    except DamagedError as error:
        return [error]
    found: dict[str, DamagedError] = {}
    for name, entry in sorted(files.items(), key=lambda item: not item[0].endswith(GROUP)):
        try:
            if look == "sizes":
                _check_size(store / name, entry[0])
            elif f"{name.partition('/')[0]}/{GROUP}" not in found:  # needed for the others
                check_file(store, name, entry, look=look)
        except DamagedError as error:
            found[name] = error
    return list(found.values())


def _check_size(path: Path, size: int) -> None:
    with naming(path):
        there = os.stat(path).st_size
        if there != size:
            raise ValueError(f"has {there} bytes instead of {size}")


def check_file(
    store: Path, name: str, entry: Entry, *, look: Literal["checksums", "bytes"] = "checksums"
) -> None:
    """Compare a file of a finished store with the manifest.

    Parameters
    ----------
    name
        Of the file, within the store.
    entry
        Its entry in the manifest.
    look
        At the size and the checksums in the file, or also at all its bytes.

    Raises
    ------
    DamagedError
        If it is missing or differs.
    """
    path = store / name
    _check_size(path, entry[0])
    with naming(path):
        if name.endswith(GROUP):
            found = crc32c(path.read_bytes())
        else:
            inner = layout_of(store / name.partition("/")[0]).inner(name)
            found = checksum_of(path, inner)
            if look == "bytes":
                check_bytes(path, inner)
        if found != entry[1]:
            raise ValueError("does not match the manifest")
