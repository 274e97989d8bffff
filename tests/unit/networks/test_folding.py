"""A folded network computes what the network does, for every fold, alignment and kind."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import layers

from decon3d.networks import folding
from decon3d.networks.engines import Engine, compiled
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.layers import ChannelMean, global_means
from decon3d.networks.registry import NETWORKS
from support.small_networks import narrow

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
# Small networks whose convolutions are folded, and some that have none to fold.
OPTIONS = {
    "rln": {},
    "densedecon": {},
    "rl_residual": {"inputs": 3, "channels": 8, "biases": True},
    "care": {"depth": 1},
    "neurodecon": {},
    "rcan": {"groups": 1, "blocks": 1, "channels": 4, "reduction": 2},
}


def randomised(model):
    """Draw all weights and statistics, so that nothing is zero or one."""
    rng = np.random.default_rng(5)
    for layer in model.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.BatchNormalization):
            weights = [rng.uniform(0.5, 1.5, w.shape) for w in weights]
        elif weights and layer not in global_means(model):
            weights = [
                rng.normal(0, 1 / np.sqrt(max(w.size / w.shape[-1], 1)), w.shape) for w in weights
            ]
        layer.set_weights(weights)
    return model


def difference(model, inner, *, fixed=False):
    """Largest difference of the folded network to the network, relative to the maximum."""
    halo, _ = halo_and_stride(model)
    rng = np.random.default_rng(6)
    shape = [n + 2 * h for n, h in zip(inner, halo, strict=True)]
    batch = rng.uniform(0, 1, (1, *shape, model.input_shape[-1])).astype(np.float32)
    means = global_means(model)
    vectors = [rng.uniform(0, 1, layer.fixed.shape).astype(np.float32) for layer in means]
    for layer, vector in zip(means, vectors, strict=True):
        layer.fix(vector)
    z, y, x = (slice(h, h + n) for h, n in zip(halo, inner, strict=True))
    expected = model(batch, training=False).numpy()[:, z, y, x]
    result = compiled(model, halo=halo, vectors=vectors, engine=Engine("openvino"))(batch)
    assert result.shape == expected.shape
    return np.abs(result - expected).max() / np.abs(expected).max()


def never_as_it_is(monkeypatch):
    def fail(self, shape):
        raise AssertionError("the network was not folded")

    monkeypatch.setattr("decon3d.networks.engines._OpenVino._as_it_is", fail)


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_kind_of_network_is_folded_exactly(kind, monkeypatch):
    assert set(OPTIONS) == set(NETWORKS)
    never_as_it_is(monkeypatch)
    model = NETWORKS[kind].build(**OPTIONS[kind])
    model = randomised(narrow(model, 8) if kind in ("care", "neurodecon") else model)
    _, stride = halo_and_stride(model)
    # Lengths that are no multiples of a cell, where the network's stride allows it.
    inner = tuple(s * odd for s, odd in zip(stride, (3, 5, 1), strict=True))
    assert difference(model, inner) < 1e-5


@pytest.mark.parametrize("fold", folding.FOLDS)
def test_every_fold_of_a_network_of_all_connections_is_exact(fold, monkeypatch):
    """Kernels of even length, parts that begin at different voxels, both kinds of up-sampling."""
    never_as_it_is(monkeypatch)
    monkeypatch.setattr(folding, "FOLDS", (fold,))
    image = keras.Input((None, None, None, 2))
    first = layers.Conv3D(3, (4, 3, 2), padding="same", activation="relu")(image)
    second = layers.Conv3D(2, 3, padding="same", activation="softplus")(first)
    half = layers.Conv3D(4, 2, strides=2)(second)
    pooled = layers.Conv3D(3, 3, padding="same")(layers.MaxPooling3D((2, 2, 2))(first))
    coarse = layers.Concatenate()([half, pooled])
    up = layers.UpSampling3D(2)(layers.Conv3D(3, (1, 3, 3), padding="same")(coarse))
    across = layers.Conv3DTranspose(2, 2, strides=2)(pooled)
    last = layers.Conv3D(4, 3, padding="same")(
        layers.Concatenate()([first, up, second, image, across])
    )
    mean = layers.Add()([ChannelMean()(last), ChannelMean()(across)])
    both = layers.Concatenate()([mean, layers.Conv3D(2, 3, padding="same")(up)])
    model = randomised(keras.Model(image, both))
    assert difference(model, (6, 2, 10)) < 1e-5


def test_a_network_with_an_unknown_operation_is_computed_as_it_is(caplog):
    image = keras.Input((None, None, None, 1))
    x = layers.Conv3D(4, 3, padding="same", activation="tanh")(image)
    model = randomised(keras.Model(image, layers.Conv3D(1, 3, padding="same")(x)))
    with caplog.at_level("INFO", logger="decon3d"):
        assert difference(model, (3, 5, 7)) < 1e-5
    assert "not folded" in caplog.text and "tanh" in caplog.text


@pytest.mark.parametrize(
    ("lanes", "folds"),
    [
        (16, {4: (1, 2, 2), 8: (1, 1, 2), 16: (1, 1, 1), 32: (1, 1, 1)}),
        (8, {4: (1, 1, 2), 8: (1, 1, 1), 16: (1, 1, 1), 32: (1, 1, 1)}),
    ],
)
def test_few_channels_are_folded_to_what_the_processor_computes_at_a_time(
    lanes, folds, monkeypatch
):
    monkeypatch.setattr(folding, "LANES", lanes)
    part = folding.Folded(None, 8, (1, 1, 1), (0, 0, 0), (8, 8, 8))
    chosen = {c: folding._choose_fold(c, (3, 3, 3), (1, 1, 1), [part]) for c in folds}
    assert chosen == folds
