"""What the kinds of networks share: their record, and their settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, field_validator
from pydantic.dataclasses import dataclass as checked_dataclass
from pydantic_core import PydanticCustomError

from decon3d.field_types import Section, Shape
from decon3d.kinds import Kind, MethodSection

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Gradients = Literal["straight_through", "exact"]
"""Of divisions and multiplications: the authors' custom gradients of RLN, or the exact ones."""

Schedule = Annotated[
    Literal["exponential", "quarters", "plateau", "staircase", "cosine"],
    Field(
        description="Decay of the learning rate. `exponential`: by the factor `decay_rate` per "
        "`decay_steps`, continuously. `staircase`: the same, in steps. `quarters`: halved after "
        "each quarter of the steps. `plateau`: halved after ten validations without a better "
        "score. `cosine`: along a cosine to 0."
    ),
]


class Training(Section):
    """How a network is trained; the defaults are those of the network's publication."""

    steps: PositiveInt = 10_000
    """Optimiser steps."""
    batch: PositiveInt = 4
    """Number of crops per step. Several GPUs share them evenly."""
    crop: Shape = (64, 64, 64)
    """Size of a crop in voxels (Z, Y, X); if the phantoms are smaller, their size."""
    learning_rate: PositiveFloat = 0.015
    """Learning rate of the first step."""
    schedule: Schedule = "exponential"
    decay_steps: PositiveInt = 600
    """Steps per decay of the rate (`exponential`, `staircase`)."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Factor of a decay (`exponential`, `staircase`); 0.5 halves it every `decay_steps`."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient, over all weights together; null = no limit."""
    validate_every: PositiveInt = 200
    """Steps between two validations. The weights with the best score are kept."""
    save_every: PositiveInt = 200
    """Steps between two checkpoints. A killed training loses at most this number of steps."""
    patience: PositiveInt | None = None
    """The training ends after this number of validations without a better score; null = after all
    steps."""
    intensity_scale: tuple[PositiveFloat, PositiveFloat] | None = None
    """Augmentation: image and object of each crop are multiplied by a factor from this range, drawn
    log-uniformly. The factor also scales the noise, so it acts as a change of gain, not of dose.
    Null = none."""
    start_from: str | None = None
    """Folder of a trained network (bundle) of the same kind and options, or `shipped`: the network
    of this kind that comes with decon3d. The training starts from its weights; use a lower learning
    rate than usual to preserve them. Null = random weights."""
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: on a GPU, layers in float16 and weights in float32. On CPUs, float16 is not faster;
    they use float32, and the log says so."""

    @field_validator("intensity_scale")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] > value[1]:
            raise PydanticCustomError("training", "give the lower bound first")
        return value


class NetworkSection(MethodSection):
    """What all networks that are trained have in common."""

    if TYPE_CHECKING:
        training: Any  # the kind's own `Training`; None = the weights that come with decon3d


ESTIMATES_VERSION = 4
"""Of the laws by which estimates follow PSF and dose (`networks.estimates`). Raise it with them: a
network restores only with the estimates that it was trained with."""


@checked_dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Estimate:
    """A run of Richardson-Lucy whose estimates are a network's input beside the image.

    Both numbers are relative to those that suit the volume's PSF and dose; see
    `networks.estimates`.

    Attributes
    ----------
    iteration_factors
        Iterations of the estimates, ascending; one input channel each.
    tv_factor
        λ of the total variation; 0 = none.
    """

    iteration_factors: tuple[float, ...]
    tv_factor: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Network(Kind):
    """A network for building, training and restoring, as one file in `networks/kinds` defines it.

    Attributes
    ----------
    build
        Makes the model from keyword options; input and output N Z Y X C, float32, in network
        units, one channel; the input has a further channel per estimate.
    options
        The keyword options of `build` for a method's settings.
    training_model
        The model with the further outputs that the loss needs; shares all weights.
    loss
        (outputs of the training model, image, truth, method settings) → parts of the loss by
        name, scalars; `loss` is the one that is minimised.
    optimizer
        Makes the optimiser; the training sets its rate.
    bytes_per_voxel
        Memory that a restoration takes per voxel of a block with its halo, on a CPU; measured.
    estimates
        The Richardson-Lucy estimates that a method's network has as inputs beside the image.
    """

    build: Callable[..., keras.Model]
    options: Callable[[Any], dict[str, Any]]
    training_model: Callable[[keras.Model], keras.Model]
    loss: Callable[[Any, tf.Tensor, tf.Tensor, Any], dict[str, tf.Tensor]]
    optimizer: Callable[[Any], keras.optimizers.Optimizer]
    bytes_per_voxel: Callable[[Any], float]
    estimates: Callable[[Any], tuple[Estimate, ...]] = lambda method: ()


def whole_model(model: keras.Model) -> keras.Model:
    """Return the model itself, for a loss that needs its output only."""
    return model
