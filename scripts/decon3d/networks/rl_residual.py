"""A network that learns what Richardson-Lucy leaves undone: this project's own.

It sees the image and Richardson-Lucy estimates of it with the known PSF, and corrects the last of
them. A small U-Net of two levels, 3 × 3 × 3 convolutions, ReLU, average pooling, nearest
up-sampling. With 12 and 24 channels and three input channels it has 63,637 parameters. Its last
convolution starts at zero, so that it starts as the last estimate itself.
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


def build(*, inputs: int = 3, channels: int = 12) -> keras.Model:
    """Build the network.

    Parameters
    ----------
    inputs
        Input channels: the image and the estimates.
    channels
        Of the convolutions at full resolution; twice as many at half.

    Returns
    -------
    keras.Model
        Input (N, Z, Y, X, inputs), float32, all lengths even; output with one channel, ≥ 0.
    """
    seen = keras.Input((None, None, None, inputs), name="image_and_estimates")
    fine = _stage("down", seen, channels, convolutions=2)
    coarse = layers.AveragePooling3D(2, name="pool")(fine)
    coarse = _stage("coarse", coarse, 2 * channels, convolutions=3)
    up = layers.UpSampling3D(2, name="upsample")(coarse)
    x = layers.Concatenate(name="join")([up, fine])
    x = _stage("up", x, channels, convolutions=3)
    residual = layers.Conv3D(1, 3, padding="same", kernel_initializer="zeros", name="residual")(x)
    restored = layers.Add(name="corrected")([LastChannel(name="estimate")(seen), residual])
    # An object has no negative light; the estimates are ≥ 0, so that the start is untouched.
    return keras.Model(seen, layers.ReLU(name="restored")(restored), name="rl_residual")


def _stage(
    name: str, x: keras.KerasTensor, channels: int, *, convolutions: int
) -> keras.KerasTensor:
    for i in range(convolutions):
        conv = layers.Conv3D(channels, 3, padding="same", activation="relu", name=f"{name}_{i + 1}")
        x = conv(x)
    return x


def _estimates(method: RlResidual) -> tuple[Estimate, ...]:
    estimates = [Estimate(method.iterations)] if method.iterations else []
    if method.tv_weight:
        estimates.append(Estimate(method.tv_iterations, method.tv_weight))
    return tuple(estimates)


def _options(method: RlResidual) -> dict[str, int]:
    inputs = 1 + sum(len(estimate.iterations) for estimate in _estimates(method))
    return {"inputs": inputs, "channels": method.channels}


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
    bytes_per_voxel=lambda method: 400.0,
    estimates=_estimates,
)
