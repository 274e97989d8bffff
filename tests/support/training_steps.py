"""Single training steps of a small network, on one device and on two."""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from decon3d.networks.kinds.rln import Rln, RlnTraining
from decon3d.networks.layers import BatchNorm, ChannelMean, GlobalMean
from decon3d.networks.losses import global_ssim, hessian
from decon3d.networks.registry import network
from decon3d.training.step import Step

CROP = (4, 6, 6)


def build():
    """Return a small network with all that a shared batch and float16 make difficult."""
    keras.utils.set_random_seed(3)
    image = keras.Input((None, None, None, 1))
    x = keras.layers.Conv3D(4, 3, padding="same", use_bias=False, name="conv")(image)
    x = BatchNorm(name="norm")(x)
    x = keras.layers.Multiply()([x, GlobalMean(name="pooled")(keras.layers.ReLU()(x))])
    return keras.Model(image, ChannelMean(name="restored")(x))


def loss(restored, image, truth, method):
    parts = {
        "ssim": -tf.math.log((1 + global_ssim(restored, truth)) / 2),
        "hessian": hessian(restored),
        "mae": tf.reduce_mean(tf.abs(restored - truth)),
    }
    return {"loss": tf.add_n(list(parts.values())), **parts}


def step_of(model, *, rate=0.01, clip=None, optimizer=None, **options):
    definition = replace(network("rln"), training_model=lambda model: model, loss=loss)
    if optimizer:
        definition = replace(definition, optimizer=lambda method: optimizer)
    method = Rln(kind="rln", training=RlnTraining(batch=4, gradient_clip=clip))
    step = Step(model, definition, method, crop=CROP, **options)
    step.optimizer.learning_rate = rate
    return step


def batches(count):
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 1, (count, 4, *CROP, 1)).astype(np.float32)
    return [(image, image**2) for image in images]


def losses(step, count):
    return [{k: float(v) for k, v in step(*batch).items()} for batch in batches(count)]


def compare_devices():
    """Print the largest differences between one device and two: losses, then weights."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    runs = []
    for devices in ((), ("CPU:0", "CPU:1")):
        model = build()
        step = step_of(model, clip=0.05, devices=devices)
        values = [list(parts.values()) for parts in losses(step, 8)]
        step.bring_back()
        runs.append((np.array(values), np.concatenate([w.ravel() for w in model.get_weights()])))
    (one, weights), (two, weights_two) = runs
    assert one[0, 0] > one[-1, 0]
    print(np.abs(one - two).max(), np.abs(weights - weights_two).max())
