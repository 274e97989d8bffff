"""Checks of each method on the data; a failed check (a veto) excludes the method.

Each check compares a number that was measured on the data, or on simulated noise of the same
properties, with that of the reference, Richardson-Lucy. Richardson-Lucy itself is compared with the
raw volume. A missing measurement is no veto.
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
"""Standard errors by which a predicted error, or the held-out deviance, must be larger."""
LEAST_PARTS = 4
"""Least number of parts of the data for a standard error."""
LIGHT = 0.03
"""Share of the light that may be lost or added, beyond the change by the reference."""
RAW_LIGHT = 0.1
"""The same for Richardson-Lucy. It keeps the total light, but if the PSF is as large as a block,
light from beyond the faces changes the total by as much."""
SPECKS = 1.5
"""Largest brightness of specks, relative to the reference's …"""
RAW_SPECKS = 4.0
"""… or to the raw noise's own, in σ: the brightest 0.01 % of Gaussian noise reach 3.7."""
FLAGGED = 0.001
"""Share of voxels that may contradict the data in addition to the reference's share …"""
FLAGGED_TIMES = 2.0
"""… or the multiple of the reference's share, whichever is larger."""


@dataclass(frozen=True)
class Column:
    """The heading of a check in the table: its name, and the meaning of the number."""

    label: str
    unit: str


CHECKS = {
    "staircase": Column("Flat patches", "share of the foreground"),
    "light": Column("Total light", "change"),
    "specks": Column("Specks from dark noise", "in σ of the raw noise"),
    "consistency": Column("Inconsistent with the raw data", "share of the voxels"),
    "predicted": Column("Predicted error", "difference, in standard errors"),
    "deviance": Column("Held-out deviance", "difference per voxel, and in standard errors"),
    "range": Column("Within the training range", "networks only"),
}
"""Every check, in the order of the columns; those that can be seen in pictures come first."""


@dataclass(frozen=True)
class Check:
    """One number that was measured on the data for one method.

    Attributes
    ----------
    name
        A key of `CHECKS`.
    reference
        The same number of the method that it is compared with; NaN where there is none.
    cell
        The number in a few characters.
    veto
        Whether it excludes the method.
    why
        The reason for a veto, as the end of a sentence that begins with the method.
    sentence
        The reason with its numbers.
    remedy
        What to do if it excludes Richardson-Lucy, a sentence; empty = nothing is known.
    limited
        Whether the number has a limit; False = it is only shown.
    """

    name: str
    value: float
    reference: float
    cell: str
    veto: bool
    why: str
    sentence: str
    remedy: str = ""
    limited: bool = True


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
        How the volumes differ from a network's training data, a sentence each.
    compared
        Whether the method is compared with Richardson-Lucy; False for Richardson-Lucy itself,
        whose flat patches are the reference for the others.

    Returns
    -------
    list of Check
        Those that could be made, in the order of `CHECKS`.
    """
    pair = _Pair(metrics, method, reference)
    found = [make(pair) for make in _MAKERS if compared or make is not _staircase]
    if misfits:
        more = f" ({len(misfits)} such differences in all)" if len(misfits) > 1 else ""
        found.append(
            Check(
                "range",
                float(len(misfits)),
                math.nan,
                cell="no",
                veto=True,
                why="was trained on different data",
                sentence=f"{pair.label} was trained on different data: "
                f"{misfits[0].rstrip('.')}{more}.",
            )
        )
    return [check for check in found if check is not None]


def staircase_warnings(metrics: pd.DataFrame) -> list[str]:
    """Warn of methods that turn smooth structure of the data into flat patches.

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
    """The rows of a method and of its reference."""

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
    return Check(
        "predicted",
        *pair.means("predicted_error"),
        cell=f"{_signed(errors, 1)} SE",
        veto=errors > ERRORS,
        why=f"has a larger predicted error on your data than {pair.other}",
        sentence=f"{pair.label} has a larger predicted error than {pair.other} within the "
        f"microscope's pass band, by {number(errors, 1)} standard errors.",
    )


@dataclass(frozen=True)
class HeldOut:
    """The deviance of held-out photons of two methods, over the same parts of the data.

    Attributes
    ----------
    value, reference
        Both methods' means per voxel.
    errors
        The difference in standard errors; positive = the method predicts the photons worse.
    parts
        Number of parts.
    """

    value: float
    reference: float
    errors: float
    parts: int


def held_out(metrics: pd.DataFrame, method: str, other: str) -> HeldOut | None:
    """Compare how well two methods predict held-out photons of one channel.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv` of one channel.
    method, other
        Two methods, or `input`.

    Returns
    -------
    HeldOut or None
        None where fewer than four parts of the data were measured for both.
    """
    one, two = _Pair(metrics, method, other).values("deviance_part")
    shared = sorted(set(one) & set(two))
    if len(shared) < LEAST_PARTS:
        return None
    differences = np.array([one[s] - two[s] for s in shared])
    error = float(differences.std(ddof=1)) / math.sqrt(len(shared))
    value, reference = (float(np.mean([v[s] for s in shared])) for v in (one, two))
    errors = (value - reference) / error if error > 0 else 0.0
    return HeldOut(value, reference, errors, len(shared))


def _deviance(pair: _Pair) -> Check | None:
    # The raw volume is blurred once more here, which takes its noise: it then predicts smooth
    # objects well, and is itself 3 dB farther from the truth (haze of 20 photons).
    found = held_out(pair.metrics, pair.method, pair.reference)
    if found is None or pair.reference == INPUT:
        return None
    worse = found.value - found.reference
    return Check(
        "deviance",
        found.value,
        found.reference,
        cell=f"{_signed(worse, 4)} ({_signed(found.errors, 1)} SE)",
        veto=found.errors > ERRORS,
        why=f"predicts held-out photons of your data worse than {pair.other}",
        sentence=f"{pair.label} predicts held-out photons of your data worse than {pair.other}: "
        f"its deviance is larger by {number(worse, 4)} per voxel ({number(found.errors, 1)} "
        f"standard errors over {found.parts} parts of the data).",
    )


def _light(pair: _Pair) -> Check | None:
    value, reference = pair.means("light")
    if not math.isfinite(value):
        return None
    kept = abs(reference - 1) if math.isfinite(reference) else 0.0
    change = value - 1
    verb = "loses" if change < 0 else "adds"
    bound = (RAW_LIGHT if pair.reference == INPUT else LIGHT) + kept
    return Check(
        "light",
        value,
        reference,
        cell=f"{_signed(100 * change, 1)} %",
        veto=abs(change) > bound,
        why=f"{verb} {number(100 * abs(change), 1)} % of the light in your data",
        sentence=f"{pair.label} {verb} {number(100 * abs(change), 1)} % of the light in your data; "
        f"the limit is {number(100 * bound, 1)} %.",
        remedy="Check `camera.offset` and the PSF, and run again.",
    )


def _staircase(pair: _Pair) -> Check | None:
    value, reference = pair.means("staircase")[0], pair.means("staircase_rl")[0]
    if not (math.isfinite(value) and math.isfinite(reference)):
        return None
    found = Staircase(restored=value, rl=reference)
    return Check(
        "staircase",
        value,
        reference,
        cell=f"{number(100 * value, 2)} %",
        veto=found.warns,
        why="turns smooth structure into flat patches",
        sentence=f"{pair.label} turns smooth structure of your data into flat patches: "
        f"{number(100 * value, 2)} % of the bright voxels are flat, but at most "
        f"{number(100 * reference, 2)} % in estimates by Richardson-Lucy. This warning is wrong if "
        "the object consists of flat pieces smaller than the PSF. Do not measure texture there.",
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
    finding = (
        f"{pair.label} restores {objects:g} object(s) from pure dark noise."
        if invented
        else f"{pair.label} restores specks of {number(value, 1)} σ of the raw noise from dark "
        f"noise; the limit is {number(bound, 1)} σ."
    )
    return Check(
        "specks",
        value,
        reference,
        cell=f"{number(value, 1)} σ",
        veto=invented or value > bound,
        why="turns dark noise into bright specks",
        sentence=finding,
    )


def _consistency(pair: _Pair) -> Check | None:
    value, reference = pair.means("consistency_flagged")
    if pair.reference == INPUT:
        reference = math.nan  # the raw volume has no map: the share is shown and excludes nothing
    elif not math.isfinite(reference):
        return None
    if not math.isfinite(value):
        return None
    bound = max(FLAGGED_TIMES * reference, reference + FLAGGED)
    return Check(
        "consistency",
        value,
        reference,
        cell=f"{number(100 * value, 2)} %",
        veto=value > bound,
        why=f"contradicts the raw data in {number(100 * value, 2)} % of the voxels",
        sentence=f"Blurred again, {pair.label} contradicts the raw data in "
        f"{number(100 * value, 2)} % of the voxels, {pair.other} in "
        f"{number(100 * reference, 2)} %.",
        limited=pair.reference != INPUT,
    )


_MAKERS: tuple[Callable[[_Pair], Check | None], ...] = (
    _staircase,
    _light,
    _specks,
    _consistency,
    _predicted,
    _deviance,
)


def _mean(values: Mapping[str, float]) -> float:
    return float(np.mean(list(values.values()))) if values else math.nan


def _signed(value: float, digits: int) -> str:
    text = number(value, digits)
    return f"+{text}" if value > 0 and not text.startswith("−") else text
