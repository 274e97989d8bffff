"""Richardson-Lucy; the iteration is `classical.richardson_lucy`."""

from typing import Literal

from pydantic import PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from decon3d.classical.kind import RICHARDSON_LUCY, Classical, ClassicalKind, Stopping, TuneOn


class Rl(Classical):
    """Richardson-Lucy deconvolution."""

    kind: Literal["rl"]
    """Richardson-Lucy."""
    iterations: PositiveInt | Literal["auto", "tune"] = "auto"
    """Number of iterations. `auto`: the number with the least predicted error on a sample of the
    data, found in seconds without phantoms. `tune`: the number with the least error, by the
    criterion `tune_on`. With a stopping rule: the largest number (default 500)."""
    stopping: Stopping = "fixed"
    tune_on: TuneOn = "phantoms"
    acceleration: Literal["heavy_ball", "coarse_to_fine", "none"] = "heavy_ball"
    """`heavy_ball`: iterations with momentum. `coarse_to_fine`: with momentum; the first iterations
    run on data binned 2 x 2 x 2. `auto` and `tune` choose their number and that of the iterations
    on the full grid. A given number N is that on binned data; N / 3 to N / 2 follow on the full
    grid. (An axis along which the PSF is narrower than 1.5 voxels is not binned.) `none`: about
    twice as many iterations are needed. At the best number of iterations, `heavy_ball` gives a PSNR
    that is 0.15 to 0.22 dB higher than `none`, but further iterations add noise faster: twice the
    best number loses up to 3.9 dB, 2.6 dB without acceleration. A stopping rule excludes
    `coarse_to_fine`. `stopping: rlgc` requires `none`, since momentum then fits the noise (7 dB
    lost at 50 photons)."""
    back_projector: Literal["matched", "wiener_butterworth"] = "matched"
    """`matched`: the mirrored PSF, as in Richardson-Lucy. `wiener_butterworth` (Guo 2020): needs
    only one or two iterations, and requires `acceleration: none`."""

    @model_validator(mode="after")
    def _unmatched(self) -> "Rl":
        if self.back_projector != "matched" and (
            self.acceleration != "none" or self.stopping != "fixed"
        ):
            raise PydanticCustomError(
                "tune",
                "back_projector: {name} needs acceleration: none and stopping: fixed (1 or 2 "
                "iterations); otherwise it diverges",
                {"name": self.back_projector},
            )
        return self


METHOD = ClassicalKind(
    settings=Rl,
    label="RL",
    text="Richardson-Lucy deconvolution",
    citations=RICHARDSON_LUCY,
    first_guess={"iterations": 15},
)
