"""What the numbers say, in plain words, whoever wins.

The measure is PSNR after the affine match, because restorations may differ in scale; where the
unmatched values order the methods otherwise, that is said too. A difference is called clear only
if its bootstrap and its t interval both leave out 0.
"""

from dataclasses import dataclass

import pandas as pd

from decon3d.evaluation.statistics import Estimate, estimate_mean, paired_difference
from decon3d.report.labels import INPUT, classical_methods, method_label, with_groups
from decon3d.report.tables import values_by_subject
from decon3d.report.templating import number
from decon3d.settings import ORACLE, Settings

METRIC = "psnr"
_WHERE = {
    "seen": "on structure like that in the training",
    "unseen": "on structure that no training contained",
    "measured": "on measured pairs of specimens that no training contained",
    "volume": "on the dataset's own volumes with truth",
}


@dataclass(frozen=True)
class Verdict:
    """The outcome for one channel and one group of subjects."""

    channel: str
    group: str
    winner: str | None
    """Method that is clearly best; None where no difference is clear."""
    summary: str
    """A few words: the winner, or that there is none."""
    sentences: list[str]


def verdicts(metrics: pd.DataFrame, *, settings: Settings) -> list[Verdict]:
    """Compare the methods on every group of subjects with truth.

    Parameters
    ----------
    metrics
        From `tables.collect_metrics`.

    Returns
    -------
    list of Verdict
        By channel; seen structure, unseen structure, measured pairs, own volumes, as far as there
        are any.
    """
    grouped = with_groups(metrics, settings=settings)
    grouped = grouped[grouped["metric"] == METRIC]
    found = []
    for channel in dict.fromkeys(grouped["channel"]):
        for group in _WHERE:
            part = grouped[(grouped["channel"] == channel) & (grouped["group"] == group)]
            values = {
                variant: {
                    method: values
                    for method, values in values_by_subject(
                        part[part["variant"] == variant]
                    ).items()
                    if not method.endswith(ORACLE)  # it has seen the truth: no competitor
                }
                for variant in ("affine", "unmatched")
            }
            if set(values["affine"]) - {INPUT}:
                found.append(_verdict(channel, group, values, settings))
    return found


def _verdict(
    channel: str, group: str, values: dict[str, dict[str, dict[str, float]]], settings: Settings
) -> Verdict:
    matched = values["affine"]
    name = f"headline/{channel}/{group}"
    means = {m: _mean(v, settings, name) for m, v in matched.items()}
    ranked = sorted((m for m in means if m != INPUT), key=lambda m: -means[m].mean)
    best = ranked[0]
    sentences = []
    winner: str | None = None
    if len(ranked) > 1:
        rival = _rival(ranked, settings)
        difference = _difference(matched, best, rival, settings, name)
        sentences.append(_compared(best, rival, difference, group))
        level = [rival] if not difference.excludes_zero else []
        if rival != ranked[1]:
            second = _difference(matched, best, ranked[1], settings, name)
            sentences.append(_compared(best, ranked[1], second, group))
            level += [ranked[1]] if not second.excludes_zero else []
        winner = None if level else best
        sentences += _unmatched_order(values["unmatched"], best, rival)
    sentences += _against_input(matched, ranked, settings, name)
    if winner is not None:
        summary = f"{method_label(winner)} is best"
    elif len(ranked) > 1 and means[best].n == 1:
        summary = f"{method_label(best)} leads"
    elif len(ranked) > 1:
        summary = "No clear winner"
    else:
        summary = f"{method_label(best)} alone"
    return Verdict(channel, group, winner, summary, sentences)


def _rival(ranked: list[str], settings: Settings) -> str:
    """Choose whom to compare the best with: the best of the other family, else the next best."""
    classical = set(classical_methods(settings))
    others = [m for m in ranked if (m in classical) != (ranked[0] in classical)]
    return others[0] if others else ranked[1]


def _compared(best: str, rival: str, difference: Estimate, group: str) -> str:
    first, second = method_label(best), method_label(rival)
    amount = _decibels(difference)
    where = _WHERE[group]
    if difference.n < 2:
        return (
            f"{first} restores better than {second} by {amount} {where}, on a single "
            "volume: that allows no interval and proves little."
        )
    if difference.excludes_zero:
        interval = _interval(difference)
        return f"{first} restores better than {second} by {amount} ({interval}) {where}."
    return (
        f"No clear difference between {first} and {second} {where}: {amount} in favour of "
        f"{first}, but the interval includes 0 ({_interval(difference)})."
    )


def _unmatched_order(values: dict[str, dict[str, float]], best: str, rival: str) -> list[str]:
    shared = set(values.get(best, {})) & set(values.get(rival, {}))
    if not shared:
        return []
    ahead = sum(values[rival][s] - values[best][s] for s in shared) / len(shared)
    if ahead <= 0.05:
        return []
    return [
        f"Without matching brightness, {method_label(rival)} is ahead by {number(ahead, 1)} dB: "
        "its counts are nearer to the true ones."
    ]


def _against_input(
    values: dict[str, dict[str, float]], ranked: list[str], settings: Settings, name: str
) -> list[str]:
    if INPUT not in values:
        return []
    gains = {m: _difference(values, m, INPUT, settings, name) for m in ranked}
    gains = {m: gain for m, gain in gains.items() if gain.n}
    sentences = []
    if gains and (best := ranked[0]) in gains and gains[best].mean > 0:
        gain = gains[best]
        interval = f" ({_interval(gain)})" if gain.n > 1 else ""
        sentences.append(
            f"Against the blurred image itself, {method_label(best)} gains "
            f"{_decibels(gain)}{interval}."
        )
    sentences += [
        f"{method_label(m)} is no better than the blurred image left as it is "
        f"({number(gain.mean, 1)} dB)."
        for m, gain in gains.items()
        if gain.mean <= 0
    ]
    return sentences


def _mean(by_subject: dict[str, float], settings: Settings, name: str) -> Estimate:
    return estimate_mean(list(by_subject.values()), seed=settings.seed, name=name)


def _difference(
    values: dict[str, dict[str, float]], first: str, second: str, settings: Settings, name: str
) -> Estimate:
    return paired_difference(values[first], values[second], seed=settings.seed, name=name)


def _decibels(estimate: Estimate) -> str:
    return f"{number(abs(estimate.mean), _digits(estimate))} dB"


def _interval(estimate: Estimate) -> str:
    low, high = (number(bound, _digits(estimate)) for bound in estimate.cautious)
    return f"95\u00a0% interval {low}\u00a0…\u00a0{high}, n\u00a0=\u00a0{estimate.n}"


def _digits(estimate: Estimate) -> int:
    low, high = estimate.cautious
    return 2 if high - low < 0.5 else 1
