"""Group values by independent volume: intervals are over volumes, and two crops are one volume."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from decon3d import paths
from decon3d.files import read_json
from decon3d.settings import Settings

VOLUME = "volume"
"""The column that `with_volumes` adds."""


def with_volumes(
    metrics: pd.DataFrame, *, settings: Settings, specimens: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Add the column `volume`: equal for subjects that are not independent of each other.

    These are the images of one phantom at several doses (`phantoms.test.doses`), the crops of one
    clean volume (`phantoms.objects`), and the measured pairs of one specimen. Every other subject
    is a volume of its own.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv`.
    specimens
        Of the measured test pairs, by channel and subject (`signal/pairs/test/0000`).
    """
    phantoms = settings.phantoms
    doses = len(phantoms.test.doses or [0]) if phantoms else 1
    own = set(phantoms.objects) if phantoms else set()
    known = specimens or {}

    def volume_of(channel: str, subject: str, split: str, recipe: object) -> str:
        if split == "measured":
            return known.get(f"{channel}/{subject}", subject)
        if split != "test":
            return subject
        if recipe in own:
            return f"object/{recipe}"
        return f"phantom/{int(subject.rpartition('/')[2]) // doses}" if doses > 1 else subject

    columns = ("channel", "subject", "split", "recipe")
    rows = zip(*(metrics[column] for column in columns), strict=True)
    return metrics.assign(**{VOLUME: [volume_of(*row) for row in rows]})


def values_by_volume(metrics: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Sort the values of one metric and variant by method and volume; NaN is left out.

    Parameters
    ----------
    metrics
        With the column of `with_volumes`; several values of a volume are averaged.
    """
    kept = metrics.dropna(subset=["value"])
    return {
        str(method): {str(volume): float(v) for volume, v in rows.items()}
        for method, part in kept.groupby("method", sort=False)
        for rows in [part.groupby(VOLUME, sort=False)["value"].mean()]
    }


def test_specimens(root: Path, *, dataset: str, settings: Settings) -> dict[str, str]:
    """Name the specimen of every measured test pair, by channel and subject.

    Returns
    -------
    dict
        `signal/pairs/test/0000` and so on, in the order of the test store.
    """
    found: dict[str, str] = {}
    for channel in settings.datasets[dataset].channels:
        path = root / paths.measured_pairs(dataset, channel)
        pairs = read_json(path)["pairs"] if path.is_file() else []
        names = [row["specimen"] for row in pairs if row["split"] == "test"]
        found |= {f"{channel}/pairs/test/{i:04d}": name for i, name in enumerate(names)}
    return found
