"""The tables: every value in long form, a summary with intervals, and the cost."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from decon3d import paths
from decon3d.evaluation.catalogue import METRICS
from decon3d.evaluation.records import COLUMNS, read_records
from decon3d.evaluation.statistics import Estimate, estimate_mean, paired_difference
from decon3d.files import read_json, write_digests, write_text
from decon3d.report import headline_table
from decon3d.report.headline_table import dependent
from decon3d.report.independent import test_specimens, values_by_volume, with_volumes
from decon3d.report.labels import GROUPS, REGIONS, VARIANTS, classical_methods, with_groups
from decon3d.report.papers import as_papers_report
from decon3d.report.recommendation import Recommendation, recommendation_table, recommended
from decon3d.report.templating import render
from decon3d.settings import ORACLE, Settings

SUMMARY_COLUMNS = (
    "channel",
    "group",
    "metric",
    "variant",
    "region",
    "method",
    "mean",
    "low",
    "high",
    "t_low",
    "t_high",
    "n",
    "units",
    "rank",
    "reference",
    "difference",
    "difference_low",
    "difference_high",
    "difference_t_low",
    "difference_t_high",
    "difference_n",
    "clear",
)
CONDITION_COLUMNS = (
    "channel",
    "voxel_anisotropy",
    "group",
    "recipe",
    "photons",
    "metric",
    "variant",
    "region",
    "method",
    "mean",
    "sd",
    "n",
)
WITH_TRUTH = frozenset().union(*headline_table.TRUTHS)
"""Groups of volumes with truth."""
COST_COLUMNS = (
    "channel",
    "method",
    "stage",
    "jobs",
    "seconds",
    "mvoxel",
    "mvoxel_per_s",
    "peak_memory_gb",
    "device",
)


def collect_metrics(root: Path, *, dataset: str) -> pd.DataFrame:
    """Collect the metric records of all methods that were evaluated.

    Returns
    -------
    DataFrame
        One row per value, the columns of `Record`; empty if nothing was evaluated.
    """
    pattern = paths.evaluation(dataset, "*", "*")
    records = [r for path in sorted(root.glob(pattern)) for r in read_records(path)]
    return pd.DataFrame([asdict(r) for r in records], columns=list(COLUMNS))


def summarise(
    metrics: pd.DataFrame, *, settings: Settings, specimens: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Summarise every metric per channel, group of subjects and method.

    Parameters
    ----------
    metrics
        From `collect_metrics`.
    specimens
        Of the measured test pairs; see `independent.with_volumes`.

    Returns
    -------
    DataFrame
        Mean with its bootstrap interval (`low`, `high`; below 30 volumes also Student's
        `t_low`, `t_high`; of one or two volumes none), n independent volumes, `units` (recipe ×
        optics × training seed: one run has one optics and one seed; the intervals over volumes do
        not cover others), rank (1 = best mean; none for an oracle and where the metric ranks
        nothing), and the paired difference to the best classical method (`reference`), with
        intervals; `clear`: whether all of these exclude 0.
    """
    rows = []
    keys = ["channel", "group", "metric", "variant", "region"]
    parts = [name for name, metric in METRICS.items() if not metric.summarised]
    kept = metrics[~metrics["metric"].isin(parts)]
    grouped = with_groups(kept, settings=settings)
    grouped = with_volumes(grouped, settings=settings, specimens=specimens)
    for values, part in grouped.groupby(keys, sort=False):
        place = dict(zip(keys, values, strict=True))
        name = "/".join(map(str, values))
        units = max(part["recipe"].nunique(), 1)
        fair = METRICS[part["metric"].iloc[0]].ranked and not dependent(part).any()
        rows += [
            {**row, "units": units, "rank": row["rank"] if fair else math.nan}
            for row in _summary_rows(place, values_by_volume(part), name, settings)
        ]
    table = pd.DataFrame(rows, columns=list(SUMMARY_COLUMNS))
    order = {name: i for i, name in enumerate([*GROUPS, *METRICS, *VARIANTS, *REGIONS])}
    return table.sort_values(
        ["channel", "group", "metric", "variant", "region", "rank"],
        key=lambda column: column if column.name in ("channel", "rank") else column.map(order),
        kind="stable",
        ignore_index=True,
    )


def _summary_rows(
    place: dict[str, str], values: dict[str, dict[str, float]], name: str, settings: Settings
) -> list[dict[str, object]]:
    metric = METRICS[place["metric"]]
    means = {
        method: estimate_mean(list(by_volume.values()), seed=settings.seed, name=f"{name}/{method}")
        for method, by_volume in values.items()
    }
    competitors = [m for m in means if not m.endswith(ORACLE) and math.isfinite(means[m].mean)]
    ranked = sorted(competitors, key=lambda m: metric.badness(means[m].mean))
    reference = next((m for m in ranked if m in classical_methods(settings)), None)
    rows = []
    for method, mean in means.items():
        row: dict[str, object] = {
            **place,
            "method": method,
            "rank": ranked.index(method) + 1 if method in ranked else math.nan,
        }
        row |= _columns(mean, "")
        if reference is not None and method != reference:
            difference = paired_difference(
                values[method],
                values[reference],
                seed=settings.seed,
                name=f"{name}/{method}-{reference}",
            )
            row |= {"reference": reference, "difference": difference.mean}
            row |= {"clear": difference.excludes_zero} | _columns(difference, "difference_")
        rows.append(row)
    return rows


def _columns(estimate: Estimate, prefix: str) -> dict[str, object]:
    values = asdict(estimate)
    mean = values.pop("mean")
    return {f"{prefix}{k}": v for k, v in values.items()} | ({} if prefix else {"mean": mean})


def by_condition(
    metrics: pd.DataFrame, *, settings: Settings, anisotropy: dict[str, float]
) -> pd.DataFrame:
    """Average every metric per recipe, and per dose if `phantoms.test.doses` is set.

    Parameters
    ----------
    anisotropy
        Of each channel's voxels, Z over X, so that tables of several datasets can be merged.

    Returns
    -------
    DataFrame
        `mean`, sample standard deviation `sd` and `n` objects; `photons` is NaN where the doses
        of a recipe are spread over a range.
    """
    kept = with_groups(metrics, settings=settings)
    kept = kept[~kept["split"].isin(["volume", "data"])]
    if settings.phantoms is None or settings.phantoms.test.doses is None:
        kept = kept.assign(photons=math.nan)
    kept = kept.assign(voxel_anisotropy=kept["channel"].map(anisotropy).astype(float))
    keys = list(CONDITION_COLUMNS[:-3])
    table = kept.groupby(keys, sort=False, dropna=False)["value"].agg(["mean", "std", "count"])
    table = table.reset_index().rename(columns={"std": "sd", "count": "n"})
    return table.reindex(columns=list(CONDITION_COLUMNS))


def collect_cost(root: Path, *, dataset: str, settings: Settings) -> pd.DataFrame:
    """Collect the cost of each method: tuning and training per channel, restoration over all parts.

    Returns
    -------
    DataFrame
        Seconds are summed over jobs, the peak memory is the largest of them. Mvoxel counts
        restored voxels. Empty where nothing ran.
    """
    rows = []
    for method in settings.methods:
        for channel in settings.datasets[dataset].channels:
            tuning = root / paths.tuning(dataset, channel, method)
            if tuning.is_file():
                rows.append(_cost_row(channel, method, "tuning", [read_json(tuning)]))
            history = root / paths.model(dataset, channel, method) / "history.csv"
            if history.is_file():
                seconds = pd.read_csv(history)["seconds"].max()
                rows.append(_cost_row(channel, method, "training", [{"seconds": float(seconds)}]))
        markers = sorted(root.glob(paths.part(dataset, method, "*")))
        if markers:
            parts = [read_json(path) for path in markers]
            rows.append(_cost_row("all", method, "restoration", parts))
        maps = root / paths.consistency_record(dataset, method)
        if maps.is_file():
            rows.append(_cost_row("all", method, "consistency", list(read_json(maps).values())))
    return pd.DataFrame(rows, columns=list(COST_COLUMNS))


def _cost_row(
    channel: str, method: str, stage: str, jobs: list[dict[str, object]]
) -> dict[str, object]:
    def numbers(key: str) -> list[float]:
        return [float(str(job[key])) for job in jobs if job.get(key) is not None]

    seconds = sum(numbers("seconds"))
    mvoxel = sum(numbers("voxels")) / 1e6 or math.nan
    devices = sorted({str(job["device"]) for job in jobs if job.get("device")})
    return {
        "channel": channel,
        "method": method,
        "stage": stage,
        "jobs": len(jobs),
        "seconds": seconds,
        "mvoxel": mvoxel,
        "mvoxel_per_s": mvoxel / seconds if seconds > 0 else math.nan,
        "peak_memory_gb": max(numbers("peak_memory_gb"), default=math.nan),
        "device": ", ".join(devices) or None,
    }


@dataclass(frozen=True)
class Numbers:
    """The numbers of a dataset that both its tables and its page show."""

    metrics: pd.DataFrame
    cost: pd.DataFrame
    summary: pd.DataFrame
    advice: list[Recommendation]
    headline: pd.DataFrame


def _call(what: str, make: Callable[[], Any], otherwise: Any) -> Any:
    return make()


def collect_numbers(
    root: Path,
    *,
    dataset: str,
    settings: Settings,
    attempt: Callable[[str, Callable[[], Any], Any], Any] = _call,
) -> Numbers:
    """Compute a dataset's numbers from what exists.

    Parameters
    ----------
    root
        The working directory of the workflow.
    attempt
        Gets the name of a number, the function that computes it, and a value to use if that fails.
        Without it, errors are raised.
    """
    named: dict[str, Any] = {"dataset": dataset, "settings": settings}
    nothing = pd.DataFrame()
    unmeasured = pd.DataFrame(columns=list(COLUMNS))
    metrics = attempt("the metrics", lambda: collect_metrics(root, dataset=dataset), unmeasured)
    uncounted = pd.DataFrame(columns=list(COST_COLUMNS))
    cost = attempt("the cost", lambda: collect_cost(root, **named), uncounted)
    specimens = attempt("the specimens", lambda: test_specimens(root, **named), {})
    grouped: dict[str, Any] = {"settings": settings, "specimens": specimens}
    summary = attempt("the summary", lambda: summarise(metrics, **grouped), nothing)
    advice = attempt(
        "the recommendation",
        lambda: recommended(root, metrics, dataset=dataset, **grouped),
        [],
    )
    first = attempt(
        "the key numbers", lambda: headline_table.headline(metrics, cost, **grouped), nothing
    )
    return Numbers(metrics, cost, summary, advice, first)


def write_tables(root: Path, *, dataset: str, settings: Settings) -> Numbers:
    """Write all tables from what exists: CSV, the summary also as HTML.

    `metrics` (every value), `recommendation` (the method to use, and the checks of all methods),
    `headline` (key numbers per method), `summary` (all means with intervals), `conditions` (by
    recipe, dose and anisotropy of the voxels), `wrong_psf`, `papers` (tests as papers report them),
    `cost`, `settings` (what decided the numbers), `guide` (columns and metrics explained).

    Returns
    -------
    Numbers
        For the page (`page.build_report`).
    """
    numbers = collect_numbers(root, dataset=dataset, settings=settings)
    metrics, summary, advice = numbers.metrics, numbers.summary, numbers.advice
    conditions = by_condition(metrics, settings=settings, anisotropy=_anisotropy(root, dataset))
    tables = {
        "metrics": metrics,
        "recommendation": recommendation_table(advice),
        "headline": numbers.headline,
        "summary": summary,
        "conditions": conditions,
        "wrong_psf": headline_table.wrong_psf(metrics),
        "papers": as_papers_report(metrics),
        "cost": numbers.cost,
        "guide": headline_table.guide(),
    }
    for name, table in tables.items():
        write_text(root / paths.table(dataset, f"{name}.csv"), table.to_csv(index=False))
    # Last, since it holds the hash of metrics.csv.
    chosen = headline_table.settings_table(root, dataset=dataset, settings=settings)
    write_text(root / paths.table(dataset, "settings.csv"), chosen.to_csv(index=False))
    page = render(
        "summary.html.j2",
        dataset=dataset,
        advice=advice,
        blocks=summary_blocks(summary),
        headline=numbers.headline.to_dict(orient="records"),
    )
    write_text(root / paths.table(dataset, "summary.html"), page)
    names = [f"{name}.csv" for name in (*tables, "settings")] + ["summary.html"]
    write_digests(root / paths.table(dataset, name) for name in names)
    return numbers


def _anisotropy(root: Path, dataset: str) -> dict[str, float]:
    """Read each channel's voxel length along Z over that along X from its PSF's record."""
    found = {}
    for path in root.glob(str(Path(paths.psf(dataset, "*")).with_suffix(".json"))):
        z, _, x = read_json(path)["voxel_size_um"]
        found[path.parent.name] = round(z / x, 3)
    return found


def summary_blocks(summary: pd.DataFrame) -> list[dict[str, object]]:
    """Arrange a summary for reading: one block per channel and group, one row per method.

    Returns
    -------
    list of dict
        `channel`, `group`, `n` (volumes; None in a group without truth, whose metrics are measured
        on volumes, blocks or probes), `columns` ((metric, variant, region) in the order shown) and
        `rows`: `method` and `cells`, its summary row per column with the cautious bounds of the
        intervals; the order is that of the mean affine PSNR.
    """
    blocks = []
    shown = summary[~summary["group"].str.startswith("psf_")].copy()  # these have their own table
    for prefix in ("", "difference_"):
        lows, highs = ([f"{prefix}{bound}", f"{prefix}t_{bound}"] for bound in ("low", "high"))
        shown[f"{prefix}cautious_low"] = shown[lows].astype(float).min(axis=1)
        shown[f"{prefix}cautious_high"] = shown[highs].astype(float).max(axis=1)
    for (channel, group), part in shown.groupby(["channel", "group"], sort=False):
        keys = ["metric", "variant", "region"]
        columns = list(dict.fromkeys(part[keys].itertuples(index=False, name=None)))
        methods = list(dict.fromkeys(part["method"]))
        references = {
            column: set(cells["reference"].dropna()) for column, cells in part.groupby(keys)
        }
        cells = {
            (r["method"], *(r[key] for key in keys)): {
                **r,
                "is_reference": r["method"] in references[tuple(r[key] for key in keys)],
            }
            for r in part.to_dict(orient="records")
        }
        rows = [
            {"method": m, "cells": [cells.get((m, *column)) for column in columns]} for m in methods
        ]
        blocks.append(
            {
                "channel": channel,
                "group": group,
                "columns": columns,
                "rows": rows,
                "n": int(part["n"].max()) if group in WITH_TRUTH else None,
            }
        )
    return blocks
