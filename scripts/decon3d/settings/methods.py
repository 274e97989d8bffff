"""Restoration methods in the config, and their properties."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from decon3d.classical.registry import CLASSICAL
from decon3d.kinds import Kind, MethodSection
from decon3d.networks.registry import NETWORKS

RESERVED_METHODS = {"input", "truth"}
"""Names of the report's own rows."""


ORACLE = "_oracle"
"""Suffix of the names of methods that are tuned on the test truth."""


class Bundle(MethodSection):
    """A trained network from an earlier run (its bundle)."""

    kind: Literal["bundle"]
    """A trained network."""
    bundle: str
    """Folder of the trained network (bundle), with model.keras and model.json. Environment
    variables are expanded, and `{channel}` becomes the channel's name."""


KINDS: dict[str, Kind] = {**CLASSICAL, **NETWORKS}
"""All kinds of methods that are a file of their own."""


METHOD_KINDS: dict[str, type[MethodSection]] = {
    **{name: kind.settings for name, kind in KINDS.items()},
    "bundle": Bundle,
}


if TYPE_CHECKING:
    Method = MethodSection
else:
    Method = Annotated[reduce(or_, METHOD_KINDS.values()), Field(discriminator="kind")]


def is_tuned(method: MethodSection) -> bool:
    """Return whether a method's parameters are searched."""
    return getattr(method, "iterations", None) == "tune"


def is_oracle(method: MethodSection) -> bool:
    """Return whether a method is tuned on the test truth, which excludes it from the ranking."""
    return is_tuned(method) and getattr(method, "tune_on", None) == "test_truth"


def is_automatic(method: MethodSection) -> bool:
    """Return whether a method's preparation chooses its iterations from the data."""
    return getattr(method, "iterations", None) == "auto"


def needs_sample(method: MethodSection) -> bool:
    """Return whether preparing a method needs blocks of the data, and so some work."""
    return (
        is_automatic(method)
        or getattr(method, "stopping", "fixed") != "fixed"
        or getattr(method, "tv_weight", None) == "snr"
        or getattr(method, "attention", None) == "calibrated"
        or isinstance(method, Bundle)  # may be a network whose attention is calibrated
    )


def counts_photons(method: MethodSection) -> bool:
    """Return whether a method's parameters depend on the photon noise of its input."""
    return (
        (is_tuned(method) and getattr(method, "tune_on", None) == "data")
        or getattr(method, "stopping", None) == "rlgc"
        or getattr(method, "tv_weight", None) == "snr"
    )


def is_trained(method: MethodSection) -> bool:
    """Return whether a method trains a network."""
    return getattr(method, "training", None) is not None


def is_network(method: MethodSection) -> bool:
    """Return whether a method restores with a network."""
    return method.kind not in CLASSICAL


def uses_shipped(method: MethodSection) -> bool:
    """Return whether a method restores with the weights that come with decon3d."""
    return is_network(method) and not is_trained(method) and not isinstance(method, Bundle)


def may_use_gpu(method: MethodSection) -> bool:
    """Return whether a method's restorations may use a GPU, and so run in the rules for GPUs."""
    return is_network(method) or getattr(method, "device", "cpu") == "gpu"
