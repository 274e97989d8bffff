"""Richardson-Lucy with total variation; the prior is `classical.total_variation`."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt, model_validator

from decon3d.classical.kind import (
    RICHARDSON_LUCY,
    Classical,
    ClassicalKind,
    Stopping,
    Tuned,
    TuneOn,
    tuned_together,
)


class Rltv(Classical):
    """Richardson-Lucy deconvolution with total variation (Dey 2006)."""

    kind: Literal["rltv"]
    """Richardson-Lucy with total variation."""
    iterations: PositiveInt | Tuned = "tune"
    """Number of iterations. `tune`: the number with the least error, by the criterion `tune_on`,
    searched together with tv_weight. With a stopping rule: the largest number (default 500)."""
    tv_weight: PositiveFloat | Tuned | Literal["snr"] = "tune"
    """Weight λ of the total variation, for derivatives in units of the smallest voxel edge. `tune`:
    the value with the least error. `snr`: 50 / (SNR · smallest voxel edge in nm), with the SNR of
    the brightest region of a sample (Laasmaa 2011)."""
    stopping: Stopping = "fixed"
    tune_on: TuneOn = "phantoms"
    acceleration: Literal["heavy_ball", "coarse_to_fine", "none"] = "heavy_ball"
    """`heavy_ball`: iterations with momentum. `coarse_to_fine`: the first on binned data, as for
    `rl`. `none`: about twice as many iterations are needed. A stopping rule excludes
    `coarse_to_fine`. `stopping: rlgc` requires `none`, since momentum then fits the noise (7 dB
    lost at 50 photons)."""

    @model_validator(mode="after")
    def _together(self) -> "Rltv":
        tuned_together(self.iterations, self.tv_weight, "tv_weight")
        return self


METHOD = ClassicalKind(
    settings=Rltv,
    label="RLTV",
    text="Richardson-Lucy deconvolution with total variation",
    citations=(
        *RICHARDSON_LUCY,
        "N. Dey et al., Richardson-Lucy algorithm with total variation regularization for 3D "
        "confocal microscope deconvolution, Microsc. Res. Tech. 69, 260 (2006)",
    ),
    first_guess={"iterations": 30, "tv_weight": 0.002},
)
