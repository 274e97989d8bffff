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
    """Number of iterations; with acceleration, those on data binned 2 x 2 x 2, after which a third
    to a half as many run on the full grid: together, they give the quality of so many on the full
    grid. `auto`: the number with the least predicted error on a sample of the data, found in
    seconds without phantoms. `tune`: the best by `tune_on`. With a stopping rule: the largest
    number (default 500), all on the full grid."""
    stopping: Stopping = "fixed"
    tune_on: TuneOn = "phantoms"
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """Momentum, and most iterations on binned data, for half the time or less. Without it, about
    twice as many iterations are needed. With it, the best number of
    iterations gives 0.15 to 0.22 dB more, but further iterations add noise faster (twice the best
    number loses up to 3.9 dB, 2.6 dB without). `stopping: rlgc` needs none, since momentum then
    fits the noise (7 dB lost at 50 photons)."""
    back_projector: Literal["matched", "wiener_butterworth"] = "matched"
    """`wiener_butterworth` (Guo 2020): one or two iterations, with acceleration: none."""

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
