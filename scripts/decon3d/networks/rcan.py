"""3D-RCAN, the residual channel attention network (Chen et al., Nat. Methods 18, 678 (2021)).

Trainable parameters with 32 channels and reduction 8, groups × blocks: 5 × 3 (default)
1,002,621; 3 × 3 613,349; 2 × 3 418,713; 5 × 5 1,559,141. MAE or MSE; Adam 1e-4, halved every
quarter of the training; patches 16 × 256 × 256.

Each channel attention pools over the whole block, so that a published, tiled restoration
depends on the tile. `GlobalMean` therefore can be given fixed vectors (calibrated attention).
"""

import keras
import tensorflow as tf
from keras import layers

from decon3d.networks.layers import GlobalMean
from decon3d.networks.registry import Network, whole_model
from decon3d.settings import Rcan


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
    weights = GlobalMean(name=f"{name}_pooled")(y)
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


NETWORK = Network(
    build=build,
    options=_options,
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(),
    bytes_per_voxel=lambda method: 1000.0,
)
