"""Errors that are written for the person at the keyboard."""


class UserError(Exception):
    """Something the user can mend: shown as its message alone, never with a traceback.

    The message says which config key or file, what is wrong and what would be right.
    """


class DeviceMemoryError(UserError):
    """A block does not fit into the memory of the device; a smaller one may."""


class ConfigError(UserError):
    """All the problems of one config, each a line `key.path: what is wrong`."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"The config has {count}:", *(f"  - {p}" for p in problems)]))
