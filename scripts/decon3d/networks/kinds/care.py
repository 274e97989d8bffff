"""CARE's U-Net in 3D (Weigert et al., Nat. Methods 15, 1090 (2018)).

Depth 2: 996,769 trainable parameters; depth 3: 4,093,985; with the probabilistic head, which
gives the scale of a Laplace distribution beside the mean, 996,802. MAE, or the Laplace
likelihood; Adam 4e-4, batches of 16, 100 × 400 steps, halved on a plateau.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from decon3d.field_types import Shape
from decon3d.networks.backend import keras, layers, tf
from decon3d.networks.kind import Network, NetworkSection, Schedule, Training, whole_model
from decon3d.networks.losses import laplace

FIRST = 32
LEAST_SCALE = 1e-3


class CareTraining(Training):
    """CARE's training."""

    steps: PositiveInt = 40_000
    batch: PositiveInt = 16
    crop: Shape = (16, 64, 64)
    learning_rate: PositiveFloat = 4e-4
    schedule: Schedule = "plateau"
    validate_every: PositiveInt = 400


class Care(NetworkSection):
    """CARE's U-Net (Weigert et al. 2018), trained on phantoms or measured pairs."""

    kind: Literal["care"]
    """CARE."""
    depth: Annotated[int, Field(ge=1, le=4)] = 2
    """Number of levels of the U-Net below the first."""
    probabilistic: bool = False
    """Whether the network also predicts the scale of a Laplace distribution for each voxel."""
    training: CareTraining = CareTraining()


def build(*, depth: int = 2, probabilistic: bool = False) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    depth
        Levels below the first.
    probabilistic
        Whether a second output channel gives the Laplace scale.

    Returns
    -------
    keras.Model
        Input (N, Z, Y, X, 1), float32, all lengths multiples of 2^depth; output with one
        channel (the mean) or two (mean and scale).
    """
    image = keras.Input((None, None, None, 1), name="image")
    x, skips = image, []
    for level in range(depth):
        channels = FIRST * 2**level
        x = _conv(f"down_{level}_2", _conv(f"down_{level}_1", x, channels), channels)
        skips.append(x)
        x = layers.MaxPooling3D(2, name=f"pool_{level}")(x)
    x = _conv("middle_1", x, FIRST * 2**depth)
    x = _conv("middle_2", x, FIRST * 2 ** (depth - 1))
    for level in reversed(range(depth)):
        up = layers.UpSampling3D(2, name=f"upsample_{level}")(x)
        x = layers.Concatenate(name=f"join_{level}")([up, skips[level]])
        x = _conv(f"up_{level}_1", x, FIRST * 2**level)
        x = _conv(f"up_{level}_2", x, FIRST * 2 ** max(0, level - 1))
    restored = layers.Add(name="restored")([layers.Conv3D(1, 1, name="head")(x), image])
    if probabilistic:
        scale = layers.Conv3D(1, 1, activation="softplus", name="scale_head")(x)
        scale = layers.Rescaling(1.0, offset=LEAST_SCALE, name="scale")(scale)
        restored = layers.Concatenate(name="mean_and_scale")([restored, scale])
    return keras.Model(image, restored, name="care")


def _conv(name: str, x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    return layers.Conv3D(channels, 3, padding="same", activation="relu", name=name)(x)


def _loss(
    restored: tf.Tensor, image: tf.Tensor, truth: tf.Tensor, method: Care
) -> dict[str, tf.Tensor]:
    if method.probabilistic:
        return {"loss": laplace(restored[..., :1], restored[..., 1:], truth)}
    return {"loss": tf.reduce_mean(tf.abs(restored - truth))}


METHOD = Network(
    settings=Care,
    label="CARE",
    text="the network CARE",
    citations=(
        "M. Weigert et al., Content-aware image restoration: pushing the limits of "
        "fluorescence microscopy, Nat. Methods 15, 1090 (2018), "
        "doi:10.1038/s41592-018-0216-7",
    ),
    build=build,
    options=lambda method: {"depth": method.depth, "probabilistic": method.probabilistic},
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(),
    bytes_per_voxel=lambda method: 800.0,
)
