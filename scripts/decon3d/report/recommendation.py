"""Which method to use: the data exclude methods, then simulated objects rank the rest.

The data exclude a method that has a veto, and one whose predicted error exceeds the least by more
than two standard errors. The second can exclude Richardson-Lucy, too. Of the remaining methods, the
one that is clearly ahead on simulated objects is recommended. If none is clearly ahead, it is
Richardson-Lucy, or if that is excluded, the method with the least predicted error. Other ties go to
the simpler method. If Richardson-Lucy has a veto, the raw volume is recommended.

`tests/validation/validate_recommendation.py` measures how often this rule is right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import pandas as pd

from decon3d import paths
from decon3d.classical.kinds.rl import Rl
from decon3d.evaluation.statistics import LEAST, Estimate, estimate_mean, paired_difference
from decon3d.report.independent import values_by_volume, with_volumes
from decon3d.report.labels import INPUT, after_binned, method_label, prior_weight, with_groups
from decon3d.report.run_status import stored
from decon3d.report.templating import listed, number
from decon3d.report.vetoes import (
    CHECKS,
    ERRORS,
    Check,
    Column,
    data_checks,
    least_predicted,
    predicted_worse,
)
from decon3d.settings import ORACLE, Settings, is_network

METRIC = "psnr"
TIE_DB = 0.1
"""Mean differences below this are a tie."""
EVIDENCE = {
    "simulated": "simulated objects",
    "unseen": "simulated objects",
    "seen": "simulated objects",
    "measured": "measured pairs",
    "volume": "your own volumes with truth",
}
"""Groups of volumes with truth, in the order of preference, and their names in sentences."""
SIMULATED = {"simulated", "unseen", "seen"}
REASONS = 2
"""Most reasons against a method in the sentence; the table has all."""
COLUMNS = (
    "channel",
    "method",
    "recommended",
    "vetoed",
    "evidence",
    "check",
    "value",
    "low",
    "high",
    "n",
    "reference",
    "veto",
    "sentence",
)
"""Columns of the table, which has a row per method and number."""


@dataclass(frozen=True)
class Rank:
    """The PSNR of one method on one group of volumes with truth.

    Attributes
    ----------
    mean
        Affine-matched PSNR, in dB.
    ahead
        Paired difference to the reference, in dB; None for the reference itself.
    """

    mean: Estimate
    ahead: Estimate | None


@dataclass(frozen=True)
class Recommendation:
    """The outcome for one channel.

    Attributes
    ----------
    method
        A method of the config, `input` = the raw volume, None = there is no recommendation.
    reference
        The Richardson-Lucy that others are compared with; None = the config has none.
    checks
        The checks on the data, by method and name.
    ranks
        The PSNR of each method and of the raw volume, by method and group.
    raw_ahead
        By group, how far the raw volume's PSNR is ahead of that of the `judged` method, in dB.
    """

    channel: str
    method: str | None
    sentence: str
    reference: str | None
    checks: dict[str, dict[str, Check]]
    ranks: dict[str, dict[str, Rank]]
    raw_ahead: dict[str, Estimate]

    def result(self, method: str) -> str:
        """State the outcome of a method's checks in a word or two."""
        if self.vetoes(method):
            return "excluded"
        return "passed" if _limited(self.checks[method]) else "not checked"

    def vetoes(self, method: str) -> list[Check]:
        """List the checks that exclude a method."""
        return [check for check in self.checks.get(method, {}).values() if check.veto]

    @property
    def columns(self) -> dict[str, Column]:
        """The checks that any method has, in the order of `CHECKS`."""
        there = set().union(*self.checks.values())
        return {name: column for name, column in CHECKS.items() if name in there}

    @property
    def start(self) -> str:
        """The method that the others' dB are relative to."""
        return self.reference or next(iter(self.checks))

    @property
    def judged(self) -> str:
        """The method that the page compares with the raw volume: the recommended one, if any."""
        return self.method if self.method in self.checks else self.start

    def cell(self, method: str, name: str) -> str:
        """Write a cell of the table of checks; a word where there is no number."""
        if name in self.checks[method]:
            return self.checks[method][name].cell
        return "reference" if method == self.reference and name != "range" else "–"

    @property
    def groups(self) -> list[str]:
        """The groups of simulated objects; where there are none, all groups with truth."""
        there = [group for group in EVIDENCE if any(group in of for of in self.ranks.values())]
        return [group for group in there if group in SIMULATED] or there

    @property
    def simulated(self) -> bool:
        """Whether the groups consist of simulated objects."""
        return bool(SIMULATED & set(self.groups))

    @property
    def summary(self) -> dict[str, Any]:
        """What programs read (JSON): the method, the sentence, the vetoes with their reasons."""
        return {
            "channel": self.channel,
            "method": self.method,
            "sentence": self.sentence,
            "reference": self.reference,
            "vetoes": {
                method: [{"check": c.name, "reason": c.sentence} for c in self.vetoes(method)]
                for method in self.checks
            },
        }


def recommend(
    metrics: pd.DataFrame,
    *,
    settings: Settings,
    specimens: Mapping[str, str] | None = None,
    misfits: Mapping[str, Sequence[str]] | None = None,
    labels: Mapping[tuple[str, str], str] | None = None,
) -> list[Recommendation]:
    """Recommend a method for every channel that was evaluated.

    Parameters
    ----------
    metrics
        Rows of `metrics.csv`.
    specimens
        Of the measured test pairs; see `independent.with_volumes`.
    misfits
        By method: how the volumes differ from a network's training data, a sentence each.
    labels
        By channel and method: text beside a method's name, such as its iterations.
    """
    grouped = with_groups(metrics, settings=settings)
    grouped = with_volumes(grouped, settings=settings, specimens=specimens)
    if not any(map(is_network, settings.methods.values())):  # none has learnt from any structure
        grouped = grouped.replace({"group": {"seen": "simulated", "unseen": "simulated"}})
    found = []
    competitors = [m for m in settings.methods if not m.endswith(ORACLE)]  # oracles see the truth
    for channel in dict.fromkeys(grouped["channel"]):
        part = grouped[grouped["channel"] == channel]
        methods = [m for m in competitors if m in set(part["method"])]
        if methods:
            shown = {m: (labels or {}).get((str(channel), m), "") for m in methods}
            missing = [m for m in competitors if m not in methods]
            of_channel = _Channel(str(channel), part, methods, missing, settings, shown)
            found.append(of_channel.outcome(misfits))
    return found


def reference_of(methods: Sequence[str], settings: Settings) -> str | None:
    """Choose the Richardson-Lucy that others are compared with: `rl`, else the first one."""
    plain = [m for m in methods if isinstance(settings.methods[m], Rl)]
    return "rl" if "rl" in plain else next(iter(plain), None)


def recommended(
    root: Path,
    metrics: pd.DataFrame,
    *,
    dataset: str,
    settings: Settings,
    specimens: Mapping[str, str] | None = None,
) -> list[Recommendation]:
    """Recommend a method for every channel of a dataset, from its results.

    Parameters
    ----------
    root
        The working directory of the workflow.
    metrics
        Rows of `metrics.csv`.
    specimens
        Of the measured test pairs; see `independent.with_volumes`.
    """
    misfits: dict[str, list[str]] = {}
    labels = {}
    for method in settings.methods:
        plan = stored(root / paths.plan(dataset, method))
        for volume, sentences in plan.get("warnings", {}).items():
            misfits.setdefault(method, []).extend(f"{volume}: {text}" for text in sentences)
        for channel in settings.datasets[dataset].channels:
            values = stored(root / paths.prepared(dataset, channel, method)).get("values", {})
            labels[channel, method] = chosen_text(values)
    return recommend(
        metrics,
        settings=settings,
        specimens=specimens,
        misfits=misfits,
        labels=labels,
    )


def chosen_text(values: Mapping[str, Any]) -> str:
    """State the iterations and the λ that the preparation of a method chose, for a sentence."""
    if not isinstance(values.get("iterations"), int):
        return ""
    weight = prior_weight(values)
    iterations = f"{values['iterations']} iterations{after_binned(values)}"
    return f"λ {weight:.2g}, " * bool(weight) + iterations


def recommendation_table(recommendations: Sequence[Recommendation]) -> pd.DataFrame:
    """Lay recommendations out as a table: a row per channel, method and number."""
    rows: list[dict[str, Any]] = []
    for r in recommendations:
        for method in dict.fromkeys([*r.checks, *r.ranks]):
            start = {
                "channel": r.channel,
                "method": method,
                "recommended": method == r.method,
                "vetoed": bool(r.vetoes(method)),
            }
            rows += [
                {
                    **start,
                    "evidence": "data",
                    "check": c.name,
                    "value": c.value,
                    "reference": c.reference,
                    "veto": c.veto,
                    "sentence": c.sentence if c.veto else "",
                }
                for c in r.checks.get(method, {}).values()
            ]
            rows += [
                {
                    **start,
                    "evidence": group,
                    "check": "ahead_db",
                    "value": rank.ahead.mean,
                    "low": rank.ahead.cautious[0],
                    "high": rank.ahead.cautious[1],
                    "n": rank.ahead.n,
                }
                for group, rank in r.ranks.get(method, {}).items()
                if rank.ahead is not None
            ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True)
class _Channel:
    """One channel's rows, and the methods that compete there.

    Attributes
    ----------
    missing
        Methods of the config that have no results yet.
    labels
        Text beside each method's name: its iterations.
    """

    name: str
    metrics: pd.DataFrame
    methods: list[str]
    missing: list[str]
    settings: Settings
    labels: Mapping[str, str]

    def outcome(self, misfits: Mapping[str, Sequence[str]] | None) -> Recommendation:
        """Check every method, rank them, and choose."""
        reference = reference_of(self.methods, self.settings)
        start = reference or self.methods[0]
        checks = {
            m: {
                check.name: check
                for check in data_checks(
                    self.metrics,
                    method=m,
                    reference=INPUT if reference in (m, None) else reference,
                    misfits=(misfits or {}).get(m, ()),
                    compared=m != reference,
                )
            }
            for m in self.methods
        }
        rows = self.metrics[
            (self.metrics["metric"] == METRIC) & (self.metrics["variant"] == "affine")
        ]
        values = {group: values_by_volume(rows[rows["group"] == group]) for group in EVIDENCE}
        ranks: dict[str, dict[str, Rank]] = {
            method: {
                group: Rank(
                    estimate_mean(
                        list(of[method].values()),
                        seed=self.settings.seed,
                        name=f"recommendation/{self.name}/{group}/{method}",
                    ),
                    None
                    if method == start or start not in of
                    else self._difference(of, method, start, group),
                )
                for group, of in values.items()
                if method in of
            }
            for method in (INPUT, *self.methods)
        }
        group = next((g for g in EVIDENCE if start in values[g]), None)

        def ahead(first: str, second: str) -> Estimate | None:
            if group is None or not {first, second} <= set(values[group]):
                return None
            return self._difference(values[group], first, second, group)

        where = EVIDENCE[group] if group else ""
        method, sentence = self._choice(reference, checks, ahead, where)
        if method in checks:
            # The others were compared with the start, which is a check of that, too.
            compared = checks if method == start else [method]
            if not any(_limited(checks[m]) for m in compared):
                sentence += f" {method_label(method)} was not checked on your data."
        if self.missing:
            names = listed([method_label(m) for m in self.missing])
            sentence += f" {names} {'have' if len(self.missing) > 1 else 'has'} no results yet."
        judged = method if method in checks else start
        raw_ahead = {
            group: self._difference(of, INPUT, judged, group)
            for group, of in values.items()
            if {INPUT, judged} <= set(of)
        }
        ranks = {m: of for m, of in ranks.items() if of}
        return Recommendation(self.name, method, sentence, reference, checks, ranks, raw_ahead)

    def _difference(
        self, values: Mapping[str, Mapping[str, float]], first: str, second: str, group: str
    ) -> Estimate:
        name = f"recommendation/{self.name}/{group}/{first}-{second}"
        return paired_difference(values[first], values[second], seed=self.settings.seed, name=name)

    def _choice(
        self,
        reference: str | None,
        checks: Mapping[str, Mapping[str, Check]],
        ahead: Callable[[str, str], Estimate | None],
        where: str,
    ) -> tuple[str | None, str]:
        """Choose a method and say why."""
        reasons = {m: [c.why for c in checks[m].values() if c.veto] for m in self.methods}
        against = {m: " and ".join(reasons[m][:REASONS]) for m in self.methods}
        start = reference or self.methods[0]
        if reference is None and len(self.methods) + len(self.missing) > 1:
            awaited = reference_of(self.missing, self.settings)
            if awaited is not None:
                label = method_label(awaited)
                return None, f"No recommendation: the other methods are compared with {label}."
            return None, (
                "No recommendation: there is no Richardson-Lucy to compare with. Add `rl: {}` to "
                "`methods`."
            )
        if against[start]:
            remedies = [c.remedy for c in checks[start].values() if c.veto and c.remedy]
            return INPUT, " ".join(
                [f"Use the raw volume: {method_label(start)} {against[start]}.", *remedies]
            )
        left = self._left([m for m in self.methods if not against[m]])
        for m in self.methods:
            if m not in left and not against[m]:
                against[m] = (
                    f"has a larger predicted error on your data than {method_label(left[0])}"
                )
        first = start if start in left else left[0]
        differences = {m: d for m in self.methods if m != first and (d := ahead(m, first))}
        leads = {m: d for m, d in differences.items() if _clear(d)}
        chosen = self._first([m for m in leads if m in left], leads, ahead) or first
        raw = ahead(INPUT, chosen)
        if _clear(raw):
            higher = _higher("its", raw, method_label(chosen), where)
            return INPUT, f"Use the raw volume: {higher}."
        name = method_label(chosen) + (f", {self.labels[chosen]}" if self.labels[chosen] else "")
        checked = _limited(checks[chosen])
        if len(self.methods) == 1:
            only = "the only method with results" if self.missing else "the only method tried"
            clean = ", and no check on your data found a fault" if checked else ""
            return chosen, f"Use {name}: it is {only}{clean}."
        passed = ", and it passed all checks on your data" if checked else ""
        if first != start:
            return chosen, f"Use {name}: {self._excluded(start, first, chosen, ahead, where)}."
        if chosen != start:
            higher = _higher("its", leads[chosen], method_label(start), where)
            return chosen, f"Use {name}: {higher}{passed}."
        if leads:  # the data exclude all of them; the table shows those that lead by less
            best = max(leads, key=lambda m: leads[m].mean)
            return chosen, (
                f"Use {name}: the PSNR of {method_label(best)} on {where} is "
                f"{number(leads[best].mean, 1)} dB higher, but it {against[best]}."
            )
        return chosen, f"Use {name}: {_no_lead(where, list(differences.values()))}."

    def _left(self, methods: Sequence[str]) -> list[str]:
        """Keep methods whose predicted error is not clearly larger than the least; least first."""
        best = least_predicted(self.metrics, methods)
        if best is None:
            return list(methods)
        worse = {m: predicted_worse(self.metrics, m, best) for m in methods if m != best}
        return [best, *(m for m, errors in worse.items() if errors is None or errors <= ERRORS)]

    def _excluded(
        self,
        start: str,
        fitter: str,
        chosen: str,
        ahead: Callable[[str, str], Estimate | None],
        where: str,
    ) -> str:
        """Say why Richardson-Lucy is excluded, and how the choice compares on simulated objects."""
        reference = method_label(start)
        errors = predicted_worse(self.metrics, start, fitter) or 0.0
        text = (
            f"on your data, the predicted error of {reference} is larger than that of "
            f"{method_label(fitter)} by {number(errors, 1)} standard errors"
        )
        if _clear(lead := ahead(chosen, start)):
            return f"{text}; {_higher('its', lead, reference, where)}"
        if _clear(lead := ahead(start, chosen)):
            whose = f"{reference}'s"
            return f"{text}; {_higher(whose, lead, method_label(chosen), where)}"
        return text

    def _first(
        self,
        methods: Sequence[str],
        leads: Mapping[str, Estimate],
        ahead: Callable[[str, str], Estimate | None],
    ) -> str | None:
        """Choose the method with the largest lead; of those that tie with it, the simplest."""
        if not methods:
            return None
        best = max(methods, key=lambda m: leads[m].mean)
        level = [m for m in methods if m == best or not _clear(ahead(best, m))]
        order = list(self.settings.methods)
        return min(level, key=lambda m: (is_network(self.settings.methods[m]), order.index(m)))


def _limited(checks: Mapping[str, Check]) -> bool:
    """Return whether any of a method's numbers was compared with a limit."""
    return any(check.limited for check in checks.values())


def _no_lead(where: str, differences: Sequence[Estimate]) -> str:
    """Say why no other method is preferred to Richardson-Lucy."""
    if not where:
        return "there are no simulated objects on which to compare the methods"
    if not differences:
        return f"no other method has been measured on {where}"
    most = max(d.n for d in differences)
    few = "" if most >= LEAST else f" ({most} volumes are too few for a decision)"
    return f"no other method has a clearly higher PSNR on {where}{few}"


def _clear(difference: Estimate | None) -> TypeGuard[Estimate]:
    """Return whether the first of two methods is ahead of the second by more than a tie."""
    return difference is not None and difference.mean >= TIE_DB and difference.excludes_zero


def _higher(whose: str, lead: Estimate, other: str, where: str) -> str:
    """Write that one PSNR is higher than another, with the interval."""
    low, high = (number(bound, 1) for bound in lead.cautious)
    return (
        f"{whose} PSNR on {where} is {number(lead.mean, 1)} dB higher than that of {other} "
        f"(95\u00a0% interval {low}\u00a0…\u00a0{high}\u00a0dB, n\u00a0=\u00a0{lead.n})"
    )
