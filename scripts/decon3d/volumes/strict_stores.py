"""Local zarr stores that refuse cut chunk files: empty ones, and incomplete ones of Blosc.

Blosc's decoder trusts the length in a chunk's header without comparing it with the chunk's size.
For incompressible data, it copies memory from beyond a cut chunk's end.
"""

from typing import Any

from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

HEADER_BYTES = 16
_LENGTH = slice(12, 16)


def uses_blosc(array: dict[str, Any]) -> bool:
    """Return whether an array's chunks are compressed by Blosc, from its metadata (zarr 2 or 3)."""
    codecs = array.get("codecs")
    listed = codecs if isinstance(codecs, list) else [array.get("compressor")]
    names = [c.get("name", c.get("id")) for c in listed if isinstance(c, dict)]
    return bool(names) and names[-1] in ("blosc", "numcodecs.blosc")


class StrictStore(LocalStore):
    """The folder of one array, of which no file may be empty or, with Blosc, cut.

    zarr reads an empty shard as a missing one.
    """

    def __init__(self, root: str, *, blosc: bool) -> None:
        super().__init__(root, read_only=True)
        self._blosc = blosc

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Read a file; `ValueError` if it is empty or has fewer bytes than its header states."""
        found = await super().get(key, prototype, byte_range)
        if found is not None and len(found) == 0 and not (self.root / key).stat().st_size:
            raise ValueError("the file is empty")
        is_metadata = key.rpartition("/")[2].startswith(".z") or key.endswith("zarr.json")
        if found is None or not self._blosc or byte_range is not None or is_metadata:
            return found
        header = found[:HEADER_BYTES].to_bytes()
        stated = int.from_bytes(header[_LENGTH], "little")
        if len(header) < HEADER_BYTES or stated > len(found):
            raise ValueError(
                f"it is cut off after {len(found)} of {stated or 'an unknown number of'} bytes"
            )
        return found
