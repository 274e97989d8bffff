"""Files that arrive in a watched folder: which are complete, and which were dealt with."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from decon3d.errors import UserError
from decon3d.files import read_json, write_json
from decon3d.volumes.inputs import ENDINGS, volume_name

UNFINISHED = re.compile(r"^[.~]|\.(part|partial|filepart|crdownload|tmp|temp)$", re.IGNORECASE)
"""Names that programs give to unfinished files."""
MOST_ATTEMPTS = 3
"""Failed runs after which a version of a file is left out."""

Signature = list[int]
"""Number of files, bytes, and the latest change in ns; it differs between versions of a file."""


def signature(path: Path) -> Signature:
    """Return the signature of a file, or of all files of a folder (an OME-Zarr).

    `volumes.fingerprints` would open every TIFF at every look; this reads attributes only.

    Raises
    ------
    OSError
        If it has vanished.
    """
    files = [path]
    if path.is_dir():
        files = [Path(at, name) for at, _, names in os.walk(path) for name in names]
    stats = [file.stat() for file in files]
    newest = max((s.st_mtime_ns for s in stats), default=0)
    return [len(stats), sum(s.st_size for s in stats), newest]


@dataclass
class Entry:
    """The state of one path.

    Attributes
    ----------
    name
        Name of the dataset in the results.
    version
        Signature at the last look.
    since_s
        When this version was first seen, by the clock of this machine.
    state
        `new`; `refused` (cannot be read; reported), `failed` (a run failed), `done`.
    attempts
        Runs so far that failed on this version.
    """

    name: str
    version: Signature
    since_s: float
    state: str = "new"
    attempts: int = 0


@dataclass
class Arrivals:
    """The files of a folder, remembered across restarts.

    Parameters
    ----------
    folder
        The watched folder.
    record
        File in which the entries are kept.
    settle_s
        A file is complete if it did not change for this time.
    clock
        The time in s, such as `time.time`.
    """

    folder: Path
    record: Path
    settle_s: float
    clock: Callable[[], float]
    entries: dict[str, Entry] = field(default_factory=dict)
    running: bool = False

    def load(self) -> None:
        """Read the entries of earlier watches.

        Raises
        ------
        UserError
            If the record is damaged.
        """
        if not self.record.is_file():
            return
        content: dict[str, Any] = read_json(self.record)
        try:
            self.running = bool(content["running"])
            self.entries = {path: Entry(**e) for path, e in content["entries"].items()}
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.record} is damaged; remove it (all files of the folder then count as new)"
            ) from error

    def save(self) -> None:
        """Write the entries."""
        entries = {path: vars(entry) for path, entry in self.entries.items()}
        write_json(self.record, {"running": self.running, "entries": entries})

    def look(self) -> None:
        """Look at the folder: add new files; forget the state of changed ones.

        Raises
        ------
        UserError
            If the folder cannot be read, such as a network share that is not mounted.
        """
        try:
            found = sorted(self._found())
        except OSError as error:
            raise UserError(
                f"{self.folder} cannot be read: {error.strerror}; check the folder"
            ) from error
        for path in found:
            try:
                version = signature(path)
            except OSError:  # moved away in this moment
                continue
            entry = self.entries.get(str(path))
            if entry is None:
                self.entries[str(path)] = Entry(self._name(path), version, self.clock())
            elif entry.version != version:
                self.entries[str(path)] = Entry(entry.name, version, self.clock())

    def _found(self) -> Iterator[Path]:
        for path in self.folder.iterdir():
            if ENDINGS.search(path.name) and not UNFINISHED.search(path.name):
                yield path

    def _name(self, path: Path) -> str:
        """Return a name of the results that no other file has."""
        name = volume_name(path.name)
        taken = {entry.name for entry in self.entries.values()}
        number, chosen = 2, name
        while chosen in taken:
            chosen, number = f"{name}_{number}", number + 1
        return chosen

    def waiting(self) -> bool:
        """Return whether a file may still be incomplete."""
        return any(
            entry.state == "new" and not self._settled(entry) for entry in self.entries.values()
        )

    def ready(self) -> dict[str, Entry]:
        """Return the complete files to restore, by path."""
        return {
            path: entry
            for path, entry in self.entries.items()
            if (entry.state == "new" and self._settled(entry))
            or (entry.state == "failed" and entry.attempts < MOST_ATTEMPTS)
            if os.path.exists(path)
        }

    def _settled(self, entry: Entry) -> bool:
        return self.clock() - entry.since_s >= self.settle_s
