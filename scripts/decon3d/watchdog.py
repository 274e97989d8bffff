"""End a job that hangs: in a lock, in a library's code, or at its end.

A thread watches the job's progress and the CPU time of its processes. A slow block uses CPU time
and reports progress at some time. A job that does neither would never end, and Snakemake would wait
for it.
"""

import contextlib
import faulthandler
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

IDLE_SECONDS = 3600.0
"""A job hangs after so long without progress and CPU time."""
IDLE_SHARE = 0.005
"""CPUs in use below which a job is idle; libraries' thread pools wake up occasionally."""
LOCKED = 4
"""The limit is so many times longer if C code holds the interpreter's lock."""
BUSY_SECONDS = 48 * 3600.0
"""Limit without progress at any CPU time. A block takes minutes, at most a few hours."""
LEAVING_SECONDS = 600.0
"""Limit from the end of the main thread to the end of the process."""
TICK_SECONDS = 10.0

_current: "Watchdog | None" = None


def progressed() -> None:
    """Report progress to the watchdog of this process, if there is one."""
    if _current is not None:
        _current.progressed()


@contextlib.contextmanager
def watched(path: str | Path) -> Iterator[None]:
    """End this process with status 1 if the code in this context hangs.

    Also if the process itself does not end later, after its main thread has.

    Parameters
    ----------
    path
        The job's log, which gets one line and the stack of each thread.
    """
    global _current
    # Open until the process ends, since its end is watched, too.
    _current = Watchdog(open(path, "a", encoding="utf-8"))  # noqa: SIM115
    _current.start()
    try:
        yield
    finally:
        _current.leave()
        _current = None


class Watchdog(threading.Thread):
    """The thread that watches."""

    def __init__(self, log: TextIO) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._log = log
        self._left = threading.Event()
        self._progress = time.monotonic()

    def progressed(self) -> None:
        """Note that the job has made progress."""
        self._progress = time.monotonic()

    def start(self) -> None:
        """Start to watch."""
        self._arm()
        super().start()

    def _arm(self) -> None:
        """End the process even if hanging C code keeps this thread from running."""
        faulthandler.dump_traceback_later(LOCKED * IDLE_SECONDS, exit=True, file=self._log)

    def leave(self) -> None:
        """Note that the job is over."""
        self._left.set()
        faulthandler.cancel_dump_traceback_later()

    def run(self) -> None:
        """Watch until the job is over, and then until the process is."""
        seen, since, used = self._progress, time.monotonic(), cpu_seconds()
        now = since
        while not self._left.wait(TICK_SECONDS):
            self._arm()
            before, now = now, time.monotonic()
            was_stopped = now - before > IDLE_SECONDS / 2  # schedulers suspend jobs by SIGSTOP
            if was_stopped:
                self.progressed()
            if self._progress != seen:
                seen, since, used = self._progress, now, cpu_seconds()
            elif now - seen > BUSY_SECONDS:
                self._end(f"made no progress for {_hours(BUSY_SECONDS)}")
            elif now - since > IDLE_SECONDS:
                if cpu_seconds() - used < IDLE_SHARE * (now - since):
                    self._end(f"neither made progress nor used the CPU for {_hours(IDLE_SECONDS)}")
                since, used = now, cpu_seconds()
        while threading.main_thread().is_alive():
            time.sleep(TICK_SECONDS)
        time.sleep(LEAVING_SECONDS)
        self._end(f"is over, but its process did not end within {_hours(LEAVING_SECONDS)}")

    def _end(self, what: str) -> None:
        """Write a message and end the process; without the logger, whose lock may be held."""
        line = (
            f"{time.strftime('%H:%M:%S')} E this job {what}; it hangs and is stopped; run the same "
            "command again (finished work is kept)\n"
        ).encode()
        with contextlib.suppress(OSError, ValueError):
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, line)
        with contextlib.suppress(OSError, ValueError):
            os.write(self._log.fileno(), line)
            faulthandler.dump_traceback(self._log)
        for process in _descendants():
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        os._exit(1)


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds:g} s"


def cpu_seconds() -> float:
    """Return the CPU time of this process and its descendants, in seconds."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(usage.ru_utime + usage.ru_stime for usage in spent)
    for process in _descendants():
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _descendants() -> list[int]:
    found = _children(os.getpid())
    for process in found:  # the list grows meanwhile
        found += _children(process)
    return found


def _children(process: int) -> list[int]:
    """List the processes that a process has started and that still run; on Linux only."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for task in Path(f"/proc/{process}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found
