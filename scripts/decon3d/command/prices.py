"""The end of `decon3d preview`: the price of each method, and the command of the full run."""

import shlex
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.command.launch import read_config
from decon3d.errors import UserError
from decon3d.files import read_json
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
        lines += [f"{name}:", *_table(record["methods"])]
    command = f"decon3d run {shlex.quote(str(config))}"
    return [*lines, f"Run it: {command}", f"On a cluster: {command} --profile slurm"]


def _table(methods: list[dict[str, Any]]) -> list[str]:
    head = ["method", "training", "restoring", "memory", "disk"]
    rows = [head]
    for row in methods:
        seconds = (row["training_s"] or None, row["predicted_s"])
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


def _gigabytes(value: float | None) -> str:
    return quantity(value) if value is None else f"{quantity(value)} GB"
