"""Every network is the published one: its number of parameters, and how far it looks."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from skimage.metrics import structural_similarity

from decon3d.networks.bundle import Predictor, calibrate
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kinds import care, neurodecon, rcan
from decon3d.networks.losses import hessian, laplace, windowed_ssim

CASES = {
    "neurodecon": (lambda: neurodecon.build(), 1_509_331, (17, 56, 56), (1, 8, 8)),
    "neurodecon_large": (lambda: neurodecon.build(large=True), 6_058_690, (19, 56, 56), (1, 8, 8)),
    "rcan 5x3": (lambda: rcan.build(), 1_002_621, (38,) * 3, (1,) * 3),
    "rcan 3x3": (lambda: rcan.build(groups=3), 613_349, (24,) * 3, (1,) * 3),
    "rcan 2x3": (lambda: rcan.build(groups=2), 418_713, (17,) * 3, (1,) * 3),
    "rcan 5x5": (lambda: rcan.build(blocks=5), 1_559_141, (58,) * 3, (1,) * 3),
    "care": (lambda: care.build(), 996_769, (24,) * 3, (4,) * 3),
    "care depth 3": (lambda: care.build(depth=3), 4_093_985, (56,) * 3, (8,) * 3),
    "care probabilistic": (lambda: care.build(probabilistic=True), 996_802, (24,) * 3, (4,) * 3),
}


@pytest.mark.parametrize("name", CASES)
def test_parameters_halo_and_stride(name):
    build, parameters, halo, stride = CASES[name]
    model = build()
    assert sum(math.prod(w.shape) for w in model.trainable_weights) == parameters
    assert halo_and_stride(model) == (halo, stride)


def measured_reach(model, axis, stride, length):
    """How far a changed voxel changes the output along an axis, over all phases."""
    shape = [max(stride)] * 3 if max(stride) > 1 else [1] * 3
    shape[axis] = length
    image = np.random.default_rng(axis).uniform(0, 1, (1, *shape, 1)).astype(np.float32)
    before = model(image, training=False).numpy()[0]
    reaches = []
    for phase in range(stride[axis]):
        place = length // 2 + phase
        changed = image.copy()
        np.moveaxis(changed[0], axis, 0)[place] += 3
        moved = model(changed, training=False).numpy()[0] != before
        where = np.flatnonzero(np.moveaxis(moved, axis, 0).any(axis=(1, 2, 3)))
        reaches.append(np.abs(where - place).max())
    return max(reaches)


@pytest.mark.parametrize(
    ("build", "axis", "reach"),
    [
        (lambda: care.build(), 0, 23),
        (lambda: neurodecon.build(), 0, 17),
        (lambda: neurodecon.build(), 2, 54),
        (lambda: rcan.build(groups=2, blocks=1, channels=8), 1, 9),
    ],
    ids=["care", "neurodecon z", "neurodecon x", "rcan"],
)
def test_no_voxel_beyond_the_halo_matters_and_one_at_the_reach_does(build, axis, reach):
    tf.keras.utils.set_random_seed(0)
    model = build()
    for layer in model.layers:
        if hasattr(layer, "fix"):
            layer.fix(np.full(layer.fixed.shape, 0.1))
    halo, stride = halo_and_stride(model)
    assert measured_reach(model, axis, stride, 32 * -(-4 * reach // 32)) == reach
    assert halo[axis] == -(-reach // stride[axis]) * stride[axis]


def test_fixed_attention_makes_rcan_independent_of_the_cut():
    tf.keras.utils.set_random_seed(1)
    model = rcan.build(groups=1, blocks=2, channels=8, reduction=1)
    halo, _ = halo_and_stride(model)
    image = np.random.default_rng(0).uniform(0, 1, (1, 4, 4, 64, 1)).astype(np.float32)
    cut = slice(0, 32 + halo[2])

    def worst():
        whole = model(image, training=False).numpy()[:, :, :, :32]
        part = model(image[:, :, :, cut], training=False).numpy()[:, :, :, :32]
        return np.abs(whole - part).max() / np.abs(whole).max()

    assert worst() > 1e-5
    for layer in model.layers:
        if hasattr(layer, "fix"):
            layer.fix(np.linspace(-0.1, 0.1, layer.fixed.shape[0]))
    assert worst() < 1e-6


def test_hessian_of_a_paraboloid():
    z, y, x = np.meshgrid(*[np.arange(8.0)] * 3, indexing="ij")
    values = (z**2 + 0.5 * y**2 + 2 * y * x)[None, ..., None].astype(np.float32)
    expected = math.sqrt(2**2 + 1**2 + 2 * 2**2 + 2.5e-5)
    assert float(hessian(tf.constant(values))) == pytest.approx(expected, rel=1e-5)


def test_windowed_ssim_is_scikit_images():
    rng = np.random.default_rng(0)
    a = rng.uniform(0, 1, (13, 15, 14)).astype(np.float32)
    b = (0.7 * a + 0.3 * rng.uniform(0, 1, a.shape)).astype(np.float32)
    _, full = structural_similarity(
        a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    ours = windowed_ssim(*(tf.constant(v[None, ..., None]) for v in (a, b)))
    assert float(ours) == pytest.approx(full[5:-5, 5:-5, 5:-5].mean(), abs=1e-4)


def test_laplace_of_known_values():
    value = laplace(tf.constant([1.0, 2.0]), tf.constant([0.5, 2.0]), tf.constant([2.0, 2.0]))
    expected = (2 + math.log(0.5) + math.log(2.0)) / 2 + math.log(2.0)
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_calibration_averages_what_the_blocks_show():
    tf.keras.utils.set_random_seed(2)
    model = rcan.build(groups=1, blocks=1, channels=4, reduction=1)
    about = SimpleNamespace(halo=halo_and_stride(model)[0], stride=(1, 1, 1))
    rng = np.random.default_rng(0)
    blocks = [rng.uniform(0, 1, (4, 6, n)).astype(np.float32) for n in (8, 10)]
    seen = tf.keras.Model(model.input, model.get_layer("g0_b0_pooled").input)
    expected = np.mean([np.mean(seen(b[None, ..., None]), (0, 1, 2, 3)) for b in blocks], axis=0)
    vectors = calibrate(model, about.stride, blocks)
    assert vectors[0] == pytest.approx(expected, rel=1e-5)
    block = np.pad(blocks[0], about.halo[0], mode="symmetric")
    averaged, fixed = (Predictor(model, about, vectors=v).predict(block) for v in ((), vectors))
    z, y, x = (slice(h, -h) for h in about.halo)
    whole = model(block[None, ..., None], training=False).numpy()[0, z, y, x, 0]
    assert np.abs(averaged - whole).max() < 1e-5 * np.abs(whole).max()
    assert np.abs(fixed - averaged).max() > 1e-6
