"""Means and paired differences over subjects, with intervals.

The spread is over the subjects alone: another training seed, microscope or structure may change a
mean by more than its interval.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decon3d.seeds import generator

CONFIDENCE = 0.95
RESAMPLES = 9999
LEAST = 3
"""Least number of subjects for an interval; two give hardly any information on their spread."""
SMALL = 30
"""Number of subjects below which the t interval is given in addition to the bootstrap."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % intervals; NaN where n does not allow an interval."""

    mean: float
    low: float
    high: float
    n: int
    t_low: float
    t_high: float

    @property
    def cautious(self) -> tuple[float, float]:
        """Bounds of all intervals together, since the bootstrap's is too narrow at small n."""
        lows = [v for v in (self.low, self.t_low) if math.isfinite(v)]
        highs = [v for v in (self.high, self.t_high) if math.isfinite(v)]
        return (min(lows), max(highs)) if lows else (math.nan, math.nan)

    @property
    def excludes_zero(self) -> bool:
        """Whether every interval lies on one side of 0; False without an interval."""
        low, high = self.cautious
        return low > 0 or high < 0


def estimate_mean(values: Sequence[float], *, seed: int, name: str) -> Estimate:
    """Estimate a mean over independent subjects.

    Parameters
    ----------
    values
        One per subject; values that are not finite are left out and not counted.
    seed, name
        Of the bootstrap's random stream.

    Returns
    -------
    Estimate
        95 % percentile bootstrap interval (9,999 resamples) and, below 30 subjects, Student's
        t interval. No interval for fewer than three subjects.
    """
    sample = np.asarray(values, float)
    sample = sample[np.isfinite(sample)]
    n = len(sample)
    if n < LEAST:
        mean = float(sample.mean()) if n else math.nan
        return Estimate(mean, math.nan, math.nan, n, math.nan, math.nan)
    from scipy import stats  # here, since it takes most of a second

    mean = float(sample.mean())
    error = float(stats.sem(sample))
    if error <= 1e-12 * abs(mean):  # equal values: nothing to resample
        return Estimate(mean, mean, mean, n, mean, mean)
    interval = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=generator(seed, "bootstrap", name),
    ).confidence_interval
    t_low = t_high = math.nan
    if n < SMALL:
        t_low, t_high = map(float, stats.t.interval(CONFIDENCE, n - 1, mean, error))
    return Estimate(mean, float(interval.low), float(interval.high), n, t_low, t_high)


def paired_difference(
    first: Mapping[str, float], second: Mapping[str, float], *, seed: int, name: str
) -> Estimate:
    """Estimate the mean of first - second over the subjects that both have.

    Parameters
    ----------
    first, second
        Values by subject.
    seed, name
        Of the bootstrap's random stream.
    """
    shared = sorted(set(first) & set(second))
    return estimate_mean([first[s] - second[s] for s in shared], seed=seed, name=name)
