"""A step: in mixed precision, with a clipped gradient, and split over two devices."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from decon3d.errors import UserError
from decon3d.networks.kinds.rln import Rln, RlnTraining
from decon3d.networks.layers import BatchNorm, ChannelMean, GlobalMean
from decon3d.networks.losses import global_ssim, hessian
from decon3d.networks.registry import network
from decon3d.training.schedules import Rate
from decon3d.training.state import State
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


def test_two_devices_are_as_one():
    code = "import sys; sys.path[:0] = sys.argv[1:]; import test_training_step as test; "
    paths = [str(Path(__file__).parent), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", code + "test.compare_devices()", *paths],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    of_losses, of_weights = map(float, done.stdout.split()[-2:])
    assert of_losses < 1e-5
    assert of_weights < 1e-4


def test_a_batch_must_be_split_evenly():
    with pytest.raises(UserError, match="batch of 4 crops cannot be split evenly over 3 GPUs"):
        step_of(build(), devices=("GPU:0", "GPU:1", "GPU:2"))


def test_mixed_precision_trains_float32_weights():
    model, plain = build(), build()
    step = step_of(model, mixed=True)
    dtypes = {layer.name: layer.compute_dtype for layer in step.trained.layers}
    assert (dtypes["conv"], dtypes["norm"], dtypes["restored"]) == ("float16", "float16", "float32")
    assert {w.dtype for w in step.trained.weights} == {"float32"}
    mixed, exact = losses(step, 12), losses(step_of(plain), 12)
    for a, b in zip(mixed, exact, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=0.02)
    assert mixed[0] != exact[0]
    step.bring_back()
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    for ours, theirs in zip(model.get_weights(), step.trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_gradient_beyond_float16_is_left_out_and_the_scale_resumed(tmp_path):
    model = build()
    step = step_of(model, mixed=True)
    before = model.get_weights()[0]
    step.optimizer.dynamic_scale.assign(1e9)
    step(*batches(1)[0])
    np.testing.assert_array_equal(step.trained.get_weights()[0], before)
    assert float(step.optimizer.dynamic_scale) == 5e8

    rate = Rate(RlnTraining())
    State(step.trained, step.optimizer, rate, tmp_path, "key").save()
    other = step_of(build(), mixed=True)
    assert State(other.trained, other.optimizer, rate, tmp_path, "key").resume()
    assert float(other.optimizer.dynamic_scale) == 5e8
    other.optimizer.dynamic_scale.assign(2.0**10)
    step.optimizer.dynamic_scale.assign(2.0**10)
    assert losses(other, 3) == losses(step, 3)


@pytest.mark.parametrize("mixed", [False, True])
def test_the_norm_of_the_gradient_is_clipped(mixed):
    model = build()
    before = [w.numpy() for w in model.trainable_weights]
    optimizer = keras.optimizers.SGD()
    step = step_of(model, rate=1.0, clip=0.01, optimizer=optimizer, mixed=mixed)
    step(*batches(1)[0])
    after = [w.numpy() for w in step.trained.trainable_weights]
    moved = sum(np.sum((a - b) ** 2) for a, b in zip(after, before, strict=True)) ** 0.5
    assert moved == pytest.approx(0.01, rel=1e-3)
