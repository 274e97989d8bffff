"""A network that learns what Richardson-Lucy leaves undone: this project's own.

It sees the image and Richardson-Lucy estimates of it with the known PSF, and corrects the last of
them. By default, these are three of one run with total variation: two on the way, and the one that
a search would choose for the PSF and the dose (`networks.estimates`). A search chooses between 2
and 150 iterations for different objects of one dose: the network sees the early ones, too.

Its channels are nearly alike: a first layer, which is not trained, subtracts the last one from the
others. A small U-Net of two levels follows: 3 × 3 × 3 convolutions, leaky ReLU, average pooling,
nearest up-sampling. With plain ReLU and the channels as they are, most units died within 500 steps,
and the network returned its estimate. With 12 and 24 channels, biases and four input channels, it
has 63,961 trained parameters. Its last convolution starts at zero: the untrained network returns
the last estimate. Without biases, it has 63,828 and is homogeneous: whatever counts became 1, the
restored counts are the same.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveFloat, PositiveInt, field_validator
from pydantic_core import PydanticCustomError

from decon3d.classical.kind import RICHARDSON_LUCY
from decon3d.field_types import Section, Shape
from decon3d.networks.backend import keras, layers, own_layers, tf
from decon3d.networks.kind import Estimate, Network, NetworkSection, Schedule, Training, whole_model

SLOPE = 0.1
"""Of the leaky ReLU, for negative values."""
LAST_SHARE = 0.2
"""Weight of the last estimate beside the differences from it, which are smaller."""
LEAST_SQUARE = 1e-4
"""Mean square of a crop's truth, in network units, below which it counts as that."""
LEAST_ERROR = 1e-4
"""Squared error, relative to a crop's mean square, that is as good as none."""
LIGHT_EDGE = 8
"""Edge of the boxes, in voxels, whose light the loss compares."""


class RlResidualTraining(Training):
    """The training of rl_residual."""

    steps: PositiveInt = 3000
    crop: Shape = (32, 32, 32)
    learning_rate: PositiveFloat = 1e-3
    schedule: Schedule = "cosine"
    gradient_clip: PositiveFloat | None = 1.0


class RlEstimate(Section):
    """A run of Richardson-Lucy whose estimates are a network's input."""

    iteration_factors: Annotated[
        tuple[Annotated[float, Field(ge=0.05, le=4)], ...], Field(min_length=1)
    ] = (1.0,)
    """Iterations of the estimates, ascending, relative to the number that suits PSF and dose; one
    input channel each."""
    tv_factor: Annotated[float, Field(ge=0, le=10)] = 1.0
    """λ of the total variation, relative to the one that suits the dose; 0 = none."""

    @field_validator("iteration_factors")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise PydanticCustomError("tune", "the factors must ascend; sort them, each once")
        return value


class RlResidual(NetworkSection):
    """A network of this project that corrects Richardson-Lucy estimates."""

    kind: Literal["rl_residual"]
    """Richardson-Lucy's residual."""
    estimates: Annotated[tuple[RlEstimate, ...], Field(min_length=1)] = (
        RlEstimate(iteration_factors=(0.15, 0.4, 1.0)),
    )
    """Richardson-Lucy runs whose estimates are inputs of the network, in addition to the image. The
    network corrects the last estimate of the last run. The numbers are relative to the iterations
    and to λ that suit each volume's PSF and dose."""
    channels: Annotated[PositiveInt, Field(examples=[16])] = 12
    """Channels of the convolutions at full resolution; at half resolution, there are twice as
    many."""
    biases: bool = False
    """Whether the convolutions have biases. Without biases, the network is linear in the scale of
    the counts: twice the input gives twice the output."""
    training: RlResidualTraining | None = None
    """Null = no training; the weights that come with decon3d are used (experimental). `{}` trains
    with the defaults below."""


def build(*, inputs: int = 4, channels: int = 12, biases: bool = False) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    inputs
        Input channels: the image and the estimates.
    channels
        Of the convolutions at full resolution; twice as many at half.
    biases
        Whether the convolutions have biases.

    Returns
    -------
    keras.Model
        Input (N, Z, Y, X, inputs), float32, all lengths even; output with one channel, ≥ 0.
    """
    seen = keras.Input((None, None, None, inputs), name="image_and_estimates")

    def stage(name: str, x: keras.KerasTensor, channels: int, count: int) -> keras.KerasTensor:
        for i in range(count):
            x = layers.Conv3D(
                channels,
                3,
                padding="same",
                kernel_initializer="he_normal",
                use_bias=biases,
                name=f"{name}_{i + 1}",
            )(x)
            x = layers.LeakyReLU(SLOPE, name=f"{name}_{i + 1}_leaky")(x)
        return x

    fine = stage("fine", _differences(seen), channels, 2)
    coarse = stage("coarse", layers.AveragePooling3D(2, name="pool")(fine), 2 * channels, 3)
    up = layers.UpSampling3D(2, name="upsample")(coarse)
    x = stage("merged", layers.Concatenate(name="join")([up, fine]), channels, 3)
    residual = layers.Conv3D(
        1, 3, padding="same", use_bias=biases, kernel_initializer="zeros", name="residual"
    )(x)
    restored = layers.Add(name="corrected")(
        [own_layers.LastChannel(name="estimate")(seen), residual]
    )
    # An object has no negative light; the estimates are ≥ 0, so that the start is untouched.
    return keras.Model(seen, layers.ReLU(name="restored")(restored), name="rl_residual")


def _differences(seen: keras.KerasTensor) -> keras.KerasTensor:
    """Subtract the last channel from the others and scale it, by fixed weights."""
    inputs = seen.shape[-1]
    kernel = np.eye(inputs, dtype=np.float32)
    kernel[-1] = -1
    kernel[-1, -1] = LAST_SHARE
    layer = layers.Conv3D(inputs, 1, use_bias=False, trainable=False, name="differences")
    result = layer(seen)
    layer.set_weights([kernel[None, None, None]])
    return result


def _estimates(method: RlResidual) -> tuple[Estimate, ...]:
    return tuple(Estimate(e.iteration_factors, e.tv_factor) for e in method.estimates)


def _options(method: RlResidual) -> dict[str, int]:
    inputs = 1 + sum(len(estimate.iteration_factors) for estimate in method.estimates)
    return {"inputs": inputs, "channels": method.channels, "biases": method.biases}


def _loss(
    restored: tf.Tensor, image: tf.Tensor, truth: tf.Tensor, method: RlResidual
) -> dict[str, tf.Tensor]:
    """Logarithm of each crop's squared error, of its voxels and of the light of its boxes.

    Both errors are relative to the mean square of the truth, of its voxels or of its boxes. Their
    mean logarithm acts as the mean PSNR: a bright, sharp crop counts as much as a dim one, whose
    error is a hundred times larger. An error of the light is a small part of the voxels' error:
    without a term of its own, the network takes light from the surroundings of bright objects.
    """
    voxels = _relative_square(restored, truth)
    light = _relative_square(_boxes(restored), _boxes(truth))
    return {
        "loss": tf.reduce_mean(tf.math.log(voxels + light + LEAST_ERROR)),
        "voxels": tf.reduce_mean(voxels),
        "light": tf.reduce_mean(light),
    }


def _relative_square(restored: tf.Tensor, truth: tf.Tensor) -> tf.Tensor:
    axes = (1, 2, 3, 4)
    error = tf.reduce_mean(tf.square(restored - truth), axes)
    square = tf.maximum(tf.reduce_mean(tf.square(truth), axes), LEAST_SQUARE)
    return error / square


def _boxes(values: tf.Tensor) -> tf.Tensor:
    """Average over boxes; those at the faces may be smaller."""
    return tf.nn.avg_pool3d(values, LIGHT_EDGE, LIGHT_EDGE, "SAME")


METHOD = Network(
    settings=RlResidual,
    label="RL residual",
    text="the residual network on Richardson-Lucy estimates",
    citations=RICHARDSON_LUCY,
    build=build,
    options=_options,
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(),
    # 40 per channel were measured.
    bytes_per_voxel=lambda method: 45.0 * method.channels,
    estimates=_estimates,
)
