"""What the kinds of classical methods share: their record, common settings and references."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from decon3d.kinds import Kind, MethodSection

if TYPE_CHECKING:
    from decon3d.classical.operators import Blur
    from decon3d.classical.recipe import Recipe

Tuned = Literal["tune"]


Stopping = Annotated[
    Literal["fixed", "relative_change", "rlgc"],
    Field(
        description="When to stop. `fixed`: after `iterations`. `relative_change`: when the "
        "estimate changes by less than 1 % per iteration. `rlgc` (gradient consensus): the photons "
        "are split into two halves; each voxel stops when the halves disagree about its change, "
        "and all stop when less than 1 % of a sample's voxels still change."
    ),
]


TuneOn = Annotated[
    Literal["phantoms", "data", "test_truth"],
    Field(
        description="Criterion of `tune`. `phantoms`: the error on the val split. `data`: the "
        "error predicted from your data, without truth. `test_truth`: the error on the test split "
        "(only as an upper bound for comparison; the method's name must end in _oracle)."
    ),
]


Prior = Literal["tv_weight", "roughness_weight"]
"""A setting that is the λ of a prior; a field of `recipe.Recipe`, too."""


PRIORS: tuple[Prior, ...] = get_args(Prior)


STOPPING_LIMIT = 500
"""Iterations that a stopping rule may take unless the config says otherwise."""


RICHARDSON_LUCY = (
    "W. H. Richardson, Bayesian-based iterative method of image restoration, J. Opt. Soc. Am. 62, "
    "55 (1972); L. B. Lucy, An iterative technique for the rectification of observed "
    "distributions, Astron. J. 79, 745 (1974)",
    "M. Bertero and P. Boccacci, A simple method for the reduction of boundary effects in the "
    "Richardson-Lucy approach to image deconvolution, Astron. Astrophys. 437, 369 (2005)",
)
"""References of Richardson-Lucy with boundary weights."""


Iteration = Callable[
    ["NDArray[np.float32]", "Recipe", "Blur"], Iterator[tuple[int, NDArray[np.float32]]]
]


@dataclass(frozen=True, kw_only=True)
class ClassicalKind(Kind):
    """A classical method, as one file in `classical/kinds` defines it.

    Attributes
    ----------
    first_guess
        Values of what is tuned, to show a method before its search has run.
    iterate
        The iteration: (image in counts, Z Y X; recipe; model) → (iteration from 1, estimate
        without end), as `recipe.Recipe.iterate` describes. None = Richardson-Lucy.
    options
        Settings that the iteration finds in `recipe.Recipe.options`.
    """

    first_guess: Mapping[str, float] = field(default_factory=dict)
    iterate: Iteration | None = None
    options: Callable[[Any], Mapping[str, float]] = lambda method: {}


class Classical(MethodSection):
    """What all classical methods have in common."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Device that restores volumes and test phantoms. `gpu`: one GPU, requested by the rules
    `*_gpu`. It needs CuPy (the extra `cupy`) and fails without a GPU. `restoration.memory_gb` is
    then the GPU's memory. Searches for λ and iterations run on the CPU, and so do stopping rules.
    Results differ from those of the CPU by rounding. Tested only with a replacement for CuPy on
    CPUs, not yet on a GPU."""

    if TYPE_CHECKING:  # what each kind declares with its own defaults
        iterations: int | Literal["auto", "tune"]
        tune_on: TuneOn

    @model_validator(mode="before")
    @classmethod
    def _limit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("stopping", "fixed") == "fixed":
            return values
        # Momentum moves voxels past the point where the halves begin to disagree.
        slow = {"acceleration": "none"} if values["stopping"] == "rlgc" else {}
        return {"iterations": STOPPING_LIMIT, **slow, **values}

    @model_validator(mode="after")
    def _one_decision(self) -> "Classical":
        stopping, iterations = getattr(self, "stopping", "fixed"), getattr(self, "iterations", 1)
        if stopping != "fixed" and iterations in ("auto", "tune"):
            raise PydanticCustomError(
                "tune",
                "iterations: {choice} and stopping: {rule} both choose the number of iterations; "
                "remove one of them",
                {"choice": iterations, "rule": stopping},
            )
        if stopping == "rlgc" and getattr(self, "acceleration", "none") != "none":
            raise PydanticCustomError(
                "tune",
                "stopping: rlgc needs acceleration: none, since momentum amplifies noise",
            )
        if stopping != "fixed" and getattr(self, "acceleration", "none") == "coarse_to_fine":
            raise PydanticCustomError(
                "tune",
                "acceleration: coarse_to_fine needs stopping: fixed, since a stopping rule "
                "compares one iteration on the full grid with the next",
            )
        return self


def prior_of(method: MethodSection) -> Prior | None:
    """Return the setting that is the λ of a method's prior, or None."""
    return next((name for name in PRIORS if hasattr(method, name)), None)


def tuned_together(iterations: object, weight: object, name: str) -> None:
    """Refuse settings of which only one is tuned."""
    if (iterations == "tune") != (weight == "tune"):
        raise PydanticCustomError(
            "tune",
            "iterations and {name} are tuned together; give `tune` for both or for neither",
            {"name": name},
        )
