"""DenseDeconNet, single view (Guo et al., Nat. Biotechnol. 38, 1337 (2020)).

A small densely connected network: one dense block at full resolution, two at half, 14 convolutions
of 4 to 8 channels. It has 16,860 trainable parameters, as many as the published file has numbers:
16,712 in convolutions, which have no biases, and 148 in the normalisations of the input and of
every convolution (and 148 statistics). Loss: mean squared error, minus ln((1 + SSIM) / 2), minus
1.3 × the smallest voxel; Adam, 0.04 · 0.98^(step / 150).

Not published, and so this project's choice: steps, batch, crop, and the slope of the leaky ReLU.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from decon3d.networks.backend import keras, layers, own_layers, tf
from decon3d.networks.kind import Network, NetworkSection, Training, whole_model
from decon3d.networks.losses import global_ssim

SLOPE = 0.2
DARKEST_WEIGHT = 1.3


class DenseDeconTraining(Training):
    """DenseDeconNet's training."""

    learning_rate: PositiveFloat = 0.04
    decay_steps: PositiveInt = 150
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.98


class DenseDecon(NetworkSection):
    """DenseDeconNet (Guo et al. 2020), single view, trained on phantoms or measured pairs."""

    kind: Literal["densedecon"]
    """DenseDeconNet."""
    training: DenseDeconTraining = DenseDeconTraining()


def build() -> keras.Model:
    """Build the network.

    Returns
    -------
    keras.Model
        Input and output (N, Z, Y, X, 1), float32; Z, Y and X free, but even.
    """
    image = keras.Input((None, None, None, 1), name="image")
    x = own_layers.BatchNorm(name="image_norm")(image)
    a1 = _convolution("a_1", x, 4)
    a2 = _convolution("a_2", a1, 8)
    a3 = _convolution("a_3", _joined("a_12", a1, a2), 4)
    first = _convolution("a_4", _joined("a_123", a1, a2, a3), 4)

    half = _activated("half", layers.Conv3D(8, 2, strides=2, use_bias=False, name="half")(first))
    b1 = _convolution("b_1", half, 4)
    b2 = _convolution("b_2", _joined("b_01", half, b1), 4)
    b3 = _convolution("b_3", _joined("b_012", half, b1, b2), 8)
    c1 = _convolution("c_1", b3, 4)
    c2 = _convolution("c_2", c1, 8)
    c3 = _convolution("c_3", _joined("c_12", c1, c2), 4)
    c4 = _convolution("c_4", _joined("c_123", c1, c2, c3), 8)

    up = layers.Conv3DTranspose(4, 2, strides=2, use_bias=False, name="up")(c4)
    up = own_layers.BatchNorm(name="up_norm")(up)
    merged = layers.ReLU(name="merged_relu")(layers.Add(name="merged")([up, first]))
    last = layers.Conv3D(1, 3, padding="same", use_bias=False, name="last")(merged)
    restored = layers.LeakyReLU(SLOPE, name="restored")(
        own_layers.BatchNorm(name="last_norm")(last)
    )
    return keras.Model(image, restored, name="densedecon")


def _convolution(name: str, x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    """Convolve 3×3×3 without bias, normalise, ReLU."""
    y = layers.Conv3D(channels, 3, padding="same", use_bias=False, name=name)(x)
    return _activated(name, y)


def _activated(name: str, x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.ReLU(name=f"{name}_relu")(own_layers.BatchNorm(name=f"{name}_norm")(x))


def _joined(name: str, *tensors: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Concatenate(name=f"join_{name}")(list(tensors))


def _loss(
    restored: tf.Tensor, image: tf.Tensor, truth: tf.Tensor, method: DenseDecon
) -> dict[str, tf.Tensor]:
    parts = {
        "mse": tf.reduce_mean(tf.square(restored - truth)),
        "ssim": -tf.math.log((1 + global_ssim(restored, truth)) / 2),
        "darkest": -DARKEST_WEIGHT * tf.reduce_min(restored),
    }
    return {"loss": tf.add_n(list(parts.values())), **parts}


METHOD = Network(
    settings=DenseDecon,
    label="DenseDeconNet",
    text="the network DenseDeconNet",
    citations=(
        "M. Guo et al., Rapid image deconvolution and multiview fusion for optical microscopy, "
        "Nat. Biotechnol. 38, 1337 (2020), doi:10.1038/s41587-020-0560-x",
    ),
    build=build,
    options=lambda method: {},
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(),
    # Twice what RLN takes, measured at 128³ voxels: up to 16 channels at full resolution.
    bytes_per_voxel=lambda method: 430.0,
)
