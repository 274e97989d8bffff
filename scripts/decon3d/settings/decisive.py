"""The part of a config that decides the results of one dataset."""

from typing import Any

from decon3d.settings.config import Settings
from decon3d.settings.instrument_defaults import by_name

UNDECISIVE: Any = {"require_gpu": True, "restoration": {"parts", "memory_gb"}}
"""Keys that change no result, only where and in which pieces it is computed."""


def decisive(settings: Settings, dataset: str) -> dict[str, Any]:
    """Return all that decides the results of one dataset, as plain values of a valid config.

    Other datasets, unused instruments and keys that only divide the work are left out, so that a
    change of them makes no page again.
    """
    named = settings.datasets[dataset].instrument
    used = {by_name(settings.instruments)[named][0]} if named else set()
    values = settings.model_dump(mode="json", exclude=UNDECISIVE)
    values["datasets"] = {dataset: values["datasets"][dataset]}
    values["instruments"] = {n: i for n, i in values["instruments"].items() if n in used}
    if settings.datasets[dataset].pairs is not None:
        values["phantoms"] = None  # a config with measured pairs only must not have them
    return values
