"""The end of `decon3d preview`: the price of each method, and the command of the full run."""

import shlex
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.command.launch import read_config
from decon3d.errors import UserError
from decon3d.files import read_json
from decon3d.report.figure_tables import any_known
from decon3d.report.templating import duration, quantity


def price_lines(config: str | Path) -> list[str]:
    """Return the costs of the datasets of a config that have a preview, and the commands.

    Parameters
    ----------
    config
        The config file.
    """
    lines: list[str] = []
    for name in read_config(config).get("datasets") or {}:
        try:
            record = read_json(paths.preview_costs(name))
        except (OSError, UserError):  # without a preview
            continue
        lines += [f"{name}:", *_table(record["methods"]), *_sums(record)]
    command = f"decon3d run {shlex.quote(str(config))}"
    profile = "--profile NAME (`decon3d doctor --write NAME` writes the profile)"
    return [*lines, f"Run it: {command}", f"On a cluster: {command} {profile}"]


def _table(methods: list[dict[str, Any]]) -> list[str]:
    stages = {
        "training": "training_s",
        "search": "search_s",
        "restoring": "predicted_s",
        "evaluation": "evaluation_s",
    }
    if not any_known(methods, "training_s"):
        del stages["training"]
    if not any_known(methods, "search_s"):
        del stages["search"]
    rows = [["method", *stages, "memory", "disk"]]
    for row in methods:
        seconds = (row[key] if row[key] != 0 else None for key in stages.values())
        room = (row["memory_gb"], row["disk_gb"])
        rows.append([row["method"], *map(duration, seconds), *map(_gigabytes, room)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  "
        + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    for row in methods:
        lines += [f"  {row['method']}: {note}" for note in row["notes"]]
        lines += [f"  {row['method']} on a cluster, {one}" for one in row["cluster"]]
    return lines


def _sums(record: dict[str, Any]) -> list[str]:
    """Write what is not of one method: phantoms, the sum of all times, and what it lacks."""
    lines = []
    if record["phantoms_s"]:
        lines.append(f"  phantoms for all methods: {duration(record['phantoms_s'])}")
    if record["total_s"] is not None:
        threads = record["threads"]
        words = f"{threads} thread{'' if threads == 1 else 's'} of this machine"
        lines.append(f"  computing together, with {words}: {duration(record['total_s'])}")
    return [*lines, f"  not included: {'; '.join(record['not_included'])}"]


def _gigabytes(value: float | None) -> str:
    return quantity(value) if value is None else f"{quantity(value)} GB"
