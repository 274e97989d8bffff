"""A network that learns what Richardson-Lucy leaves undone: this project's own.

It sees the image and Richardson-Lucy estimates of it with the known PSF, and corrects the last of
them. A small U-Net of two levels, 3 × 3 × 3 convolutions, ReLU, average pooling, nearest
up-sampling. With 12 and 24 channels, biases and three input channels it has 63,637 parameters. Its
last convolution starts at zero, so that it starts as the last estimate itself.
Without biases it has 63,504, and is homogeneous: whatever counts became 1, the restored counts are
the same.
"""

import keras
import tensorflow as tf
from keras import layers

from decon3d.networks.description import Estimate
from decon3d.networks.layers import LastChannel
from decon3d.networks.registry import Network, whole_model
from decon3d.settings import RlResidual

LEAST_SQUARE = 1e-4
"""Mean square of a crop's truth, in network units, below which it counts as that."""


def build(*, inputs: int = 3, channels: int = 12, biases: bool = False) -> keras.Model:
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
                activation="relu",
                use_bias=biases,
                name=f"{name}_{i + 1}",
            )(x)
        return x

    fine = stage("fine", seen, channels, 2)
    coarse = stage("coarse", layers.AveragePooling3D(2, name="pool")(fine), 2 * channels, 3)
    up = layers.UpSampling3D(2, name="upsample")(coarse)
    x = stage("merged", layers.Concatenate(name="join")([up, fine]), channels, 3)
    residual = layers.Conv3D(
        1, 3, padding="same", use_bias=biases, kernel_initializer="zeros", name="residual"
    )(x)
    restored = layers.Add(name="corrected")([LastChannel(name="estimate")(seen), residual])
    # An object has no negative light; the estimates are ≥ 0, so that the start is untouched.
    return keras.Model(seen, layers.ReLU(name="restored")(restored), name="rl_residual")


def _estimates(method: RlResidual) -> tuple[Estimate, ...]:
    return tuple(Estimate(e.iterations, e.tv_weight) for e in method.estimates)


def _options(method: RlResidual) -> dict[str, int]:
    inputs = 1 + sum(len(estimate.iterations) for estimate in method.estimates)
    return {"inputs": inputs, "channels": method.channels, "biases": method.biases}


def _loss(
    restored: tf.Tensor, image: tf.Tensor, truth: tf.Tensor, method: RlResidual
) -> dict[str, tf.Tensor]:
    """Squared error of each crop relative to the mean square of its truth: dim crops count."""
    axes = (1, 2, 3, 4)
    error = tf.reduce_mean(tf.square(restored - truth), axes)
    square = tf.maximum(tf.reduce_mean(tf.square(truth), axes), LEAST_SQUARE)
    return {"loss": tf.reduce_mean(error / square)}


NETWORK = Network(
    build=build,
    options=_options,
    training_model=whole_model,
    loss=_loss,
    optimizer=lambda method: keras.optimizers.Adam(),
    # 40 per channel were measured; what it sees is mirrored at the block's faces on top.
    bytes_per_voxel=lambda method: 60.0 * method.channels,
    estimates=_estimates,
)
