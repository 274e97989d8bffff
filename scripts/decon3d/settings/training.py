"""How networks are trained, in the config; each network's published defaults."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, field_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Section, Shape

Schedule = Annotated[
    Literal["exponential", "quarters", "plateau", "staircase", "cosine"],
    Field(
        description="How the rate falls: × `decay_rate` per `decay_steps`, continuously; halved "
        "after each quarter of the steps; halved after ten validations without progress; × "
        "`decay_rate` per `decay_steps`, in stairs; along a cosine to 0."
    ),
]


class Training(Section):
    """How a network is trained; the defaults are the network's own, where steps allow it."""

    steps: PositiveInt = 10_000
    """Optimiser steps."""
    batch: PositiveInt = 4
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (64, 64, 64)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 0.015
    """Rate of the first step."""
    schedule: Schedule = "exponential"
    decay_steps: PositiveInt = 600
    """Steps per decay of the rate (`exponential`, `staircase`)."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Factor of a decay (`exponential`, `staircase`); 0.5 halves it every `decay_steps`."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient of all weights together; null = any."""
    validate_every: PositiveInt = 200
    """Steps between two validations; the best weights are kept."""
    save_every: PositiveInt = 200
    """Steps between two savings of the whole state: what a killed training loses at most."""
    patience: PositiveInt | None = None
    """Validations without a better score after which the training ends; null = after all steps."""
    intensity_scale: tuple[PositiveFloat, PositiveFloat] | None = None
    """Range of a factor, drawn log-uniformly for each crop, on image and object alike. The noise
    grows with it: another gain, not another dose. Null = none."""
    start_from: str | None = None
    """Folder of a bundle of the same kind and options whose weights are trained on; null = from
    scratch. A rate below the usual one keeps what it knows."""
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: layers work in float16 on a GPU, weights stay float32; on a CPU, which is no faster
    in float16, float32 is used and the log says so."""

    @field_validator("intensity_scale")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] > value[1]:
            raise PydanticCustomError("training", "give the lower bound first")
        return value


class RlnTraining(Training):
    """RLN's training."""

    auxiliary_loss: bool = True
    """The loss on the first estimate (weight 0.1)."""
    gradients: Literal["straight_through", "exact"] = "straight_through"
    """Of the divisions and multiplications: the authors' custom gradients or the exact ones."""


class NeuroDeconTraining(Training):
    """NeuroDecon's training."""

    batch: PositiveInt = 2
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (32, 144, 144)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 1e-3
    """Rate of the first step."""
    schedule: Schedule = "staircase"
    decay_steps: PositiveInt = 12_500
    """Steps per decay of the rate (`exponential`, `staircase`)."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Factor of a decay (`exponential`, `staircase`); 0.5 halves it every `decay_steps`."""
    hessian_weight: NonNegativeFloat = 0.78 / 255
    """Weight of the smoothness of the result (not of the large form), whose unit is the bright
    foreground; 0.78 / 255 is the published 0.78 of images from 0 to 255. With 0.78 itself an empty
    image would be better than the truth."""


class CareTraining(Training):
    """CARE's training."""

    steps: PositiveInt = 40_000
    """Optimiser steps."""
    batch: PositiveInt = 16
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (16, 64, 64)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 4e-4
    """Rate of the first step."""
    schedule: Schedule = "plateau"
    validate_every: PositiveInt = 400
    """Steps between two validations; the best weights are kept."""


class RcanTraining(Training):
    """3D-RCAN's training."""

    steps: PositiveInt = 76_800
    """Optimiser steps: 300 epochs of 256."""
    batch: PositiveInt = 1
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (16, 256, 256)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 1e-4
    """Rate of the first step."""
    schedule: Schedule = "quarters"
    validate_every: PositiveInt = 256
    """Steps between two validations; the best weights are kept."""


class RlResidualTraining(Training):
    """The training of rl_residual."""

    steps: PositiveInt = 3000
    """Optimiser steps."""
    crop: Shape = (32, 32, 32)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 2e-3
    """Rate of the first step."""
    schedule: Schedule = "cosine"
    gradient_clip: PositiveFloat | None = 1.0
    """Largest norm of the gradient of all weights together; null = any."""
