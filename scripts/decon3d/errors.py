"""Errors that are written for the person at the keyboard."""

from collections.abc import Iterable
from pathlib import Path


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
        super().__init__("\n".join([f"The config has {count}:", *(f"  - {p}" for p in problems)]))
