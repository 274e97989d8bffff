"""Errors whose messages are written for users."""

import contextlib
import errno
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk or an exceeded quota."""
NO_ACCESS = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Error numbers of a file or folder that may not be read or written."""


class UserError(Exception):
    """An error that the user can fix: shown as its message alone, without a traceback.

    The message names the problem, the config key or file, and the remedy.
    """


class DamagedError(UserError):
    """A file that this project wrote is missing or damaged.

    `files` lists all files to make again, this one included. A job that ends with this error
    removes those in `results/` (`files.remove_damaged`), so that the next run of the workflow makes
    them again.
    """

    def __init__(self, path: str | Path, problem: str, *, files: Iterable[str | Path] = ()) -> None:
        self.path = Path(path)
        self.problem = problem
        self.files = (self.path, *map(Path, files))
        super().__init__(f"{path} {problem}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments, not the message: the error of a worker process."""
        return partial(DamagedError, files=self.files[1:]), (self.path, self.problem)


class DeviceMemoryError(UserError):
    """A block does not fit into the memory of the device; a smaller one may."""


class ConfigError(UserError):
    """All the problems of one config, each a line `key.path: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join([f"The config has {count}:", *(f"  - {_line(p)}" for p in problems)])
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the problems, not the message."""
        return ConfigError, (self.problems,)


def _line(problem: str) -> str:
    """Keep a problem on one line: escape line breaks in names."""
    return problem.replace("\n", "\\n").replace("\r", "\\r")


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Convert any library's exception during reading to a one-line `UserError`.

    Parameters
    ----------
    what
        The thing that is read, with its file and plane or chunk, e.g. `data/a.tif, plane 3`; the
        message is `<what> cannot be read: <reason>`.

    Raises
    ------
    UserError
        Errors of this class unchanged; others converted.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # libraries raise their own and the built-in ones
        raise UserError(f"{what} cannot be read: {reason(error)}") from error


def needs_traceback(error: BaseException) -> bool:
    """Return whether an error needs its traceback: the user cannot fix it."""
    of_disk = isinstance(error, OSError) and error.errno in (*DISK_FULL, *NO_ACCESS)
    return not (of_disk or isinstance(error, UserError))


def reason(error: BaseException) -> str:
    """Return the first line of an exception's text, with its type where the text needs it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if not lines:
        return type(error).__name__
    bare = isinstance(error, LookupError | ArithmeticError | TypeError | AttributeError)
    return f"{type(error).__name__}: {lines[0]}" if bare else lines[0]
