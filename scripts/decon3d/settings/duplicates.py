"""Keys that a config file gives twice: YAML keeps the last one and drops the first silently."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from decon3d.errors import ConfigError, reading

_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_config_files(paths: Iterable[str | Path]) -> None:
    """Refuse config files, YAML or JSON, in which a key stands twice at one place.

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
    """List the keys of a YAML or JSON file that stand twice at one place."""
    with reading(str(path)):
        try:
            root = yaml.compose(Path(path).read_text(encoding="utf-8-sig"), Loader=_Loader)
        except yaml.YAMLError:  # JSON that is no YAML, or what Snakemake refuses itself
            return []
    return [
        f"{path}, lines {first} and {second}: the key {key} stands twice, so the first one would "
        "be lost; rename or remove one of them"
        for key, first, second in _twice(root, "", set())
    ]


def _twice(node: yaml.Node | None, place: str, seen: set[int]) -> Iterator[tuple[str, int, int]]:
    """Find keys that stand twice: where, and in which lines (from 1)."""
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
