"""The record of a metric: label, unit, the direction that is better, limits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from decon3d.affine import AffineMatch, ArrayLike, with_data
from decon3d.versions import __version__

Better = Literal["higher", "lower", "one", "zero"]
OWN = f"decon3d {__version__}"
"""Implementation of what this package computes itself."""


@dataclass(frozen=True)
class Metric:
    """A metric's label, unit and limits.

    Attributes
    ----------
    unit
        Empty for a dimensionless number, which has the unit `1` in `metrics.csv`.
    better
        The direction that is better: higher, lower, nearer to one, or nearer to zero.
    caveat
        Its limits, in a sentence or two, for captions and tables.
    ranked
        Whether methods may be ranked by it.
    summarised
        Whether summaries list it; else it is in `metrics.csv` only.
    """

    label: str
    unit: str
    better: Better
    digits: int
    caveat: str
    ranked: bool = True
    summarised: bool = True

    @property
    def target(self) -> str:
        """The direction that is better, in words."""
        if self.better in ("one", "zero"):
            return f"nearer to {'1' if self.better == 'one' else '0'} is better"
        return f"{self.better} is better"

    def badness(self, value: float) -> float:
        """Map a value to a number that is smaller for a better value."""
        if self.better == "higher":
            return -value
        return {"lower": value, "one": abs(value - 1), "zero": abs(value)}[self.better]


@dataclass(frozen=True)
class Comparison:
    """A restored volume and its truth (Z Y X, counts), and how one is brought to the other.

    Attributes
    ----------
    match
        The affine match of the whole volume, with the truth's range and norm.
    offset
        Applied to the prediction before it is compared: the match's, or 1 and 0.
    """

    prediction: ArrayLike
    truth: ArrayLike
    match: AffineMatch
    slope: float
    offset: float

    @cached_property
    def mean_square_error(self) -> float:
        """Mean squared error over the voxels that have data, in counts²; NaN without any."""
        total, size = 0.0, 0
        for p, t in with_data(self.prediction, self.truth):
            total += float(np.sum((self.slope * p + self.offset - t) ** 2))
            size += t.size
        return total / size if size else math.nan


@dataclass(frozen=True, kw_only=True)
class MetricWithTruth(Metric):
    """A metric that compares with the truth: one file in `evaluation/metrics`.

    Attributes
    ----------
    name
        In `metrics.csv`.
    measure
        Its value.
    least
        Voxels (Z, Y, X) of the smallest volume that it can measure.
    unmatched
        Whether it is measured as restored, too, and not only after the affine match.
    uses_range
        Whether it depends on the range of the truth, which `metrics.csv` then holds.
    implementation
        Program and version that compute it.
    place
        Where tables and records list it: small numbers first, then by name.
    """

    name: str
    measure: Callable[[Comparison], float]
    least: tuple[int, int, int] = (1, 1, 1)
    unmatched: bool = True
    uses_range: bool = False
    implementation: str = OWN
    place: int = 100
