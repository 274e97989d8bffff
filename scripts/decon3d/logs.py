"""Logging of a job: one format for the rule's log and the terminal, with progress."""

import contextlib
import copy
import logging
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from decon3d.errors import DamagedError, UserError
from decon3d.files import full_disk, no_access, remove_damaged
from decon3d.pools import limit_pools
from decon3d.watchdog import progressed, watched

PROGRESS = "progress"
"""Attribute of the log's records of progress."""
log = logging.getLogger("decon3d")
T = TypeVar("T")


@contextlib.contextmanager
def job_log(path: str | Path, *, threads: int | None = None) -> Iterator[None]:
    """Send the library's log to `path` while a job runs; to the terminal what a user waits for.

    The terminal gets errors, progress, and each warning once.

    A `UserError` ends the process with its message alone; what a `DamagedError` names is removed if
    it lies in the results of the job's dataset (the log is `logs/<dataset>/…`). Any other exception
    leaves its traceback in the log's file, and one line on the terminal that names the file. Either
    way the exit status is 1. A job that hangs is ended (`watchdog`).

    Parameters
    ----------
    path
        The log's file, replaced.
    threads
        The job's limit (`pools.limit_pools`); None = no limit.

    Raises
    ------
    SystemExit
        After any exception, with status 1.
    """
    if threads is not None:
        limit_pools(threads)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    form = "%(asctime)s %(levelname).1s %(message)s"
    handlers: list[logging.Handler] = [
        logging.FileHandler(path, mode="w", encoding="utf-8"),
        logging.StreamHandler(sys.stderr),
    ]
    handlers[0].setFormatter(logging.Formatter(form, "%H:%M:%S"))
    handlers[1].setFormatter(_WithoutTraceback(form, "%H:%M:%S"))
    handlers[1].addFilter(_for_terminal())
    for handler in handlers:
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log on a full disk must not hide the error
    logging.getLogger("py.warnings").addHandler(handlers[0])
    try:
        log.info("%s", where())
        with watched(path):
            yield
    except DamagedError as error:
        dataset = path.parent.relative_to("logs").parts[:1] if path.is_relative_to("logs") else ()
        log.error("%s", remove_damaged(error, Path("results", *(dataset or ["-"]))))
        raise SystemExit(1) from None
    except Exception as error:
        folder = "results" if Path("results").is_dir() else "."
        if message := full_disk(error, folder) or no_access(error):
            log.error("%s", message)
        elif isinstance(error, UserError):
            log.error("%s", error)
        else:
            name = type(error).__name__
            log.exception("unexpected %s: %s; traceback in %s", name, error, path)
        raise SystemExit(1) from None
    finally:
        logging.getLogger("py.warnings").removeHandler(handlers[0])
        for handler in handlers:
            log.removeHandler(handler)
            with contextlib.suppress(OSError):  # the disk is full
                handler.close()


def _for_terminal() -> Callable[[logging.LogRecord], bool]:
    """Return a filter that lets errors, progress, and each warning once through."""
    warned: set[str] = set()

    def passes(record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING:
            return record.levelno > logging.WARNING or hasattr(record, PROGRESS)
        text = record.getMessage()
        new = text not in warned
        warned.add(text)
        return new

    return passes


class _WithoutTraceback(logging.Formatter):
    """The line of the terminal for the exception that ended a job."""

    def format(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return super().format(record)
        shown = copy.copy(record)
        shown.exc_info = shown.exc_text = None
        shown.msg, shown.args = " ".join(record.getMessage().split()), ()
        return super().format(shown)


def where() -> str:
    """Describe where this process runs: host and SLURM's job."""
    names = {
        "SLURM_JOB_ID": "SLURM job",
        "SLURM_JOB_PARTITION": "partition",
        "SLURMD_NODENAME": "node",
        "CUDA_VISIBLE_DEVICES": "CUDA_VISIBLE_DEVICES",
    }
    found = [f"{text} {os.environ[name]}" for name, text in names.items() if name in os.environ]
    return ", ".join([f"Host {socket.gethostname()}", *found])


class _LoggedProgress(tqdm):  # type: ignore[type-arg]
    """A tqdm whose bar is a line of the log, for files as well as terminals."""

    @property
    def format_dict(self) -> dict[str, Any]:
        """Add the amounts with few digits: `3.2/18.6 Mvoxel` and `0.31 Mvoxel/s`."""
        found = super().format_dict
        done, total, unit = found["n"], found["total"] or 0, found["unit"]
        rate = found["rate"] or done / max(found["elapsed"], 1e-9)
        count = f"{_few(done, total)}/{_few(total, total)} {_scale(total)[1]}{unit}"
        speed = f"{_few(rate, rate)} {_scale(rate)[1]}{unit}/s"
        return {**found, "count": count, "speed": speed}

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        if self.n and msg is None:  # an empty message would erase a bar on the terminal
            log.info("%s", str(self), extra={PROGRESS: True})  # as it is now
        return True

    def update(self, n: float | None = 1) -> bool | None:
        progressed()
        return super().update(n)

    def close(self) -> None:
        if not self.disable and self.n and self.n != self.last_print_n:
            self.display()
        self.leave = False
        super().close()


def _scale(amount: float) -> tuple[float, str]:
    """Return the factor and the prefix in which an amount is written."""
    return (1e6, "M") if amount >= 1e6 else (1e3, "k") if amount >= 1e4 else (1.0, "")


def _few(amount: float, like: float) -> str:
    """Write an amount with three digits, or as a whole number, in the scale of another."""
    value = amount / _scale(like)[0]
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def progress(
    items: Iterable[T] | None = None,
    *,
    total: float | None = None,
    what: str,
    unit: str = "it",
    seconds: float = 5.0,
    **options: Any,
) -> Any:
    """Log the progress of a loop: share done, rate and time left.

    Parameters
    ----------
    items
        To loop over; None = the caller counts, by `.update(n)`.
    total
        Number of items; None = the length of `items`.
    what, unit
        Title of the line, and what is counted.
    seconds
        Between two lines of the log.
    options
        Options of tqdm.

    Returns
    -------
    tqdm
        Iterable and context manager; `.set_postfix_str(text, refresh=False)` adds to the line.
    """
    return _LoggedProgress(
        items,
        total=total,
        desc=what,
        unit=unit,
        mininterval=seconds,
        bar_format="{desc}: {count} ({percentage:.0f} %), {speed}, {remaining} left{postfix}",
        **options,
    )
