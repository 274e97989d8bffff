"""3D-RCAN, the residual channel attention network (Chen et al., Nat. Methods 18, 678 (2021)).

Trainable parameters with 32 channels and reduction 8, groups × blocks: 5 × 3 (default)
1,002,621; 3 × 3 613,349; 2 × 3 418,713; 5 × 5 1,559,141. MAE or MSE; Adam 1e-4, halved every
quarter of the training; patches 16 × 256 × 256.

Each channel attention pools over the whole block, so that a published, tiled restoration
depends on the tile. `GlobalMean` therefore can be given fixed vectors (calibrated attention).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from decon3d.field_types import Shape
from decon3d.networks.backend import keras, layers, own_layers, tf
from decon3d.networks.kind import Network, NetworkSection, Schedule, Training, whole_model


class RcanTraining(Training):
    """3D-RCAN's training."""

    steps: PositiveInt = 76_800
    """Optimiser steps; the default is 300 epochs of 256 steps."""
    batch: PositiveInt = 1
    crop: Shape = (16, 256, 256)
    learning_rate: PositiveFloat = 1e-4
    schedule: Schedule = "quarters"
    validate_every: PositiveInt = 256


class Rcan(NetworkSection):
    """3D-RCAN (Chen et al. 2021), trained on phantoms or measured pairs."""

    kind: Literal["rcan"]
    """3D-RCAN."""
    groups: PositiveInt = 5
    """Residual groups."""
    blocks: PositiveInt = 3
    """Residual blocks per group."""
    channels: Annotated[PositiveInt, Field(examples=[32])] = 32
    """Channels of every convolution."""
    reduction: PositiveInt = 8
    """Factor by which the channel attention reduces the number of channels."""
    residual_scaling: PositiveFloat = 1.0
    """Weight of a block's residual."""
    loss: Literal["mae", "mse"] = "mae"
    """Mean absolute or mean squared error."""
    attention: Literal["calibrated", "per_block"] = "calibrated"
    """`calibrated`: the channel means of the attention are computed once, from a sample of the
    data, so that the result does not depend on the blocks. `per_block`: they are computed for each
    block, as published."""
    training: RcanTraining = RcanTraining()


def build(
    *,
    groups: int = 5,
    blocks: int = 3,
    channels: int = 32,
    reduction: int = 8,
    residual_scaling: float = 1.0,
) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    groups, blocks
        Residual groups, and residual blocks in each. A single group has no convolution and no
        skip of its own.
    channels
        Of every convolution but the last.
    reduction
        Factor by which the attention reduces the channels.
    residual_scaling
        Weight of a block's residual.

    Returns
    -------
    keras.Model
        Input and output (N, Z, Y, X, 1), float32, network units.
    """
    image = keras.Input((None, None, None, 1), name="image")
    x = layers.Rescaling(2.0, offset=-1.0, name="centred")(image)
    long = x = _conv("first", x, channels)
    for g in range(groups):
        short = x
        for b in range(blocks):
            x = _block(f"g{g}_b{b}", x, channels, reduction, residual_scaling)
        if groups > 1:
            x = layers.Add(name=f"g{g}_add")([_conv(f"g{g}", x, channels), short])
    x = layers.Add(name="long_add")([_conv("long", x, channels), long])
    restored = layers.Rescaling(0.5, offset=0.5, name="restored")(_conv("last", x, 1))
    return keras.Model(image, restored, name="rcan")


def _block(
    name: str, x: keras.KerasTensor, channels: int, reduction: int, scaling: float
) -> keras.KerasTensor:
    """Residual block with channel attention."""
    y = layers.ReLU(name=f"{name}_relu")(_conv(f"{name}_1", x, channels))
    y = _conv(f"{name}_2", y, channels)
    weights = own_layers.GlobalMean(name=f"{name}_pooled")(y)
    weights = layers.Conv3D(channels // reduction, 1, activation="relu", name=f"{name}_narrow")(
        weights
    )
    weights = layers.Conv3D(channels, 1, activation="sigmoid", name=f"{name}_attention")(weights)
    y = layers.Multiply(name=f"{name}_weighted")([y, weights])
    if scaling != 1:
        y = layers.Rescaling(scaling, name=f"{name}_scaled")(y)
    return layers.Add(name=f"{name}_add")([y, x])


def _conv(name: str, x: keras.KerasTensor, channels: int) -> keras.KerasTensor:
    return layers.Conv3D(channels, 3, padding="same", name=name)(x)


def _loss(
    restored: tf.Tensor, image: tf.Tensor, truth: tf.Tensor, method: Rcan
) -> dict[str, tf.Tensor]:
    error = restored - truth
    return {"loss": tf.reduce_mean(tf.abs(error) if method.loss == "mae" else tf.square(error))}


def _options(method: Rcan) -> dict[str, float]:
    names = ("groups", "blocks", "channels", "reduction", "residual_scaling")
    return {name: getattr(method, name) for name in names}


METHOD = Network(
    settings=Rcan,
    label="RCAN",
    text="the network RCAN",
    citations=(
        "J. Chen et al., Three-dimensional residual channel attention networks denoise and "
        "sharpen fluorescence microscopy image volumes, Nat. Methods 18, 678 (2021), "
        "doi:10.1038/s41592-021-01155-x",
    ),
    build=build,
    options=_options,
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(),
    bytes_per_voxel=lambda method: 1000.0,
)
