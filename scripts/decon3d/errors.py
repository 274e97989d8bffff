"""Errors that are written for the person at the keyboard."""

import contextlib
import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_ACCESS = (errno.EROFS, errno.EACCES, errno.EPERM)


class UserError(Exception):
    """Something the user can mend: shown as its message alone, never with a traceback.

    The message says which config key or file, what is wrong and what would be right.
    """


class DamagedError(UserError):
    """A file that this project wrote is missing or damaged.

    `files` are all that have to be made again with it, itself included. A job that ends with this
    error removes those that lie in `results/` (`files.remove_damaged`), so that the next run of the
    workflow makes them again.
    """

    def __init__(self, path: str | Path, problem: str, *, files: Iterable[str | Path] = ()) -> None:
        self.path = Path(path)
        self.problem = problem
        self.files = (self.path, *map(Path, files))
        super().__init__(f"{path} {problem}")


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


def _line(problem: str) -> str:
    """Keep a problem on one line, whatever name it holds."""
    return problem.replace("\n", "\\n").replace("\r", "\\r")


@contextlib.contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn any library's exception while something is read into a `UserError` of one line.

    Parameters
    ----------
    what
        What is read, with its file and plane or chunk, e.g. `data/a.tif, plane 3`; the message
        is `<what> cannot be read: <reason>`.

    Raises
    ------
    UserError
        The block's own, as it is, or one that names the cause.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # each library has its own, and raises the built-in ones, too
        raise UserError(f"{what} cannot be read: {reason(error)}") from error


def needs_traceback(error: BaseException) -> bool:
    """Return whether an error needs its traceback: it is not one for the person at the keyboard."""
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
