"""How methods, metrics and groups of subjects are called where people read them."""

from dataclasses import dataclass

from decon3d.phantoms.recipes import structures
from decon3d.settings import METHOD_KINDS, ORACLE, Settings, is_network, is_oracle

INPUT = "input"
TRUTH = "truth"


@dataclass(frozen=True)
class Metric:
    """How to read a metric."""

    label: str
    unit: str
    higher_is_better: bool
    digits: int


METRICS = {
    "psnr": Metric("PSNR", "dB", True, 2),
    "ssim": Metric("SSIM", "", True, 3),
    "nrmse": Metric("NRMSE", "", False, 3),
}
VARIANTS = {"affine": "affine-matched", "unmatched": "as restored"}
GROUPS = {
    "seen": "Seen structure",
    "unseen": "Unseen structure",
    "measured": "Measured pairs, other specimens",
    "volume": "The dataset's own volumes",
}


NAMES = {"neurodecon": "NeuroDecon", "rl_residual": "RL residual"}
"""Kinds of methods that are not written in capitals."""


def method_label(method: str) -> str:
    """Name a method for people: RL, RLTV, RLN; other names as they stand in the config."""
    if method == INPUT:
        return "blurred image"
    if method.endswith(ORACLE):
        return f"{method_label(method.removesuffix(ORACLE))} (oracle: tuned on the test truth)"
    if method not in METHOD_KINDS or method == "bundle":
        return method
    return NAMES.get(method, method.upper())


def seen_recipes(settings: Settings) -> set[str]:
    """List the phantom recipes whose structures networks were trained on, under whatever name."""
    pairs = settings.simulated_pairs
    if pairs is None:
        return set()
    trained = frozenset().union(*map(structures, pairs.train.recipes))
    return {r for r in {*pairs.train.recipes, *pairs.test.recipes} if structures(r) <= trained}


def classical_methods(settings: Settings) -> list[str]:
    """List the methods that are not networks, in the order of the config; no oracles."""
    return [
        name
        for name, method in settings.methods.items()
        if not is_network(method) and not is_oracle(method)
    ]
