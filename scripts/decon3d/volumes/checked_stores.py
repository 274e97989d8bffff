"""Open this project's stores; missing or altered files raise an error with their name."""

import asyncio
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import ByteRequest
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from decon3d.errors import DamagedError, UserError
from decon3d.volumes.manifest import (
    GROUP,
    Entry,
    check_bytes,
    check_file,
    is_own,
    layout_of,
    load_manifest,
    naming,
)

OPTIONS: dict[str, Any] = {
    "compressors": (BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"), Crc32cCodec()),
    "fill_value": 0,
    "config": {"write_empty_chunks": True},
}
"""Options of every array here: all chunks are written, with checksums."""


class OwnStore(LocalStore):
    """A folder whose chunks must be there; in a finished store they must be those of its manifest.

    zarr reads a missing chunk as the fill value; here it raises `DamagedError`.
    """

    def __init__(self, root: Path | str, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=read_only)
        self.files: dict[str, Entry] | None = None
        self._compared: set[str] = set()

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a file or a part of it.

        Raises
        ------
        DamagedError
            If it is a chunk and is missing, or differs from the manifest.
        """
        value = await super().get(key, prototype, byte_range)
        if "/c/" in key:
            if value is None:
                raise DamagedError(self.root / key, "is missing")
            if self.files is not None and key not in self._compared:
                await asyncio.to_thread(self.compare, key)
        return value

    def compare(self, key: str) -> None:
        """Compare a file with the manifest, once."""
        assert self.files is not None
        if key not in self.files:
            raise DamagedError(self.root / key, "is not in the manifest")
        check_file(self.root, key, self.files[key])
        self._compared.add(key)


class OwnArray(zarr.Array[Any]):
    """An array of a store of ours: an error of decoding names the file."""

    def __getitem__(self, selection: Any) -> Any:
        try:
            return super().__getitem__(selection)
        except (UserError, MemoryError):
            raise
        except Exception:
            self._find_damage()
            raise

    def _find_damage(self) -> None:
        store: Any = self.store
        folder = store.root / self.path
        layout = layout_of(folder)
        for key in layout.files():
            with naming(folder / key):
                check_bytes(folder / key, layout.inner(key))


class OwnGroup(zarr.Group):
    """The group of a finished store."""

    def __getitem__(self, path: str) -> Any:
        found = super().__getitem__(path)
        return OwnArray(found.async_array) if isinstance(found, zarr.Array) else found


def open_store(path: str | Path) -> OwnGroup:
    """Open a finished store of ours: a restored volume, pairs, phantoms, a map, an ingested volume.

    Its arrays raise `DamagedError` when they read a missing or altered chunk.

    Raises
    ------
    DamagedError
        If the store is not finished, or its metadata or manifest are altered.
    """
    path = Path(path)
    store = OwnStore(path)
    if not (path / GROUP).is_file():
        raise DamagedError(path / GROUP, "is missing")
    store.files = load_manifest(path)
    for name in store.files:
        if name.endswith(GROUP):
            store.compare(name)
    return OwnGroup(zarr.open_group(store, mode="r")._async_group)


def open_array(store: str | Path, name: str) -> OwnArray:
    """Open an array of a store that is being made; a missing chunk raises `DamagedError`."""
    array = zarr.open_array(OwnStore(Path(store)), path=name, mode="r")
    return OwnArray(array.async_array)


def create_volumes(folder: str | Path, *, count: int, shape: tuple[int, ...]) -> "zarr.Array[Any]":
    """Create an array (count, Z, Y, X), float32, with one volume per chunk."""
    return zarr.create_array(
        str(folder),
        shape=(count, *shape),
        chunks=(1, *shape),
        dtype="float32",
        dimension_names=("volume", "z", "y", "x"),
        **OPTIONS,
    )


def open_to_write(folder: str | Path) -> "zarr.Array[Any]":
    """Open an array of a store that is being made, to write whole chunks or shards into it.

    Chunks of the fill value alone are written, too; the metadata does not store this option.
    """
    return zarr.open_array(str(folder), mode="r+").with_config(OPTIONS["config"])


def open_group(path: str | Path) -> Any:
    """Open a store for reading: one of ours checked (`open_store`), any other as it is."""
    return open_store(path) if is_own(path) else zarr.open_group(str(path), mode="r")
