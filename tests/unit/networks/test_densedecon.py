"""DenseDeconNet: the published size, its reach, its loss, and that it learns."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from decon3d.networks.bundle import Predictor, load_bundle
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kinds.densedecon import METHOD, DenseDecon, build
from decon3d.training.step import Step
from support.small_networks import write

CONVOLUTIONS = 16_712
NORMALISED_CHANNELS = 74


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    model = build()
    rng = np.random.default_rng(2)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.gamma.shape
            layer.set_weights(
                [rng.uniform(*r, shape) for r in ((0.5, 1), (0, 0.3), (0, 0.3), (0.5, 2))]
            )
    return model


def test_it_has_the_published_parameters_and_a_reach_of_its_own(model):
    kernels = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == 14 and all(not layer.use_bias for layer in kernels)
    trainable = sum(math.prod(w.shape) for w in model.trainable_weights)
    assert trainable == CONVOLUTIONS + 2 * NORMALISED_CHANNELS == 16_860
    # 4 + 1 convolutions of 3³ at full resolution reach 5, 7 at half reach 14, the half voxel 1
    assert halo_and_stride(model) == ((20, 20, 20), (2, 2, 2))


def test_a_block_is_the_whole_image_but_for_its_halo(model, tmp_path):
    write(tmp_path, model, "densedecon")
    loaded, info = load_bundle(tmp_path)
    image = np.random.default_rng(3).uniform(0, 1, (44, 44, 96)).astype(np.float32)
    whole = model(image[None, ..., None], training=False).numpy()[0, ..., 0]
    predictor = Predictor(loaded, info)
    inner = np.s_[20:24, 20:24]
    for start in (0, 26, 52):
        block = predictor.predict(image[:, :, start : start + 44])
        place = slice(start + 20, start + 24)
        assert np.abs(block - whole[inner][..., place]).max() < 1e-5


def test_the_loss_is_the_published_one():
    rng = np.random.default_rng(4)
    truth, restored = (rng.uniform(0, 1, (1, 6, 6, 6, 1)).astype(np.float32) for _ in range(2))
    parts = METHOD.loss(tf.constant(restored), None, tf.constant(truth), None)
    a, b = restored.astype(float), truth.astype(float)
    covariance = np.mean((a - a.mean()) * (b - b.mean()))
    ssim = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
    ssim /= (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4)
    expected = np.mean((a - b) ** 2) - np.log((1 + ssim) / 2) - 1.3 * a.min()
    assert float(parts["loss"]) == pytest.approx(expected, rel=1e-4)


def test_it_learns_and_its_rate_is_the_published_one():
    keras.utils.set_random_seed(5)
    method = DenseDecon(kind="densedecon", training={"batch": 2, "crop": (8, 16, 16)})
    training = method.training
    assert (training.schedule, training.learning_rate) == ("exponential", 0.04)
    assert (training.decay_rate, training.decay_steps) == (0.98, 150)
    step = Step(build(), METHOD, method, crop=training.crop)
    step.optimizer.learning_rate = 0.01
    rng = np.random.default_rng(6)
    truth = rng.uniform(0, 1, (2, 8, 16, 16, 1)).astype(np.float32) ** 4
    losses = [float(step(0.5 * truth + 0.1, truth)["mse"]) for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
