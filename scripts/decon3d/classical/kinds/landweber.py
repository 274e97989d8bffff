"""Projected Landweber iteration: least squares with no negative light (Landweber 1951).

    x ← max(x + τ · W · Hᵀ(g - b - Hx), 0),

with Bertero's weights W = 1 / Hᵀm, as in Richardson-Lucy. No row of H sums to more than 1, so it
converges for 0 < τ < 2. It minimises the squared error, which assumes the same noise in all voxels.
Photon noise grows with the light, so Richardson-Lucy is better founded where the background is
dark. Further iterations amplify the noise, also in dark places, so their number matters.
"""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from decon3d.classical.kind import RICHARDSON_LUCY, Classical, ClassicalKind

if TYPE_CHECKING:
    from decon3d.classical.operators import Blur
    from decon3d.classical.recipe import Recipe


class Landweber(Classical):
    """Projected Landweber deconvolution (least squares, no negative light)."""

    kind: Literal["landweber"]
    """Projected Landweber."""
    iterations: PositiveInt | Literal["tune"] = "tune"
    """Number of iterations, or `tune`: the number with the least error, by the criterion
    `tune_on`."""
    tune_on: Literal["phantoms", "test_truth"] = "phantoms"
    """Criterion of `tune`. `phantoms`: the error on the val split. `test_truth`: the error on the
    test split (only as an upper bound for comparison; the method's name must end in _oracle)."""
    relaxation: Annotated[float, Field(gt=0, lt=2)] = 1.9
    """Step length τ; with half of it, twice as many iterations are needed."""


def iterate(
    image: NDArray[Any], recipe: "Recipe", model: "Blur"
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Iterate as `recipe.Recipe.iterate` describes, from the same start as Richardson-Lucy."""
    # Imported here because they import SciPy, which is slow and not needed to read the config.
    from decon3d.classical.richardson_lucy import first_estimate, observe

    background, put = recipe.background, model.device.put
    options = {"background": background, "initial": recipe.initial}
    observed = observe(image, saturation=recipe.largest(image), **options)
    weights = model.weights_for(observed.seen)
    x = first_estimate(observed, model, weights, start="data", **options)
    above = put(np.nan_to_num(image.astype(np.float32), nan=0.0) - np.float32(background))
    seen, full = put(observed.seen), put(observed.full)
    step = weights * np.float32(recipe.options["relaxation"])
    for k in count(1):
        residual = above - model.forward(x)
        if full is not None:  # the true count is at least the saturated one
            residual[full] = np.maximum(residual[full], 0)
        if seen is not None:
            residual *= seen
        x += step * model.adjoint(residual)
        np.maximum(x, 0, out=x)
        yield k, x[model.inside]


def _options(method: Landweber) -> Mapping[str, float]:
    return {"relaxation": method.relaxation}


METHOD = ClassicalKind(
    settings=Landweber,
    label="Landweber",
    text="projected Landweber deconvolution (least squares without negative light)",
    citations=(
        "L. Landweber, An iteration formula for Fredholm integral equations of the first kind, "
        "Am. J. Math. 73, 615 (1951)",
        "M. Bertero and P. Boccacci, Introduction to Inverse Problems in Imaging, IOP Publishing "
        "(1998)",
        RICHARDSON_LUCY[1],
    ),
    first_guess={"iterations": 8},
    iterate=iterate,
    options=_options,
)
