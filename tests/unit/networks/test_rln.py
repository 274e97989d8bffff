"""RLN is the published network: counts, checkpoint, gradients, reach."""

import numpy as np
import pytest
import tensorflow as tf

from decon3d.errors import UserError
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kinds import rln
from decon3d.networks.layers import BatchNorm, Product, Ratio
from decon3d.networks.registry import network


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(3)
    return rln.build()


def size(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


def test_parameter_counts(model):
    assert size(model.trainable_weights) == 15_968
    assert size(model.non_trainable_weights) == 160
    assert size(w for w in model.trainable_weights if w.name == "kernel") == 15_808


def test_published_checkpoint_gives_the_published_output(reference_data):
    folder = reference_data / "rln_checkpoint"
    pair = np.load(folder / "reference.npz")
    output = rln.load_published(folder)(pair["input"][:1, ..., None], training=False)
    error = np.abs(output.numpy()[..., 0] - pair["output"][:1]).max()
    assert error <= 1e-5 * pair["output"].max()


def test_no_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"model\.ckpt\.index"):
        rln.load_published(tmp_path)


def test_forward_projectors_start_as_gaussians(model):
    kernel = model.get_layer("e_2").get_weights()[0]
    centre = kernel[1, 1, 1]
    assert np.all((centre >= 0.7) & (centre <= 1))
    assert np.ptp(centre, axis=1).max() < 1e-6  # one scale per input channel
    ratio = kernel[1, 1, 0] / centre
    np.testing.assert_allclose(ratio[0], np.exp(-0.5 / np.square([4, 1, 2, 3])), rtol=1e-5)


@pytest.mark.parametrize("gradients", ["straight_through", "exact"])
def test_gradients(gradients):
    a, b = tf.Variable(6.0), tf.Variable(2.0)
    with tf.GradientTape(persistent=True) as tape:
        m = Ratio(epsilon=1.0, gradients=gradients)([a, b])
        p = Product(gradients=gradients)([a, b])
    assert (float(m), float(p)) == (2, 12)
    ratio = [float(g) for g in tape.gradient(m, [a, b])]
    product = [float(g) for g in tape.gradient(p, [a, b])]
    if gradients == "exact":
        np.testing.assert_allclose((ratio, product), ([1 / 3, -2 / 3], [2, 6]), rtol=1e-6)
    else:
        assert (ratio, product) == ([1, -4], [1, 6])


def test_ratio_is_zero_where_the_denominator_is():
    ratio = Ratio(epsilon=1.0, gradients="exact")([tf.constant([6.0]), tf.constant([-1.0])])
    assert float(ratio[0]) == 0


def test_batch_norm_is_keras_own():
    x = np.random.default_rng(0).normal(3, 2, (2, 4, 6, 8, 3)).astype(np.float32)
    ours, keras_own = BatchNorm(momentum=0.9), tf.keras.layers.BatchNormalization(momentum=0.9)
    gradients = []
    for norm in (ours, keras_own):
        norm.build(x.shape)
        with tf.GradientTape() as tape:
            tape.watch(image := tf.constant(x))
            loss = tf.reduce_sum(norm(image, training=True) ** 3)
        gradients.append(tape.gradient(loss, [image, *norm.trainable_weights]))
    for a, b in zip(*gradients, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)
    # The fused kernel's variance is the unbiased one: 1/384 more.
    for a, b in zip(ours.get_weights(), keras_own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3)
    np.testing.assert_allclose(ours(x), keras_own(x), rtol=1e-2, atol=1e-2)


def test_halo_is_the_measured_reach(model):
    halo, stride = halo_and_stride(model)
    assert (halo, stride) == ((18, 18, 18), (2, 2, 2))
    free = tf.TensorSpec((1, None, None, None, 1))
    restore = tf.function(lambda x: model(x, training=False), input_signature=[free])
    for axis in range(3):
        shape = [4, 4, 4]
        shape[axis] = 48
        image = np.random.default_rng(axis).uniform(0, 1, (1, *shape, 1)).astype(np.float32)
        before = restore(image).numpy()[0, ..., 0]
        reaches = []
        for place in (22, 23):  # both phases of the stride
            changed = image.copy()
            np.moveaxis(changed[0, ..., 0], axis, 0)[place] += 3
            moved = restore(changed).numpy()[0, ..., 0] != before
            where = np.flatnonzero(np.moveaxis(moved, axis, 0).any(axis=(1, 2)))
            reaches.append(np.abs(where - place).max())
        assert max(reaches) == 17


def test_unknown_network():
    with pytest.raises(UserError, match="Unknown network kind 'layers'"):
        network("layers")
    with pytest.raises(UserError, match="Unknown network kind 'nothing'"):
        network("nothing")
