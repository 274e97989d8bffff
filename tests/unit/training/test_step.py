"""A step: in mixed precision, with a clipped gradient, and split over two devices."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from decon3d.errors import UserError
from decon3d.networks.kinds.rln import RlnTraining
from decon3d.training.schedules import Rate
from decon3d.training.state import TrainingState
from support.training_steps import batches, build, losses, step_of


def test_two_devices_are_as_one():
    code = "from support.training_steps import compare_devices; compare_devices()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
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
    TrainingState(step.trained, step.optimizer, rate, tmp_path, "key").save()
    other = step_of(build(), mixed=True)
    assert TrainingState(other.trained, other.optimizer, rate, tmp_path, "key").resume()
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
