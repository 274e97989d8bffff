"""Duplicate keys of a config file: YAML keeps the last one and silently drops the first."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from decon3d.errors import ConfigError, reading

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_config_files(paths: Iterable[str | Path]) -> None:
    """Reject config files, YAML or JSON, with duplicate keys.

    Raises
    ------
    ConfigError
        With every such key and both of its lines.
    UserError
        If a file cannot be read.
    """
    problems = [problem for path in paths for problem in duplicate_keys(path)]
    if problems:
        raise ConfigError(problems)


def duplicate_keys(path: str | Path) -> list[str]:
    """List the duplicate keys of a YAML or JSON file."""
    with reading(str(path)):
        try:
            root = yaml.compose(Path(path).read_text(encoding="utf-8-sig"), Loader=_Loader)
        except yaml.YAMLError:  # JSON that is not YAML, or errors that Snakemake reports itself
            return []
    return [
        f"{path}, lines {first} and {second}: the key {key} is given twice, so YAML would ignore "
        "the first one; rename or remove one of them"
        for key, first, second in _twice(root, "", set())
    ]


def _twice(node: yaml.Node | None, place: str, seen: set[int]) -> Iterator[tuple[str, int, int]]:
    """Find duplicate keys, with their places and lines (from 1)."""
    if id(node) in seen:  # an alias
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            yield from _twice(value, f"{place}[{i}]", seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            inside = f"{place}.{name}" if place else name
            line = key.start_mark.line + 1
            if name in lines and name != "<<":
                yield inside, lines[name], line
            lines[name] = line
            yield from _twice(value, inside, seen)
