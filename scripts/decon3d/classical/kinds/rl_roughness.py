"""Richardson-Lucy with Good's roughness; the prior is `classical.roughness`."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from decon3d.classical.kind import (
    RICHARDSON_LUCY,
    Classical,
    ClassicalKind,
    Tuned,
    TuneOn,
    tuned_together,
)


class RlRoughness(Classical):
    """Richardson-Lucy deconvolution with Good's roughness (Verveer & Jovin 1997)."""

    kind: Literal["rl_roughness"]
    """Richardson-Lucy with Good's roughness: for smooth and textured objects, which total variation
    may turn into flat patches."""
    iterations: PositiveInt | Tuned = "tune"
    """Number of iterations. `tune`: the number with the least error, by the criterion `tune_on`,
    searched together with roughness_weight."""
    roughness_weight: PositiveFloat | Tuned = "tune"
    """Weight λ of Good's roughness, for derivatives in units of the smallest voxel edge. `tune`:
    the value with the least error. The best values are 0.01 to 0.5, smaller for more photons. The
    iteration converges for any value."""
    tune_on: TuneOn = "phantoms"
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """`heavy_ball`: iterations with momentum. `none`: up to eight times as many iterations are
    needed."""

    @model_validator(mode="after")
    def _together(self) -> "RlRoughness":
        tuned_together(self.iterations, self.roughness_weight, "roughness_weight")
        return self


METHOD = ClassicalKind(
    settings=RlRoughness,
    label="RL roughness",
    text="Richardson-Lucy deconvolution with Good's roughness",
    citations=(
        *RICHARDSON_LUCY,
        "P. J. Verveer and T. M. Jovin, Efficient superresolution restoration algorithms using "
        "maximum a posteriori estimations with application to fluorescence microscopy, J. Opt. "
        "Soc. Am. A 14, 1696 (1997)",
    ),
    first_guess={"iterations": 30, "roughness_weight": 0.05},
)
