"""Small files written whole or not at all, and hashes of what was read."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from decon3d.errors import DamagedError


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` through a temporary file, so that a reader never sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: str | Path, value: Any, *, indent: int | None = 1) -> None:
    """Write `value` as JSON (keys in their order, NaN refused), whole or not at all."""
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: str | Path, *, beside: Iterable[str | Path] = ()) -> Any:
    """Read a JSON file that this project wrote: an object or a list.

    What `write_record` wrote is verified.

    Parameters
    ----------
    beside
        Files that are made in one with it.

    Raises
    ------
    DamagedError
        If the file is missing, cut off, not JSON, or altered.
    """
    value = _load(path, beside)
    signed = isinstance(value, dict) and "written" in value
    return _verified(value, path, beside) if signed else value


def _load(path: str | Path, beside: Iterable[str | Path]) -> Any:
    try:
        value = json.loads(Path(path).read_bytes(), parse_constant=_finite, parse_float=_finite)
    except FileNotFoundError:
        raise DamagedError(path, "is missing", files=beside) from None
    except (ValueError, RecursionError):
        raise DamagedError(path, "is damaged: it is not valid JSON", files=beside) from None
    if not isinstance(value, dict | list):
        raise DamagedError(path, "is damaged: it should hold an object or a list", files=beside)
    return value


def _finite(text: str) -> float:
    """Read a number; NaN and infinities are refused, for `write_json` does not write them."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def append_line(path: str | Path, line: dict[str, Any]) -> dict[str, Any]:
    """Append a JSON line with its own checksum to a progress file; return the line as read."""
    with open(path, "a", encoding="utf-8") as stream:
        stream.write(json.dumps(_signed(line)) + "\n")
    return line


def write_lines(path: str | Path, lines: Iterable[dict[str, Any]]) -> None:
    """Write a progress file that `read_lines` reads, whole or not at all."""
    write_text(path, "".join(json.dumps(_signed(line)) + "\n" for line in lines))


def read_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """Read a progress file; a line that is cut off or altered is left out, so that it is redone."""
    if not Path(path).exists():
        return
    with open(path, encoding="utf-8", errors="replace") as stream:
        for text in stream:
            with contextlib.suppress(ValueError):
                line = json.loads(text, parse_constant=_finite, parse_float=_finite)
                if isinstance(line, dict):
                    body = {key: value for key, value in line.items() if key != "checksum"}
                    if line == _signed(body):
                        yield body


def _signed(line: dict[str, Any]) -> dict[str, Any]:
    return {**line, "checksum": digest(line)}


def remove_damaged(error: DamagedError, folder: str | Path) -> str:
    """Remove what is damaged and was made by the workflow; say what to do.

    Nothing outside `folder` is removed, which is a dataset's in `results`.
    """
    results = Path(folder).resolve()
    ours = [path for path in error.files if results in path.resolve().parents]
    if len(ours) < len(error.files):
        return f"{error}; replace it with an undamaged copy"
    for path in ours:
        path.unlink(missing_ok=True)
    return f"{error}; run the same command again, and it is made again"


def write_record(path: str | Path, value: dict[str, Any]) -> None:
    """Write an object as JSON with its place and its digest, which `read_record` verifies.

    The place is the path below the folder `results`, or the name of the file where there is none.
    """
    parts = Path(path).absolute().parts
    below = len(parts) - 1 - parts[::-1].index("results") if "results" in parts else -2
    place = "/".join(parts[below + 1 :])
    write_json(path, {**value, "written": {"to": place, "digest": digest([value, place])}})


def read_record(path: str | Path, *, beside: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Read what `write_record` wrote.

    Parameters
    ----------
    beside
        Files that are made in one with it.

    Raises
    ------
    DamagedError
        If the content is not what was written, or was written to another place.
    """
    return _verified(_load(path, beside), path, beside)


def _verified(value: Any, path: str | Path, beside: Iterable[str | Path]) -> dict[str, Any]:
    """Compare an object with its digest and its place, and return it without them."""
    written = value.pop("written", None) if isinstance(value, dict) else None
    about = written if isinstance(written, dict) else {}
    place = about.get("to")
    if not isinstance(place, str) or about.get("digest") != digest([value, place]):
        raise DamagedError(
            path,
            "was changed after it was written: its digest does not match its content",
            files=beside,
        )
    if not f"/{Path(path).absolute().as_posix()}".endswith(f"/{place}"):
        raise DamagedError(path, f"is a copy of {place}", files=beside)
    return dict(value)


def digest(value: Any) -> str:
    """Hash a JSON-able value: 16 hexadecimal digits, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Hash a file's bytes: 16 hexadecimal digits of its SHA-256."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
