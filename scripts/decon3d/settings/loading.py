"""Validate a config: all problems at once."""

from typing import Any

from pydantic import ValidationError

from decon3d.errors import ConfigError
from decon3d.settings.config import Settings
from decon3d.settings.error_messages import explained
from decon3d.settings.files import missing_files, wrong_networks
from decon3d.settings.instrument_defaults import merged
from decon3d.settings.schema_version import check_schema_version


def load_settings(config: dict[str, Any]) -> Settings:
    """Validate a config.

    Parameters
    ----------
    config
        The parsed YAML; not changed.

    Raises
    ------
    ConfigError
        With every problem of the config, missing files included. Edits of an old config come
        first, alone, then problems of its instruments: the datasets take their keys from there.
    """
    if not isinstance(config, dict):
        raise ConfigError(["the config holds no keys; it must begin with `datasets:`"])
    check_schema_version(config)
    config = merged(config)
    try:
        settings = Settings.model_validate(_with_kinds(config))
    except ValidationError as error:
        problems = explained(error.errors(include_url=False))
        raise ConfigError(problems + missing_files(config)) from None
    problems = missing_files(config) or wrong_networks(settings)
    if problems:
        raise ConfigError(problems)
    return settings


def _with_kinds(config: dict[str, Any]) -> dict[str, Any]:
    """Set a method's kind: `bundle` if it names one, else by default the method's name."""
    methods = config.get("methods")
    if not isinstance(methods, dict):
        return config
    kinds = {}
    for name, method in methods.items():
        method = {} if method is None else method
        if isinstance(method, dict) and "kind" not in method:
            method = {"kind": "bundle" if "bundle" in method else str(name), **method}
        kinds[name] = method
    return {**config, "methods": kinds}
