"""The log of a running job, read as it grows: progress, warnings, and how the job failed."""

import re
from dataclasses import dataclass, field
from pathlib import Path

LINE = re.compile(r"^\d\d:\d\d:\d\d (?P<level>[IWEC]) (?P<text>.*)$")
"""A line of `logs.job_log`; other lines continue the one before."""
PROGRESS = re.compile(
    r"^(?P<what>.*): (?P<count>\S+)/\S+ (?P<unit>.*) \((?P<percent>\d+) %\), (?P<rest>.*)$"
)
"""A line of `logs.progress`: its title, the share done, and the rate with the time left."""
OF_PYTHON = re.compile(r"^\S+:\d+: \w*Warning: ")
"""A warning of a library about its own code; only the log contains these."""
MOST_BYTES = 1_000_000
"""Limit of one read; a log usually has a few kB."""


@dataclass
class JobLog:
    """The log of one job; `read` takes what is new.

    Attributes
    ----------
    progress
        Title, share, rate and time left of the present loop; empty if there is none.
    share
        Share of the present loop that is done, 0 to 1; None = unknown.
    count
        Number of volumes that are done, where the loop is over volumes.
    begun
        Whether the job has written to it.
    warnings
        The warnings; a caller may take them out.
    error
        The last error; empty if there is none.
    """

    path: Path
    progress: str = ""
    share: float | None = None
    count: int = 0
    begun: bool = False
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    _position: int = 0
    _before: int | None = None
    _begun: bytes = b""

    def __post_init__(self) -> None:
        self._before = self._changed()  # the log of an earlier run is not read

    def _changed(self) -> int | None:
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return None

    def read(self) -> None:
        """Read what the job has written since the last call."""
        changed = self._changed()
        if changed is None or changed == self._before:
            return
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._position:  # begun again
                    self._position, self._begun = 0, b""
                file.seek(self._position)
                new = file.read(MOST_BYTES)
        except OSError:
            return
        self.begun = True
        self._position += len(new)
        *whole, self._begun = (self._begun + new).split(b"\n")
        for line in whole:
            self._take(line.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        found = LINE.match(line)
        if not found:
            return
        level, text = found["level"], found["text"]
        if level in "EC":
            self.error = text
        elif level == "W" and not OF_PYTHON.match(text):
            self.warnings.append(text)
        elif progress := PROGRESS.match(text):
            ended = progress["percent"] == "100"  # the loop has ended; the job may go on
            if progress["unit"] == "volumes" and progress["count"].isdecimal():
                self.count = int(progress["count"])
            self.share = None if ended else int(progress["percent"]) / 100
            told = f"{progress['what']}: {progress['percent']} %, {progress['rest']}"
            self.progress = "" if ended else told
