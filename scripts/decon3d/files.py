"""Small files written whole or not at all, and hashes of what was read."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from decon3d.errors import UserError


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` through a temporary file, so that a reader never sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as JSON (keys in their order, NaN refused), whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_record(path: str | Path, value: dict[str, Any]) -> None:
    """Write an object as JSON with its place and its digest, which `read_record` verifies.

    The place is the path below the folder `results`, or the name of the file where there is none.
    """
    parts = Path(path).absolute().parts
    below = len(parts) - 1 - parts[::-1].index("results") if "results" in parts else -2
    place = "/".join(parts[below + 1 :])
    write_json(path, {**value, "written": {"to": place, "digest": digest([value, place])}})


def read_record(path: str | Path) -> dict[str, Any]:
    """Read what `write_record` wrote.

    Raises
    ------
    UserError
        If the content is not what was written, or was written to another place.
    """
    value: dict[str, Any] = read_json(path)
    written = value.pop("written", {"to": ""})
    place: str = written["to"]
    if written.get("digest") != digest([value, place]):
        raise UserError(
            f"{path} was changed after it was written: its digest does not match its content; "
            "delete it and run again"
        )
    if not f"/{Path(path).absolute().as_posix()}".endswith(f"/{place}"):
        raise UserError(f"{path} is a copy of {place}; delete it and run again")
    return value


def digest(value: Any) -> str:
    """Hash a JSON-able value: 16 hexadecimal digits, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Hash a file's bytes: 16 hexadecimal digits of its SHA-256."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
