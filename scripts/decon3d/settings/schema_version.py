"""The version of the config's format: what to edit in an old config, and the end of a newer one.

A key that is renamed or dropped gets an entry in `_EDITS`, and `SCHEMA_VERSION` the next number if
a key keeps its name but changes its meaning. A config without `schema_version` is of this version.
"""

from collections.abc import Callable, Iterator
from typing import Any

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
    """rl_residual: fixed iterations and λ became factors on what suits a volume's PSF and dose."""
    methods = config.get("methods")
    for name, method in methods.items() if isinstance(methods, dict) else ():
        if not isinstance(method, dict) or method.get("kind", name) != "rl_residual":
            continue
        runs = method.get("estimates")
        old = [key for key in ("iterations", "tv_weight", "tv_iterations") if key in method]
        for i, run in enumerate(runs if isinstance(runs, list) else ()):
            keys = ("iterations", "tv_weight") if isinstance(run, dict) else ()
            old += [f"estimates[{i}].{key}" for key in keys if key in run]
        if old:
            yield (
                f"methods.{name}: {' and '.join(old)} {'are keys' if len(old) > 1 else 'is a key'} "
                "of an earlier version; remove them: iterations and λ now follow the PSF and the "
                "dose (estimates[i].iteration_factors and tv_factor change them)"
            )


_EDITS: tuple[Edit, ...] = (_estimates,)
"""Each lists the edits for one change of the keys."""
