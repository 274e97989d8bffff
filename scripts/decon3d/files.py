"""Small files, written atomically, and hashes of files."""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from decon3d.errors import DISK_FULL, NO_ACCESS, DamagedError

DAY_SECONDS = 24 * 3600


@contextlib.contextmanager
def replacing(path: str | Path, *, ending: str = "") -> Iterator[Path]:
    """Yield a temporary file beside `path` that atomically replaces it at the end.

    Temporary files of killed processes of this machine, or older than a day, are removed.

    Parameters
    ----------
    ending
        Ending of the temporary file's name, for writers that depend on it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, host = f".{path.name}.", socket.gethostname()
    with os.scandir(path.parent) as entries:
        found = [entry for entry in entries if entry.name.startswith(prefix)]
    for entry in found:
        if _is_left_over(entry, entry.name.removeprefix(prefix), host):
            Path(entry.path).unlink(missing_ok=True)
    temporary = path.with_name(f"{prefix}{host}.{os.getpid()}.part{ending}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_left_over(entry: "os.DirEntry[str]", rest: str, host: str) -> bool:
    writer = re.fullmatch(r"(?:(?P<host>.+)\.)?(?P<pid>\d+)\.part(\.\w+)?", rest)
    if writer is None:
        return False
    if writer["host"] == host:
        try:
            os.kill(int(writer["pid"]), 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return int(writer["pid"]) == os.getpid()
    try:
        return time.time() - entry.stat().st_mtime > DAY_SECONDS
    except FileNotFoundError:
        return False


_announced: list[str] = []


def announce_output(gigabytes: float) -> None:
    """Note the job's largest output, for the message about a full disk."""
    _announced[:] = [f"this job writes up to {gigabytes:.2g} GB before compression; "]


def full_disk(error: BaseException | None, folder: str | Path) -> str | None:
    """Describe a full disk as the cause of an error, with a folder's free space; else None."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    full = any(isinstance(e, OSError) and e.errno in DISK_FULL for e in chain)
    if not full and not any("No space left on device" in str(e) for e in chain):
        return None
    named = next((e.filename for e in chain if isinstance(e, OSError) and e.filename), None)
    place = Path(os.path.abspath(named or folder))
    while not place.is_dir():
        place = place.parent
    usage = shutil.disk_usage(place)
    return (
        f"{place}: the disk is full ({usage.free / 1e9:.3g} of {usage.total / 1e9:.3g} GB are "
        f"free); {''.join(_announced)}free some space or get a larger quota, and run the same "
        "command again"
    )


def no_access(error: BaseException) -> str | None:
    """Describe missing access to a file or folder as the cause of an error; else None."""
    if not isinstance(error, OSError) or error.errno not in NO_ACCESS or not error.filename:
        return None
    return (
        f"{error.filename}: {error.strerror}; make the folder {Path(error.filename).parent} "
        "readable and writable, and run the same command again"
    )


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` through a temporary file, so that readers never see a part."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any, *, indent: int | None = 1) -> None:
    """Write a value as JSON, atomically.

    Parameters
    ----------
    path
        The file.
    value
        JSON-able, without NaN and infinities; keys stay in their order.
    indent
        Spaces; None = one line.
    """
    write_text(path, json.dumps(value, indent=indent, allow_nan=False) + "\n")


def read_json(path: str | Path, *, beside: Iterable[str | Path] = ()) -> Any:
    """Read a JSON file that this project wrote: an object or a list.

    Records of `write_record` are verified.

    Parameters
    ----------
    beside
        Files that are made together with it.

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
    """Read a number; reject NaN and infinities, which `write_json` never writes."""
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
    """Write a progress file for `read_lines`, atomically."""
    write_text(path, "".join(json.dumps(_signed(line)) + "\n" for line in lines))


def read_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """Read a progress file; leave out lines that are cut off or altered, to redo their work."""
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
    """Remove damaged files of the workflow; return the message with the remedy.

    Files outside `folder`, the dataset's in `results`, are not removed.
    """
    results = Path(folder).resolve()
    ours = [path for path in error.files if results in path.resolve().parents]
    if len(ours) < len(error.files):
        return f"{error}; replace it with an undamaged copy"
    for path in ours:
        path.unlink(missing_ok=True)
    return f"{error}; run the same command again to make it again"


def write_record(path: str | Path, value: dict[str, Any]) -> None:
    """Write an object as JSON with its path and its digest, which `read_record` verifies.

    The path is relative to the folder `results`, or the name of the file outside of it.
    """
    parts = Path(path).absolute().parts
    below = len(parts) - 1 - parts[::-1].index("results") if "results" in parts else -2
    place = "/".join(parts[below + 1 :])
    write_json(path, {**value, "written": {"to": place, "digest": digest([value, place])}})


def read_record(path: str | Path, *, beside: Iterable[str | Path] = ()) -> dict[str, Any]:
    """Read a record of `write_record`.

    Parameters
    ----------
    beside
        Files that are made together with it.

    Raises
    ------
    DamagedError
        If the content was changed, or was written to another path.
    """
    return _verified(_load(path, beside), path, beside)


def _verified(value: Any, path: str | Path, beside: Iterable[str | Path]) -> dict[str, Any]:
    """Compare an object with its digest and its path, and return it without them."""
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
    """Hash a JSON value: 16 hexadecimal digits, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


DIGESTS = "digests.json"
"""Name of the file that holds the hashes of the files beside it."""


def write_digests(paths: Iterable[str | Path]) -> None:
    """Write the hashes of finished files of one folder beside them, for `check_digests`."""
    files = sorted(map(Path, paths))
    write_record(files[0].with_name(DIGESTS), {path.name: file_digest(path) for path in files})


def check_digests(path: str | Path, *, beside: Iterable[str | Path] = ()) -> None:
    """Compare the files of a folder with their hashes at `path`.

    Parameters
    ----------
    beside
        Files to make again if one is missing or changed.

    Raises
    ------
    DamagedError
        If a file is missing, or was changed after it was written.
    """
    beside = list(beside)
    for name, known in read_record(path, beside=beside).items():
        file = Path(path).with_name(name)
        if not file.is_file():
            raise DamagedError(file, "is missing", files=beside)
        if file_digest(file) != known:
            raise DamagedError(file, "was changed after it was written", files=beside)


def check_rows(path: str | Path, rows: Any) -> None:
    """Compare the objects of a list that was read from `path` with their checksums.

    Raises
    ------
    DamagedError
        If one was changed after it was written, or has no checksum.
    """
    for row in rows:
        body = {k: v for k, v in row.items() if k != "checksum"} if isinstance(row, dict) else {}
        if not body or row != _signed(body):
            raise DamagedError(path, "holds a record that was changed after it was written")


def file_digest(path: str | Path) -> str:
    """Hash a file's bytes: 16 hexadecimal digits of its SHA-256."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
