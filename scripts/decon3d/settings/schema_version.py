"""The version of the config's format: what to edit in an old config, and the end of a newer one.

A key that is renamed or dropped gets an entry in `_EDITS`, and `SCHEMA_VERSION` the next number if
a key keeps its name but changes its meaning. A config without `schema_version` is of this version.
"""

from collections.abc import Callable, Iterator
from typing import Any

import yaml

from decon3d.errors import ConfigError

SCHEMA_VERSION = 1

Edit = Callable[[dict[str, Any]], Iterator[str]]


def check_schema_version(config: dict[str, Any]) -> None:
    """Reject a config of another version.

    Parameters
    ----------
    config
        The parsed YAML.

    Raises
    ------
    ConfigError
        With the edits that bring an old config up to date, or one line about a newer one.
    """
    version = config.get("schema_version", SCHEMA_VERSION)
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ConfigError(
            [
                f"schema_version: this config is of version {version}, but this decon3d reads "
                f"version {SCHEMA_VERSION}; install a newer decon3d"
            ]
        )
    if edits := [line for edit in _EDITS for line in edit(config)]:
        raise ConfigError(edits)


def _estimates(config: dict[str, Any]) -> Iterator[str]:
    """rl_residual: two runs with keys of their own became a list of any runs."""
    methods = config.get("methods")
    for name, method in methods.items() if isinstance(methods, dict) else ():
        if not isinstance(method, dict) or method.get("kind", name) != "rl_residual":
            continue
        old = [key for key in ("iterations", "tv_weight", "tv_iterations") if key in method]
        if not old:
            continue
        estimates = [{"iterations": method.get("iterations", [3, 8])}]
        if method.get("tv_weight") is not None:
            second = {"iterations": method.get("tv_iterations", [])}
            estimates.append({**second, "tv_weight": method["tv_weight"]})
        written = yaml.safe_dump(estimates, default_flow_style=True, width=1000).strip()
        yield (
            f"methods.{name}: {' and '.join(old)} {'are keys' if len(old) > 1 else 'is a key'} of "
            f"an earlier version; write `estimates: {written}` instead"
        )


_EDITS: tuple[Edit, ...] = (_estimates,)
"""Each lists the edits for one change of the keys."""
