"""Two answers per channel, from a page's own results: whether it is better, and its limits."""

from collections.abc import Collection
from dataclasses import dataclass
from math import floor, isfinite
from pathlib import Path
from typing import Any

import pandas as pd

from decon3d import paths
from decon3d.evaluation.consistency import EPSILON, THRESHOLD
from decon3d.evaluation.consistency_summary import WORST
from decon3d.evaluation.not_verifiable import Support
from decon3d.evaluation.statistics import LEAST, Estimate
from decon3d.optics.psf import load_psf
from decon3d.report.consistency import worst_figure, worst_places
from decon3d.report.labels import INPUT, method_label
from decon3d.report.recommendation import EVIDENCE, SIMULATED, TIE_DB, Recommendation
from decon3d.report.run_status import stored
from decon3d.report.templating import listed, number
from decon3d.report.vetoes import ERRORS, held_out
from decon3d.restoration.sample import BLOCK
from decon3d.settings import Settings

UNVERIFIABLE = 0.01
"""Share of energy outside the pass band that the page states; the table lists all."""


@dataclass(frozen=True)
class Verdict:
    """Sentences for a channel's card.

    Attributes
    ----------
    better
        How the method compares with the raw volume, or what to run to find out.
    agreement
        How far the restoration, blurred again, agrees with the data.
    places
        How many places differ; empty = none.
    link
        Where the page shows these places: the id of an element.
    limits
        What the data cannot verify.
    """

    better: str
    agreement: str
    places: str
    link: str
    limits: str


def judge(
    root: Path,
    item: Recommendation,
    metrics: pd.DataFrame,
    *,
    dataset: str,
    settings: Settings,
    drawn: Collection[str] = (),
) -> Verdict:
    """Judge the recommended method of a channel, or Richardson-Lucy if none is recommended.

    Parameters
    ----------
    root
        The working directory of the workflow.
    metrics
        Rows of `metrics.csv`.
    drawn
        Names of the figures on the page.
    """
    label = method_label(item.judged)
    better = better_than_raw(item, metrics, pairs=settings.has_pairs(dataset))
    maps = stored(root / paths.consistency_record(dataset, item.judged))
    checks = [
        (volume, check)
        for volume, found in maps.items()
        for check in found.get("checks", [])
        if check["channel"] == item.channel and check["judged"] > 0
    ]
    if not checks:
        missing = f"{label} has not been compared with your data yet; run again."
        return Verdict(better, missing, "", "", "")
    places, volume = _places(checks)
    figure = worst_figure(volume, item.channel, item.judged)
    link = figure if figure in drawn else "consistency" if drawn else "trust"
    agreement = _agreement(label, [check["flagged"] for _, check in checks])
    psf = root / paths.psf(dataset, item.channel)
    limits = _limits(psf, [check for _, check in checks]) if psf.is_file() else ""
    return Verdict(better, agreement, places, link, limits)


def better_than_raw(item: Recommendation, metrics: pd.DataFrame, *, pairs: bool) -> str:
    """Say whether a channel's method is closer to the truth than the raw volume.

    Only a smaller deviance is evidence: the raw volume, blurred once more, predicts the photons of
    smooth objects well.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv`.
    pairs
        Whether the config has pairs with truth, whose results may still be missing.
    """
    label = method_label(item.judged)
    there = [group for group, lead in item.raw_ahead.items() if lead.n]
    simulated = [group for group in there if group in SIMULATED][:1]
    others = [group for group in there if group not in SIMULATED][:1]
    shown = {group: item.raw_ahead[group] for group in (*simulated, *others)}
    photons = held_out(metrics[metrics["channel"] == item.channel], item.judged, INPUT)
    predicts = photons is not None and photons.errors < -ERRORS
    if shown:
        errors = [
            f"{_error(lead)} on {EVIDENCE[group]} ({_by(lead)})" for group, lead in shown.items()
        ]
        answer = _answer([*shown.values()])
        text = f"{answer}compared with the raw volume, {label} has {listed(errors)}."
        text = text[0].upper() + text[1:]
        return text + " It predicts held-out photons of your data better." * predicts
    to_do = (
        "The comparison with the truth has no results yet; run again."
        if pairs
        else "To measure its error on simulated objects, add `phantoms: {}` to the config and run "
        "again."
    )
    if photons is None:
        return f"Nothing here measured whether {label} is better than the raw volume. {to_do}"
    verb = "predicts held-out photons" if predicts else "does not clearly predict held-out photons"
    misfit = f"misfit {number(photons.value, 2)} after {number(photons.reference, 2)}"
    return (
        f"On your data, {label} {verb} better than the raw volume ({misfit}; noise alone gives "
        f"about 1). {to_do}"
    )


def _sign(lead: Estimate) -> int:
    """Return 1 if the raw volume has the larger error, −1 if it has the smaller, 0 if unclear."""
    low, high = lead.cautious
    if abs(lead.mean) < TIE_DB or (isfinite(low) and low <= 0 <= high):
        return 0
    return 1 if lead.mean < 0 else -1


def _answer(leads: list[Estimate]) -> str:
    signs = {_sign(lead) for lead in leads}
    if len(signs) > 1:
        return "The measurements differ: "
    if max(lead.n for lead in leads) < LEAST:
        return "Measured on few volumes: "
    return {1: "Yes: ", -1: "No: ", 0: "Not clear: "}[signs.pop()]


def _error(lead: Estimate) -> str:
    """Write the ratio of the errors; a PSNR is 20 times the decimal logarithm of one."""
    change = 100 * (10 ** (lead.mean / 20) - 1)
    kinds = {1: "smaller", -1: "larger"}
    sign = _sign(lead)
    return f"a {number(abs(change), 0)} % {kinds[sign]} error" if sign else "no clearly other error"


def _by(lead: Estimate) -> str:
    plus = "+" if lead.mean < 0 else ""
    text = f"PSNR {plus}{number(-lead.mean, 1)} dB"
    if lead.n < LEAST:
        return f"{text}, n = {lead.n}"
    high, low = (number(-bound, 1) for bound in lead.cautious)
    return f"{text}, 95 % interval {low} … {high} dB, n = {lead.n}"


def _agreement(label: str, flagged: list[float]) -> str:
    """State the share of voxels that agree, never rounded up; of several volumes, the least."""
    share = floor(1e4 * (1 - max(flagged)) + 1e-6) / 100
    if max(flagged) <= 0:
        where = "in all voxels"
    elif len(flagged) == 1:
        where = f"in {share:.2f} % of the voxels"
    else:
        where = f"in {share:.2f} % of the voxels or more of each volume"
    return (
        f"Blurred again by the PSF, {label} agrees with your data {where}, allowing "
        f"for noise and an error of the PSF of {100 * EPSILON:g} %."
    )


def _places(checks: list[tuple[str, dict[str, Any]]]) -> tuple[str, str]:
    """Count the places that differ, and name the volume with the worst one."""
    worst = [(abs(p["z"]), v, p) for v, check in checks for p in worst_places(check)]
    volume = max(worst, key=lambda found: found[0])[1] if worst else checks[0][0]
    if not worst:
        return "", volume
    more = any(len(worst_places(check)) == WORST for _, check in checks)
    count = f"At least {len(worst)}" if more else f"{len(worst)}"
    places = "1 place differs" if count == "1" else f"{count} places differ"
    return f"{places} by {THRESHOLD:g} σ or more", volume


def _limits(psf: Path, checks: list[dict[str, Any]]) -> str:
    """State the finest detail that the microscope passes, and the share beyond it."""
    along_z, in_plane = Support(load_psf(psf)).finest_um(BLOCK)
    axial = f" ({along_z:.2g} µm along Z)" if isfinite(along_z) else ""
    text = f"Detail finer than {in_plane:.2g} µm{axial} cannot be verified"
    shares = [c["not_verifiable"] for c in checks if c["not_verifiable"] is not None]
    if shares and max(shares) >= UNVERIFIABLE:
        return f"{text}; it is {number(100 * max(shares), 1)} % of the restored structure's energy."
    return f"{text}."
