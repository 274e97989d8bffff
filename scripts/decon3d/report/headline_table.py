"""The headline table, the settings behind its numbers, and the guide to all columns.

The headline has the key numbers of each method: held-out deviance, NRMSE raw and affine-matched,
width of beads, slope of brightness per object, and cost. The summary has the other metrics.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from decon3d.evaluation.catalogue import DEPENDENT, METRICS
from decon3d.evaluation.records import COLUMNS
from decon3d.evaluation.statistics import estimate_mean
from decon3d.report.independent import values_by_volume, with_volumes
from decon3d.report.labels import with_groups
from decon3d.report.run_status import effective_settings, provenance
from decon3d.settings import Settings

HEADLINE_COLUMNS = (
    "channel",
    "method",
    "deviance",
    "deviance_n",
    "nrmse",
    "nrmse_low",
    "nrmse_high",
    "nrmse_affine",
    "nrmse_affine_low",
    "nrmse_affine_high",
    "nrmse_n",
    "nrmse_units",
    "nrmse_on",
    "bead_fwhm_lateral_um",
    "bead_fwhm_axial_um",
    "object_slope",
    "seconds_per_mvoxel",
    "setup_seconds",
)
TRUTHS = (("seen", "unseen"), ("measured",), ("volume",))
"""Groups with truth: the headline's NRMSE is measured on the first that exists."""
WIDTH_COLUMNS = ("channel", "metric", "variant", "method")


def dependent(metrics: pd.DataFrame) -> "pd.Series[bool]":
    """Mark the rows whose deviance was measured on halves with correlated noise."""
    shared = metrics["implementation"].astype(str).str.contains(DEPENDENT, regex=False)
    return shared & metrics["metric"].isin(["deviance", "deviance_part"])


def correlated_noise_warnings(metrics: pd.DataFrame) -> list[str]:
    """Warn of channels in which the deviance of held-out photons is not valid."""
    return [
        f"Channel {channel}: the noise of neighbouring voxels is correlated (for example by "
        "deskewing), so the two halves of the photons are not independent. Held-out deviance "
        "is not used to compare methods here, since it would favour too many iterations. FSC is "
        "not measured."
        for channel in metrics[dependent(metrics)]["channel"].unique()
    ]


def headline(
    metrics: pd.DataFrame,
    cost: pd.DataFrame,
    *,
    settings: Settings,
    specimens: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Make the headline table.

    Parameters
    ----------
    metrics, cost
        Rows of `metrics.csv` and `cost.csv`.
    specimens
        Of the measured test pairs; see `independent.with_volumes`.

    Returns
    -------
    DataFrame
        One row per channel, group with truth (`nrmse_on`; all other figures are the same there)
        and method, the methods in the config's order. Intervals are the wider of bootstrap and t
        over the `nrmse_n` volumes; `nrmse_units` counts recipe × optics × training seed, of
        which one run has as many as recipes. `setup_seconds` is tuning and training. NaN where
        something was not measured.
    """
    rows = []
    order = ["input", *settings.methods]
    grouped = with_groups(metrics, settings=settings)
    grouped = with_volumes(grouped, settings=settings, specimens=specimens)
    for channel, part in grouped.groupby("channel", sort=False):
        there = set(part["group"])
        known = ([g for g in groups if g in there] for groups in TRUTHS)
        truths: list[str | None] = next(([*groups] for groups in known if groups), [None])
        for on, method in product(truths, (m for m in order if m in set(part["method"]))):
            own = part[part["method"] == method]
            row: dict[str, Any] = {"channel": channel, "method": method, "nrmse_on": on}
            deviance = own[own["metric"] == "deviance"]["value"].dropna()
            row |= {"deviance": deviance.mean(), "deviance_n": len(deviance)}
            true = own[(own["group"] == on) & (own["metric"] == "nrmse")]
            for variant, name in (("unmatched", "nrmse"), ("affine", "nrmse_affine")):
                values = values_by_volume(true[true["variant"] == variant]).get(method, {})
                found = estimate_mean(
                    list(values.values()),
                    seed=settings.seed,
                    name=f"{name}/{channel}/{on}/{method}",
                )
                row |= {name: found.mean, "nrmse_n": found.n}
                row |= dict(zip((f"{name}_low", f"{name}_high"), found.cautious, strict=True))
            row["nrmse_units"] = true["recipe"].nunique() or int(len(true) > 0)
            beads = own[own["metric"] == "bead_fwhm"].set_index("region")["value"]
            row["bead_fwhm_lateral_um"] = beads.reindex(["y", "x"]).mean()
            row["bead_fwhm_axial_um"] = beads.reindex(["z"]).mean()
            row["object_slope"] = own[own["metric"] == "object_slope"]["value"].mean()
            costs = cost[(cost["method"] == method) & cost["channel"].isin([channel, "all"])]
            restored = costs[costs["stage"] == "restoration"]
            voxels = restored["mvoxel"].sum()
            row["seconds_per_mvoxel"] = restored["seconds"].sum() / voxels if voxels > 0 else np.nan
            before = costs["stage"].isin(["tuning", "training"])
            row["setup_seconds"] = costs[before]["seconds"].sum()
            rows.append(row)
    return pd.DataFrame(rows, columns=list(HEADLINE_COLUMNS))


def wrong_psf(metrics: pd.DataFrame) -> pd.DataFrame:
    """Tabulate the test with a wrong PSF: a row per method and metric, a column per width.

    Returns
    -------
    DataFrame
        Columns `psf_0.75` … `psf_1.25`: the PSF's width relative to the assumed one.
    """
    kept = metrics[metrics["split"].str.startswith("psf_")]
    widths = sorted(set(kept["split"]), key=lambda s: float(s.removeprefix("psf_")))
    table = kept.pivot_table("value", list(WIDTH_COLUMNS), "split", sort=False)
    return table.reindex(columns=widths).reset_index().rename_axis(columns=None)


def settings_table(root: Path, *, dataset: str, settings: Settings) -> pd.DataFrame:
    """List everything that determines the numbers: settings in effect, versions, hashes.

    Returns
    -------
    DataFrame
        `method` (empty = of the whole run), `channel`, `key`, `value`.
    """
    named: dict[str, Any] = {"dataset": dataset, "settings": settings}
    rows = [("", "", key, value) for key, value in provenance(root, **named)]
    for item in effective_settings(root, **named):
        rows += [(item["method"], item["channel"], key, value) for key, value in item["rows"]]
    return pd.DataFrame(rows, columns=["method", "channel", "key", "value"])


def guide() -> pd.DataFrame:
    """Explain the columns of `metrics.csv` and every metric in it.

    Returns
    -------
    DataFrame
        `kind` (column or metric), `name`, `label`, `unit`, `better`, `ranked`, `meaning`: for a
        metric, its limits.
    """
    rows: list[dict[str, Any]] = [
        {"kind": "column", "name": name, "meaning": text} for name, text in COLUMNS.items()
    ]
    rows += [
        {
            "kind": "metric",
            "name": name,
            "label": metric.label,
            "unit": metric.unit or "1",
            "better": metric.target,
            "ranked": metric.ranked,
            "meaning": metric.caveat,
        }
        for name, metric in METRICS.items()
    ]
    columns = ["kind", "name", "label", "unit", "better", "ranked", "meaning"]
    return pd.DataFrame(rows, columns=columns)
