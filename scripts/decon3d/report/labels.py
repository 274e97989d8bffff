"""Labels of methods, metrics and groups of subjects in tables and figures."""

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from decon3d.classical.kind import PRIORS
from decon3d.errors import UserError
from decon3d.networks.description import load_info
from decon3d.settings import KINDS, ORACLE, Settings, is_network, is_oracle, ready_bundle

if TYPE_CHECKING:
    import pandas as pd

INPUT = "input"
TRUTH = "truth"


VARIANTS = {
    "affine": "affine-matched",
    "unmatched": "as restored",
    "common": "common kernel, affine-matched",
    "common_unmatched": "common kernel, as restored",
}
GROUPS = {
    "simulated": "Simulated objects",
    "seen": "Simulated objects, seen structure",
    "unseen": "Simulated objects, unseen structure",
    "measured": "Measured pairs, other specimens",
    "volume": "Your volumes with truth",
    "data": "Your data, without truth",
    "probe": "Simulated beads, balls and noise pairs",
    "psf_0.75": "A phantom through a PSF 25 % narrower than assumed",
    "psf_0.9": "A phantom through a PSF 10 % narrower than assumed",
    "psf_1": "A phantom through the PSF as assumed",
    "psf_1.1": "A phantom through a PSF 10 % wider than assumed",
    "psf_1.25": "A phantom through a PSF 25 % wider than assumed",
}
ARROWS = {"higher": "↑", "lower": "↓", "one": "→ 1", "zero": "→ 0"}
"""The direction that is better."""
REGIONS = {
    "volume": "",
    "xy": "xy",
    "xz": "xz",
    "yz": "yz",
    "z": "along z",
    "y": "along y",
    "x": "along x",
}
"""Labels of the regions of a volume."""


def method_label(method: str) -> str:
    """Return a method's label, such as RL; a name without one as in the config."""
    if method == INPUT:
        return "raw volume"
    if method.endswith(ORACLE):
        return f"{method_label(method.removesuffix(ORACLE))} (oracle: tuned on the test truth)"
    return KINDS[method].label if method in KINDS else method


def after_binned(values: Mapping[str, Any]) -> str:
    """State the iterations on binned data before those on the full grid, if there are any."""
    coarse = values.get("coarse_iterations")
    return f" after {coarse} on binned data" if coarse else ""


def prior_weight(values: Mapping[str, Any]) -> float:
    """Return λ of the prior from a method's chosen parameters; 0 = no prior."""
    return float(next((values[name] for name in PRIORS if values.get(name)), 0.0))


def seen_recipes(settings: Settings) -> set[str]:
    """List the phantom recipes whose structures the networks were trained on."""
    pairs = settings.simulated_pairs
    if pairs is None:
        return set()
    from decon3d.phantoms.recipes import structures  # half a second for pages without phantoms

    known = {*pairs.train.recipes, *_recipes_of_bundles(settings)}
    trained = frozenset().union(*map(structures, known))
    return {r for r in {*pairs.train.recipes, *pairs.test.recipes} if structures(r) <= trained}


def _recipes_of_bundles(settings: Settings) -> set[str]:
    """List the recipes on which networks were trained before, in another run."""
    channels = {channel for dataset in settings.datasets.values() for channel in dataset.channels}
    folders = {ready_bundle(m, c) for m in settings.methods.values() for c in channels}
    recipes: set[str] = set()
    for folder in filter(None, folders):
        with contextlib.suppress(UserError):  # moved after the run: the page is made all the same
            recipes |= set(load_info(folder).trained_on.made_as.get("recipes", ()))
    return recipes


def classical_methods(settings: Settings) -> list[str]:
    """List the methods that are not networks, in the order of the config; no oracles."""
    return [
        name
        for name, method in settings.methods.items()
        if not is_network(method) and not is_oracle(method)
    ]


def with_groups(metrics: "pd.DataFrame", *, settings: Settings) -> "pd.DataFrame":
    """Add the column `group`: `seen` or `unseen` recipe in training; for all others the split."""
    seen = seen_recipes(settings)
    groups = [
        split if split != "test" else "seen" if recipe in seen else "unseen"
        for split, recipe in zip(metrics["split"], metrics["recipe"], strict=True)
    ]
    return metrics.assign(group=groups)
