"""An engine computes what the network is, whatever it makes of its graph."""

import ctypes
import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from decon3d.errors import DeviceMemoryError, UserError
from decon3d.networks import engines
from decon3d.networks.bundle import Predictor, calibrate
from decon3d.networks.engines import Engine, choose_engine
from decon3d.networks.inference import inference_function
from decon3d.networks.kinds import rln
from decon3d.networks.layers import global_means
from support.small_networks import BUILD, small

BLOCK = np.random.default_rng(3).uniform(0, 1, (16, 32, 24)).astype(np.float32)
ENGINES = [
    Engine(),
    Engine("openvino"),
    Engine("tensorflow", "bfloat16"),
    Engine("openvino", "bfloat16"),
]
openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


def info(model):
    from decon3d.networks.geometry import halo_and_stride

    halo, stride = halo_and_stride(model)
    return SimpleNamespace(halo=halo, stride=stride)


@pytest.fixture(scope="module")
def networks():
    return {kind: small(kind) for kind in BUILD}


def around(block, model):
    """A block and its halo, mirrored."""
    return np.pad(block, [(h, h) for h in info(model).halo], mode="symmetric")


def restored(model, engine, block=BLOCK):
    """A predictor, and what the network itself makes of the block in its halo."""
    vectors = calibrate(model, info(model).stride, [block]) if global_means(model) else []
    try:
        predictor = Predictor(model, info(model), vectors=vectors, engine=engine, threads=1)
    except UserError as error:  # no bfloat16 here
        pytest.skip(str(error))
    whole = exact(model, vectors, around(block, model))
    inner = tuple(slice(h, h + n) for h, n in zip(predictor.halo, block.shape, strict=True))
    return predictor, whole[inner]


def exact(model, vectors, block):
    for layer, vector in zip(global_means(model), vectors, strict=True):
        layer.fix(vector)
    return model(block[None, ..., None], training=False).numpy()[0, ..., 0]


def cases(precision):
    return [
        pytest.param(e, marks=[openvino] if e.name == "openvino" else [], id=e.name)
        for e in ENGINES
        if e.precision == precision
    ]


@pytest.mark.parametrize("kind", BUILD)
@pytest.mark.parametrize("engine", cases("float32"))
def test_an_engine_moves_no_voxel_by_more_than_rounding(networks, kind, engine):
    predictor, expected = restored(networks[kind], engine)
    block = around(BLOCK, networks[kind])
    result = predictor.predict(block)
    assert np.abs(result - expected).max() <= 1e-5 * np.abs(expected).max()
    # Another shape, and back again.
    assert predictor.predict(around(BLOCK[:8], networks[kind])).shape == (8, 32, 24)
    assert np.array_equal(predictor.predict(block), result)


@pytest.mark.parametrize("engine", cases("bfloat16"))
def test_bfloat16_moves_the_published_network_a_little(reference_data, engine):
    folder = reference_data / "rln_checkpoint"
    block = np.load(folder / "reference.npz")["input"][0]
    predictor, expected = restored(rln.load_published(folder), engine, block)
    block = around(block, rln.load_published(folder))
    error = (predictor.predict(block) - expected) / expected.max()
    assert 1e-5 < np.sqrt(np.mean(np.square(error))) < 2e-3
    assert np.abs(error).max() < 0.04


def test_normalisations_and_attention_are_folded(networks):
    def operations(model, vectors=()):
        inference = inference_function(model, halo=info(model).halo, vectors=vectors)
        spec = tf.TensorSpec((1, 64, 64, 64, 1))
        graph = tf.function(inference).get_concrete_function(spec).graph
        return [operation.type for operation in graph.get_operations()]

    found = operations(networks["rln"])
    assert "Rsqrt" not in found and found.count("Conv3D") == 14
    rcan = networks["rcan"]
    vectors = [np.zeros(layer.fixed.shape, np.float32) for layer in global_means(rcan)]
    assert "Mean" in operations(rcan) and "Mean" not in operations(rcan, vectors)


@pytest.mark.parametrize("kind", ["rln", "neurodecon"])
def test_xla_compiles_the_function(networks, kind):
    """As it is used on a GPU."""
    model = networks[kind]
    block, halo = around(BLOCK[:8, :16, :16], model)[None, ..., None], info(model).halo
    function = tf.function(inference_function(model, halo=halo), jit_compile=True)
    z, y, x = (slice(h, -h) for h in halo)
    expected = model(block, training=False).numpy()[:, z, y, x]
    assert np.abs(function(tf.constant(block)).numpy() - expected).max() < 1e-5 * expected.max()


def test_memory_that_does_not_suffice_is_told_apart(networks):
    predictor = Predictor(networks["rln"], info(networks["rln"]))

    def exhausted(batch):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    predictor._run = exhausted
    with pytest.raises(DeviceMemoryError, match="OOM when allocating"):
        predictor.predict(around(BLOCK, networks["rln"]))


@pytest.mark.parametrize(
    ("name", "installed", "gpu", "chosen"),
    [
        ("auto", True, False, "openvino"),
        ("auto", True, True, "tensorflow"),
        ("auto", False, False, "tensorflow"),
        ("tensorflow", True, False, "tensorflow"),
        ("openvino", False, False, "is not installed"),
        ("openvino", True, True, "only runs on CPUs"),
    ],
)
def test_the_choice_of_an_engine(monkeypatch, name, installed, gpu, chosen):
    monkeypatch.setattr(engines, "find_spec", lambda _: installed or None)
    if " " in chosen:
        with pytest.raises(UserError, match=chosen):
            choose_engine(name, "float32", gpu=gpu)
    else:
        assert choose_engine(name, "bfloat16", gpu=gpu) == Engine(chosen, "bfloat16")


def test_margins_of_even_kernels_and_of_coarser_grids_are_kept():
    """A convolution of even length reaches further on one side; halves are whole again."""
    from keras import Input, Model, layers

    tf.keras.utils.set_random_seed(1)
    image = Input((None, None, None, 1))
    fine = layers.Conv3D(2, (4, 3, 2), padding="same")(image)
    coarse = layers.Conv3D(2, 3, padding="same")(layers.MaxPooling3D((1, 2, 2))(fine))
    both = layers.Concatenate()([fine, layers.UpSampling3D((1, 2, 2))(coarse)])
    model = Model(image, layers.Conv3D(1, 3, padding="same")(both))
    predictor, expected = restored(model, Engine())
    result = predictor.predict(around(BLOCK, model))
    assert np.abs(result - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_halo_that_is_too_small_is_refused(networks):
    with pytest.raises(ValueError, match="the network needs"):
        inference_function(networks["rln"], halo=(10, 18, 18))


@openvino
def test_the_stack_of_signal_handlers_stays_what_it_was(networks):
    """With OpenVINO's own stack, SIGTERM ended a process after two networks were freed."""

    def stack():
        found = ctypes.create_string_buffer(64)
        assert ctypes.CDLL(None).sigaltstack(None, found) == 0
        return found.raw

    before, model, block = stack(), networks["rln"], np.ones((40, 40, 40), np.float32)
    predictor = Predictor(model, info(model), engine=Engine("openvino"))
    assert stack() == before
    predictor.predict(block)
    assert stack() == before
