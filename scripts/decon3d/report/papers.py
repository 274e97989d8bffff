"""The tests that papers report: one-way ANOVA with Tukey HSD, Wilcoxon with Holm.

They treat every simulated volume as independent, so **their p-values depend on how many volumes
were simulated**. They allow a comparison with published tables (NeuroDecon's). For decisions, use
the paired difference with its interval in the summary. Tests by SciPy.
"""

import math
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decon3d.settings import ORACLE

COLUMNS = (
    "channel",
    "recipe",
    "metric",
    "variant",
    "test",
    "first",
    "second",
    "difference",
    "low",
    "high",
    "statistic",
    "p",
    "n",
)
LEAST = 3
"""Volumes below which no test is made."""


def as_papers_report(metrics: pd.DataFrame) -> pd.DataFrame:
    """Test the methods against each other on every recipe.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv`.

    Returns
    -------
    DataFrame
        `test`: `anova` (all methods at once; statistic F), `tukey_hsd` (p and 95 % interval of the
        mean difference first - second, adjusted for all pairs) or `wilcoxon_holm` (signed ranks
        over the same volumes, two-sided, p adjusted by Holm over the pairs). `n` volumes each.
        Oracles are excluded. Empty where no two methods were compared on three volumes.
    """
    kept = metrics[metrics["split"].isin(["test", "measured"]) & metrics["value"].notna()]
    kept = kept[~kept["method"].str.endswith(ORACLE)].fillna({"recipe": "measured"})
    keys = ["channel", "recipe", "metric", "variant"]
    rows = []
    for values, part in kept.groupby(keys, sort=False):
        table = part.pivot_table("value", "subject", "method", sort=False).dropna()
        if len(table) >= LEAST and table.shape[1] > 1:
            place = dict(zip(keys, values, strict=True))
            rows += [{**place, "n": len(table), **row} for row in _tests(table)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _tests(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Test the columns of one table of volumes × methods."""
    from scipy import stats  # here, since it takes most of a second

    names = list(table.columns)
    samples = [table[name].to_numpy() for name in names]
    anova = stats.f_oneway(*samples)
    yield {"test": "anova", "statistic": float(anova.statistic), "p": float(anova.pvalue)}
    tukey = stats.tukey_hsd(*samples)
    freedom = len(names) * (len(table) - 1)
    error = np.mean([np.var(sample, ddof=1) for sample in samples])
    half = _critical(len(names), freedom) * math.sqrt(error / len(table))
    pairs = list(combinations(range(len(names)), 2))
    for i, j in pairs:
        yield {
            "test": "tukey_hsd",
            "first": names[i],
            "second": names[j],
            "difference": float(tukey.statistic[i, j]),
            "p": float(tukey.pvalue[i, j]),
            "low": float(tukey.statistic[i, j]) - half,
            "high": float(tukey.statistic[i, j]) + half,
        }
    signed = [stats.wilcoxon(samples[i], samples[j], zero_method="zsplit") for i, j in pairs]
    adjusted = holm(np.array([float(found.pvalue) for found in signed]))
    for (i, j), found, p in zip(pairs, signed, adjusted, strict=True):
        yield {
            "test": "wilcoxon_holm",
            "first": names[i],
            "second": names[j],
            "difference": float(np.mean(samples[i] - samples[j])),
            "statistic": float(found.statistic),
            "p": float(p),
        }


@lru_cache
def _critical(groups: int, freedom: int) -> float:
    """Return the 95 % point of the studentized range; cached, since it takes seconds."""
    from scipy import stats

    return float(stats.studentized_range.ppf(0.95, groups, freedom))


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjust p-values for their number (Holm 1979, Scand. J. Stat. 6, 65).

    SciPy has no Holm, and statsmodels would bring five packages for these lines.
    """
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted
