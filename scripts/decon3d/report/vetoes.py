"""What the data say of each method.

Each check compares a number that was measured on the data, or on noise like theirs, with that of
Richardson-Lucy, the reference. Richardson-Lucy itself is compared with the raw volume. What was
not measured vetoes nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from decon3d.evaluation.staircase import Staircase
from decon3d.report.headline_table import dependent
from decon3d.report.labels import INPUT, method_label
from decon3d.report.templating import number

ERRORS = 2.0
"""Standard errors by which a predicted error, or that of held-out photons, must be larger."""
LEAST_PARTS = 4
"""Parts of the data that a standard error takes."""
LIGHT = 0.03
"""Share of the light that may be lost or added, beyond what the reference loses."""
RAW_LIGHT = 0.1
"""The same of Richardson-Lucy, which keeps the light: where a PSF is as large as a block, light
from beyond its faces makes as much."""
SPECKS = 1.5
"""Specks may be so many times as bright as the reference's …"""
RAW_SPECKS = 4.0
"""… and as the raw noise's own, in σ: the brightest 0.01 % of Gaussian noise reach 3.7."""
FLAGGED = 0.001
"""Share of the voxels that may contradict the data more than with the reference …"""
FLAGGED_TIMES = 2.0
"""… and this many times as many."""


@dataclass(frozen=True)
class Column:
    """How a check is shown: its name, and what the number is."""

    label: str
    unit: str


CHECKS = {
    "staircase": Column("Flat patches", "flat voxels of the foreground"),
    "light": Column("Light", "lost or added"),
    "specks": Column("Specks in the dark", "of dark noise, in its σ"),
    "consistency": Column("Against the raw data", "voxels that contradict it"),
    "predicted": Column("Predicted error", "larger by, in standard errors"),
    "deviance": Column("Held-out photons", "worse by, per voxel (standard errors)"),
    "range": Column("Within the training's range", "networks only"),
}
"""Every check, in the order of the columns; what can be seen in pictures comes first."""


@dataclass(frozen=True)
class Check:
    """One number that the data give for one method."""

    name: str
    """A key of `CHECKS`."""
    value: float
    reference: float
    """The same of the method that it is compared with; NaN where there is none."""
    cell: str
    """The numbers in a few characters."""
    veto: bool
    why: str
    """What it does wrong, as the end of a sentence that begins with the method; empty = nothing."""
    sentence: str
    """The whole finding with its numbers, as a sentence; empty = nothing is wrong."""


def data_checks(
    metrics: pd.DataFrame,
    *,
    method: str,
    reference: str,
    misfits: Sequence[str] = (),
    compared: bool = True,
) -> list[Check]:
    """Check one method of one channel.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv` of one channel.
    method, reference
        The method, and the one that it is compared with: Richardson-Lucy, or `input`.
    misfits
        In what the volumes differ from those that a network was trained on, a sentence each.
    compared
        Whether the method may be held against Richardson-Lucy; False for that itself, whose own
        flat patches are the measure of others'.

    Returns
    -------
    list of Check
        Those that could be made, in the order of `CHECKS`.
    """
    pair = _Pair(metrics, method, reference)
    found = [make(pair) for make in _MAKERS if compared or make is not _staircase]
    if misfits:
        found.append(_range(pair, misfits))
    return [check for check in found if check is not None]


def painted(metrics: pd.DataFrame) -> list[str]:
    """Name the methods that turn smooth structure of the data into flat patches.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv` of one dataset.
    """
    found = []
    channels = metrics["channel"].unique()
    for channel in channels:
        rows = metrics[metrics["channel"] == channel]
        for method in rows["method"].unique():
            check = _staircase(_Pair(rows, method, INPUT))
            if check is not None and check.veto:
                found.append((f"{channel}: " if len(channels) > 1 else "") + check.sentence)
    return found


@dataclass(frozen=True)
class _Pair:
    """The rows of a method and of what it is compared with."""

    metrics: pd.DataFrame
    method: str
    reference: str

    @property
    def label(self) -> str:
        return method_label(self.method)

    @property
    def other(self) -> str:
        return "the raw volume" if self.reference == INPUT else method_label(self.reference)

    def values(self, metric: str) -> tuple[dict[str, float], dict[str, float]]:
        """Return both methods' values of a metric, by subject; NaN is left out."""
        rows = self.metrics[self.metrics["metric"] == metric].dropna(subset=["value"])
        rows = rows[~dependent(rows)]
        one, other = (
            dict(zip(part["subject"], part["value"].astype(float), strict=True))
            for part in (rows[rows["method"] == m] for m in (self.method, self.reference))
        )
        return one, other

    def means(self, metric: str) -> tuple[float, float]:
        """Return both methods' means of a metric over all subjects; NaN = not measured."""
        one, other = self.values(metric)
        return _mean(one), _mean(other)


def predicted_worse(metrics: pd.DataFrame, method: str, other: str) -> float | None:
    """Compare the predicted errors of two methods, in standard errors; positive = larger.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv` of one channel.
    method, other
        The one that is larger or smaller, and the one that it is compared with.

    Returns
    -------
    float or None
        None where they were not predicted on the same blocks.
    """
    one, two = _Pair(metrics, method, other).values("predicted_error")
    shared = sorted(set(one) & set(two))
    if not shared:
        return None
    # The subjects are a block's replicas with other noise: sample/0000/07.
    differences = pd.Series({s: one[s] - two[s] for s in shared})
    of_replica = differences.groupby([s.rpartition("/")[2] for s in shared]).mean()
    error = float(of_replica.std(ddof=1))
    return float(of_replica.mean()) / error if error > 0 else 0.0


def least_predicted(metrics: pd.DataFrame, methods: Sequence[str]) -> str | None:
    """Name the method with the least predicted error; None = it was predicted for none."""
    means = {m: _Pair(metrics, m, m).means("predicted_error")[0] for m in methods}
    known = {m: mean for m, mean in means.items() if math.isfinite(mean)}
    return min(known, key=lambda m: known[m]) if known else None


def _predicted(pair: _Pair) -> Check | None:
    errors = predicted_worse(pair.metrics, pair.method, pair.reference)
    if errors is None or pair.reference == INPUT:
        return None
    return _check(
        "predicted",
        *pair.means("predicted_error"),
        cell=f"{_signed(errors, 1)} SE",
        veto=errors > ERRORS,
        why=f"fits yours worse than {pair.other}",
        sentence=f"{pair.label} has a larger predicted error than {pair.other} within the "
        f"microscope's pass band, by {number(errors, 1)} standard errors.",
    )


def _deviance(pair: _Pair) -> Check | None:
    if pair.reference == INPUT:
        # The raw volume is blurred once more here, which takes its noise: it then predicts smooth
        # objects well, and is itself 3 dB farther from the truth (haze of 20 photons).
        return None
    one, other = pair.values("deviance_part")
    shared = sorted(set(one) & set(other))
    if len(shared) < LEAST_PARTS:
        return None
    differences = np.array([one[s] - other[s] for s in shared])
    error = float(differences.std(ddof=1)) / math.sqrt(len(shared))
    value, reference = (float(np.mean([v[s] for s in shared])) for v in (one, other))
    worse = value - reference
    errors = worse / error if error > 0 else 0.0
    return _check(
        "deviance",
        value,
        reference,
        cell=f"{_signed(worse, 4)} ({_signed(errors, 1)} SE)",
        veto=errors > ERRORS,
        why=f"predicts your held-out photons worse than {pair.other}",
        sentence=f"{pair.label} predicts held-out photons of your data worse than {pair.other}: by "
        f"{number(worse, 4)} per voxel, {number(errors, 1)} standard errors over "
        f"{len(shared)} parts of the data.",
    )


def _light(pair: _Pair) -> Check | None:
    value, reference = pair.means("light")
    if not math.isfinite(value):
        return None
    kept = abs(reference - 1) if math.isfinite(reference) else 0.0
    change = value - 1
    verb = "loses" if change < 0 else "adds"
    bound = (RAW_LIGHT if pair.reference == INPUT else LIGHT) + kept
    return _check(
        "light",
        value,
        reference,
        cell=f"{_signed(100 * change, 1)} %",
        veto=abs(change) > bound,
        why=f"{verb} {number(100 * abs(change), 1)} % of your light",
        sentence=f"{pair.label} {verb} {number(100 * abs(change), 1)} % of the light in your data; "
        f"the limit is {number(100 * bound, 1)} %.",
    )


def _staircase(pair: _Pair) -> Check | None:
    value, reference = pair.means("staircase")[0], pair.means("staircase_rl")[0]
    if not (math.isfinite(value) and math.isfinite(reference)):
        return None
    found = Staircase(restored=value, rl=reference)
    return _check(
        "staircase",
        value,
        reference,
        cell=f"{number(100 * value, 2)} %",
        veto=found.warns,
        why="turns smooth structure into flat patches",
        sentence=f"{pair.label} turns smooth structure of your data into flat patches: "
        f"{number(100 * value, 2)} % of the bright voxels are flat, but at most "
        f"{number(100 * reference, 2)} % in a smooth estimate. This warning is wrong if "
        "the object consists of flat pieces smaller than the PSF.",
    )


def _specks(pair: _Pair) -> Check | None:
    value, reference = pair.means("dark_specks")
    objects, theirs = pair.means("dark_objects")
    if not math.isfinite(value):
        return None
    bound = SPECKS * max(RAW_SPECKS, reference if math.isfinite(reference) else 0.0)
    if pair.reference == INPUT:
        # Richardson-Lucy's many iterations on sparse bright objects make specks of dim noise, and
        # the raw volume is 12 dB farther from the truth (filaments and beads of 400 photons).
        bound = math.inf
    invented = objects > (theirs if math.isfinite(theirs) else 0.0)
    told = (
        f"{pair.label} makes {objects:g} object(s) from pure dark noise."
        if invented
        else f"{pair.label} makes specks from dark noise with a brightness of {number(value, 1)} σ "
        f"of the raw noise; the limit is {number(bound, 1)} σ."
    )
    return _check(
        "specks",
        value,
        reference,
        cell=f"{number(value, 1)} σ",
        veto=invented or value > bound,
        why="makes specks in the dark",
        sentence=told,
    )


def _consistency(pair: _Pair) -> Check | None:
    value, reference = pair.means("consistency_flagged")
    if not (math.isfinite(value) and math.isfinite(reference)):
        return None
    bound = max(FLAGGED_TIMES * reference, reference + FLAGGED)
    return _check(
        "consistency",
        value,
        reference,
        cell=f"{number(100 * value, 2)} %",
        veto=value > bound,
        why=f"contradicts yours in {number(100 * value, 2)} % of the voxels",
        sentence=f"{pair.label}, blurred again, contradicts the raw data in "
        f"{number(100 * value, 2)} % of the voxels, {pair.other} in "
        f"{number(100 * reference, 2)} %.",
    )


def _range(pair: _Pair, misfits: Sequence[str]) -> Check:
    more = f" ({len(misfits)} such differences in all)" if len(misfits) > 1 else ""
    return _check(
        "range",
        float(len(misfits)),
        math.nan,
        cell="no",
        veto=True,
        why="was trained for other data",
        sentence=f"{pair.label} was trained for other data: {misfits[0].rstrip('.')}{more}.",
    )


_MAKERS: tuple[Callable[[_Pair], Check | None], ...] = (
    _staircase,
    _light,
    _specks,
    _consistency,
    _predicted,
    _deviance,
)


def _check(
    name: str, value: float, reference: float, *, cell: str, veto: bool, why: str, sentence: str
) -> Check:
    return Check(name, value, reference, cell, veto, why if veto else "", sentence if veto else "")


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values()))) if values else math.nan


def _signed(value: float, digits: int) -> str:
    text = number(value, digits)
    return f"+{text}" if value > 0 and not text.startswith("−") else text
