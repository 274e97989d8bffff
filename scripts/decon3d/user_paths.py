"""Paths as users write them in the config."""

import os
import re
from pathlib import Path

from decon3d.errors import UserError

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")
_REPLACED = re.compile(r"\{\s*[.\w]+\s*(?:,.*)?\}|<[a-z][a-z0-9_]*>", re.DOTALL)


def expand_path(text: str) -> str:
    """Expand `~`, `$NAME`, `${NAME}` and `${NAME:-default}` in a path, as a shell would.

    A path that exists as it is written is taken literally.

    Raises
    ------
    UserError
        If a variable is not set and has no default.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        found = os.environ.get(name) or match[2]
        if found is None:
            raise UserError(
                f"the environment variable {name} is not set (in {text!r}); set it, or give a "
                f"default: ${{{name}:-…}}"
            )
        return found

    if os.path.lexists(text):
        return text
    return os.path.expanduser(_VARIABLE.sub(value, text))


def check_output(
    path: Path,
    *,
    endings: tuple[str, ...] = (),
    force: bool = False,
    remedy: str = "remove it, or give another name",
) -> None:
    """Refuse an output path that exists, has a wrong ending, or whose folder does not exist.

    Parameters
    ----------
    endings
        Allowed endings of the name; none = any.
    force
        Whether an existing file may be replaced.
    remedy
        Advice about an existing file, for the message.

    Raises
    ------
    UserError
        If the path cannot be written to.
    """
    if endings and not path.name.endswith(endings):
        raise UserError(f"{path}: the name must end in {' or '.join(endings)}")
    if os.path.lexists(path) and not force:
        raise UserError(f"{path} exists; {remedy}")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")


def path_problem(path: str, *, of_clone: bool = False) -> str:
    """Describe why Snakemake cannot use a path; empty if it can.

    It replaces `{name}` (wildcards) and `<name>` (its path variables), without a way to quote them.
    In the path of the clone, every brace starts or ends a name. It writes paths as UTF-8, so names
    in older encodings fail.

    Parameters
    ----------
    path
        Expanded.
    of_clone
        Whether it is the path of the clone, not of a file.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in path):  # bytes that are not text
        return (
            f"the name {path!r} is not UTF-8, which Snakemake needs; rename the file or folder, or "
            "link it under another name (ln -s)"
        )
    found = re.search(r"[{}]", path) if of_clone else None
    found = found or _REPLACED.search(path)
    if found is None:
        return ""
    return (
        f"Snakemake replaces {found[0]!r} in a path, here in {path!r}; rename the file or folder, "
        "or link it under another name (ln -s)"
    )
