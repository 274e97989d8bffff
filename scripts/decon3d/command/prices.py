"""The end of `decon3d preview`: the price of each method, and the command that runs it."""

from pathlib import Path
from typing import Any

import yaml

from decon3d import paths
from decon3d.command.display import duration
from decon3d.errors import UserError
from decon3d.files import read_json


def price_lines(config: str | Path) -> list[str]:
    """Return the costs of the datasets of a config that have a preview, and the commands.

    Parameters
    ----------
    config
        The config file.
    """
    with Path(config).open(encoding="utf-8-sig") as file:
        datasets = yaml.safe_load(file).get("datasets") or {}
    lines: list[str] = []
    command = f"decon3d run {config}"
    for name in datasets:
        try:
            record = read_json(paths.preview_costs(name))
        except (OSError, UserError):
            continue
        lines += [f"{name}:", *_table(record["methods"])]
        command = record["command"]
    return [*lines, f"Run it: {command}", f"On a cluster: {command} --profile slurm"]


def _table(methods: list[dict[str, Any]]) -> list[str]:
    head = ["method", "training", "restoring", "memory", "disk"]
    rows = [head]
    for row in methods:
        priced = row["predicted_s"] is not None
        rows.append(
            [
                row["method"],
                duration(row["training_s"]) if row["training_s"] else "-",
                duration(row["predicted_s"]) if priced else "-",
                f"{row['memory_gb']:.3g} GB" if priced else "-",
                f"{row['disk_gb']:.3g} GB" if priced else "-",
            ]
        )
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
