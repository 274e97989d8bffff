"""The tables: the network against its rivals, and each measure with its goal."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from validation.universal.cells import RIGHT

KEYS = ["microscope", "modality", "anisotropy", "group", "photons", "psf", "recipe"]
NO_GAINS = pd.DataFrame(columns=[*KEYS, "gain"]).astype({"gain": float})
ORDER = ("raw", "RL", "RL per volume", "RLTV", "RLTV per volume", "its estimate", "network")
SCORES = ("psnr", "raw_psnr", "ssim", "light", "ring")
ANISOTROPIES = (0, 1.5, 3, 4.5, 10)
BOOTSTRAPS = 2000
LOSS_DB = -0.5
"""Hardly any volume may lose more."""


@dataclass(frozen=True)
class Measure:
    """One measure with its goal.

    Attributes
    ----------
    low, high
        95 % interval by bootstrap over microscopes.
    goal, met
        In words, and whether the value reaches it.
    """

    name: str
    value: float
    low: float
    high: float
    goal: str
    met: bool


def gains(table: pd.DataFrame, rival: str, metric: str = "psnr") -> pd.DataFrame:
    """Return the gain of the network on a rival, per volume that has both."""
    if metric not in table or not {"network", rival} <= set(table["method"]):
        return NO_GAINS
    wide = table.pivot_table(index=KEYS, columns="method", values=metric)
    if not {"network", rival} <= set(wide.columns):  # none of them has this score
        return NO_GAINS
    return (wide["network"] - wide[rival]).dropna().rename("gain").reset_index()


def interval(gain: pd.DataFrame, *, lowest: bool = False) -> tuple[float, float]:
    """Return the 95 % interval of the mean or the lowest gain by bootstrap over microscopes."""
    groups = gain.groupby("microscope")["gain"]
    drawn = np.random.default_rng(0).integers(groups.ngroups, size=(BOOTSTRAPS, groups.ngroups))
    if lowest:
        found = groups.min().to_numpy()[drawn].min(axis=1)
    else:
        sums, sizes = groups.sum().to_numpy(), groups.size().to_numpy()
        found = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def measures(table: pd.DataFrame) -> list[Measure]:
    """Compare each measure of the network with its goal; those without volumes are left out."""
    found: list[Measure] = []

    def add(
        name: str,
        gain: pd.DataFrame,
        goal: str,
        least: float,
        *,
        lowest: bool = False,
        of_interval: bool = False,
    ) -> None:
        if not len(gain):
            return
        value = float(gain["gain"].min() if lowest else gain["gain"].mean())
        low, high = interval(gain, lowest=lowest)
        found.append(
            Measure(name, value, low, high, goal, (high if of_interval else value) >= least)
        )

    def worst(gain: pd.DataFrame, by: list[str]) -> tuple[str, pd.DataFrame]:
        if not len(gain):
            return "", gain
        where = gain.groupby(by)["gain"].mean().idxmin()
        values = where if isinstance(where, tuple) else (where,)
        chosen = np.all([gain[k] == v for k, v in zip(by, values, strict=True)], axis=0)
        return ", ".join(map(str, values)), gain[chosen]

    main = table[table["group"] == "main"]
    right, wrong = main[main["psf"] == RIGHT], main[main["psf"] != RIGHT]
    tuned = gains(right, "RLTV")
    add("gain on RLTV, mean (dB)", tuned, "≥ 0.3", 0.3)
    add("gain in SSIM on RLTV, mean", gains(right, "RLTV", "ssim"), "≥ 0", 0)
    where, part = worst(tuned, ["microscope"])
    add(f"gain on RLTV, worst microscope ({where}; dB)", part, "≥ -0.2", -0.2)
    where, part = worst(tuned, ["recipe", "photons"])
    add(f"gain on RLTV, worst objects and dose ({where}; dB)", part, "≥ -0.1", -0.1)
    add("gain on RLTV per volume, mean (dB)", gains(right, "RLTV per volume"), "≥ 0", 0)
    above = tuned.assign(gain=100.0 * (tuned["gain"] > LOSS_DB))
    add(f"volumes above {LOSS_DB} dB (%)", above, "≥ 99", 99)
    mistaken = gains(wrong, "RLTV")
    add("gain on RLTV with the same wrong PSF, mean (dB)", mistaken, "≥ 0", 0)
    where, part = worst(mistaken, ["psf", "recipe"])
    add(f"the same, worst PSF and objects ({where}; dB)", part, "≥ -0.3", -0.3)
    foreign = gains(table[table["group"] == "foreign"], "RL per volume")
    add(
        "foreign objects: gain on the best RL, worst volume (dB)",
        foreign,
        "≥ -0.1",
        -0.1,
        lowest=True,
    )
    light = _own(right, "light")
    if len(light):
        cells = light.groupby(["recipe", "photons"])["gain"].mean()
        where = cells.abs().idxmax()
        part = light[(light["recipe"] == where[0]) & (light["photons"] == where[1])]
        value = float(part["gain"].mean())
        name = f"error of the light, worst objects and dose ({where[0]}, {where[1]}; %)"
        found.append(Measure(name, value, *interval(part), "within ± 2", abs(value) <= 2))
    name = "error of the light around objects (a dark ring), mean, relative to theirs (%)"
    add(name, _own(right, "ring"), "0 or more within its interval", 0, of_interval=True)
    for recipe, name in (("empty", "unlabelled"), ("dark", "dark")):
        fewer = gains(table[table["recipe"] == recipe], "RL", "false_spots")
        fewer = fewer.assign(gain=-fewer["gain"])
        add(f"{name}: false spots fewer than of RL, mean", fewer, "≥ 0", 0)
    return found


def _own(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return a score of the network as if it were a gain."""
    own = table[table["method"] == "network"]
    if metric not in own:
        return NO_GAINS
    return own[[*KEYS, metric]].rename(columns={metric: "gain"}).dropna().reset_index(drop=True)


def report(table: pd.DataFrame, others: Sequence[str] = ()) -> str:
    """Return the tables (Markdown).

    Parameters
    ----------
    table
        A row per volume and method: `KEYS`, `method`, `inside`, and scores.
    others
        Names of further networks.
    """
    main = table[table["group"] == "main"]
    right, wrong = main[main["psf"] == RIGHT], main[main["psf"] != RIGHT]
    tuned = right[right["method"].isin(["RLTV", "RLTV per volume"])]
    ends = 1 - tuned["inside"].astype(float).groupby(tuned["method"]).mean()
    count = right.groupby("modality")["microscope"].nunique()
    volumes = len(right[right["method"] == "RLTV"])
    lines = [
        f"{volumes} volumes of {right['microscope'].nunique()} microscopes ("
        + ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in count.items())
        + f"); RLTV ends at the end of its grid on {ends.get('RLTV', 0.0):.1%}, per volume on "
        f"{ends.get('RLTV per volume', 0.0):.1%} of them."
    ]
    has_network = "network" in set(table["method"])
    if has_network:
        rows = []
        for m in measures(table):
            digits = 3 if "SSIM" in m.name else 2
            span = f"{m.low:+.{digits}f} to {m.high:+.{digits}f}" if m.low < m.high else "-"
            rows.append(
                {
                    "measure": m.name,
                    "value": f"{m.value:+.{digits}f}",
                    "95 % interval": span,
                    "goal": m.goal,
                    "met": "yes" if m.met else "**no**",
                }
            )
        lines += _lines("Measures (intervals by bootstrap over microscopes)", pd.DataFrame(rows))
    order = [*ORDER, *others]
    lines += _means("Means on the objects of the test (PSNR in dB, light in %)", right, order)
    lines += _means("Means on foreign objects", table[table["group"] == "foreign"], order)
    if has_network and volumes:
        gain = gains(right, "RLTV")
        by = gain.groupby(["microscope", "modality", "anisotropy"])["gain"].agg(["mean", "min"])
        lines += _lines("Gain on RLTV by microscope (dB)", by.reset_index())
        by = gain.pivot_table(index="recipe", columns="photons", values="gain")
        lines += _lines("Gain on RLTV by objects and dose (dB)", by.reset_index())
        bins = pd.cut(gain["anisotropy"], ANISOTROPIES).astype(str)
        by = gain.groupby(bins)["gain"].agg(["mean", "min", "size"])
        lines += _lines("Gain on RLTV by anisotropy of the voxels (dB)", by.reset_index())
        by = gains(wrong, "RLTV").groupby(["psf", "recipe"])["gain"].agg(["mean", "min"])
        lines += _lines("Gain on RLTV with the same wrong PSF (dB)", by.reset_index())
        for name in others:
            with_it = right[right["microscope"].isin(right[right["method"] == name]["microscope"])]
            own, rival = gains(with_it, "RLTV"), gains(with_it, name)
            if len(rival):
                lines += [
                    "",
                    f"On `{name}`'s microscopes ({rival['microscope'].nunique()}), the network "
                    f"leads it by {rival['gain'].mean():+.2f} dB, and RLTV by "
                    f"{own['gain'].mean():+.2f} dB.",
                ]
    lines += _details(table, order)
    return "\n".join(lines)


def _means(title: str, part: pd.DataFrame, order: Sequence[str]) -> list[str]:
    scores = [name for name in SCORES if name in part and part[name].notna().any()]
    if not scores:
        return []
    size = part.groupby("method").size()
    full = size.index[size == size.max()]  # not a network of one microscope
    means = part.groupby("method")[scores].mean()
    means = means.reindex([name for name in order if name in full])
    return _lines(title, means.reset_index())


def _details(table: pd.DataFrame, order: Sequence[str]) -> list[str]:
    """Tell of structures, of the correlation with the truth, and of volumes without light."""
    right = table[table["psf"] == RIGHT]
    wanted = {
        "F1 of spots": ("f1", right["recipe"] == "spots"),
        "separate points": ("separate", right["recipe"] == "spots"),
        "F1 of filaments": ("f1", right["recipe"] != "spots"),
        "FSC with the truth, xy (µm)": ("fsc_xy", right["group"] == "main"),
        "FSC with the truth, z (µm)": ("fsc_z", right["group"] == "main"),
        "false spots, unlabelled": ("false_spots", right["recipe"] == "empty"),
        "false spots, dark": ("false_spots", right["recipe"] == "dark"),
    }
    columns = {
        title: _common(right[rows], metric, order)
        for title, (metric, rows) in wanted.items()
        if metric in right and right[rows][metric].notna().any()
    }
    if not columns:
        return []
    found = pd.DataFrame(columns)
    found = found.reindex([name for name in order if name in found.index])
    return _lines(
        "Structures at 10 % of false ones; resolution; volumes without light (means)",
        found.rename_axis("method").reset_index(),
    )


def _common(part: pd.DataFrame, metric: str, order: Sequence[str]) -> pd.Series:
    """Average a score over the volumes on which all full methods have it."""
    wide = part.pivot_table(index=KEYS, columns="method", values=metric)
    wide = wide[[name for name in order if name in wide]]
    full = wide.loc[:, wide.notna().sum() > 0.8 * len(wide)]
    return wide.loc[full.dropna().index].mean()


def _lines(title: str, rows: pd.DataFrame) -> list[str]:
    if not len(rows):
        return []
    head = [str(name) for name in rows.columns]
    body = [
        "| " + " | ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in rows.itertuples(index=False)
    ]
    return ["", title, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body]
