"""rl_residual: it starts as Richardson-Lucy, learns, and restores the same however it is cut."""

import math
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import tensorflow as tf
import zarr

from decon3d.classical.channel import bytes_per_voxel
from decon3d.classical.estimates import Estimator
from decon3d.classical.kinds.rl import Rl
from decon3d.networks import devices
from decon3d.networks.bundle import Predictor, write_bundle
from decon3d.networks.description import Estimate, TrainedOn, load_info
from decon3d.networks.estimates import network_runs
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.inputs import network_input
from decon3d.networks.kinds import rl_residual
from decon3d.networks.kinds.rl_residual import RlEstimate, RlResidual, RlResidualTraining
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.part import restore_part
from decon3d.restoration.prepare import prepare_classical, prepare_network
from decon3d.restoration.restorers import SecondStep, State, open_restorer
from decon3d.training import loop
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.deconvolution import PSF, VOXEL, boxes
from support.large_volumes import described, planned
from support.volumes import own_volume

CAMERA = Camera(offset=100, gain=2, read_noise=1)
ESTIMATES = (Estimate((0.3, 1.0), 0.0),)


def photographed(gain=2.0, **scene):
    """Counts and truth of a scene, seen by a camera of this gain."""
    image, truth, _ = boxes(**scene)
    return 100 + gain * image, 100 + gain * (truth + 10)


def bundle(folder, *, residual=0.0):
    """Write a network that was never trained, its last kernel random."""
    tf.keras.utils.set_random_seed(1)
    model = rl_residual.build(inputs=3)
    (kernel,) = model.get_layer("residual").get_weights()
    noise = np.random.default_rng(0).normal(0, residual, kernel.shape)
    model.get_layer("residual").set_weights([noise])
    halo, stride = halo_and_stride(model)
    write_bundle(
        folder,
        model,
        kind="rl_residual",
        options={},
        input_channels=3,
        halo=halo,
        stride=stride,
        bytes_per_voxel=400.0,
        global_means=False,
        target_kernel="object",
        voxel_size_um=VOXEL,
        psf_fwhm_um=(0.6, 0.25, 0.25),
        psf_fingerprint="ab",
        trained_on=TrainedOn(1, (8, 8, 8), "law", (100.0, 100.0), (50.0, 60.0), (0.01, 0.02), {}),
        training={},
        seed=1,
        stream=("d",),
        device="CPU",
        best_step=1,
        validation={},
        estimates=ESTIMATES,
    )
    return folder


def statistics_of(image):
    return ChannelStatistics.of_image(image, camera_offset=100)


def prepared(folder, image, camera=CAMERA):
    return prepare_network(folder, statistics=statistics_of(image), psf=PSF, camera=camera)


def restored(folder, image, camera=CAMERA, block=None):
    state = prepared(folder, image, camera)
    return restore_array(image, open_restorer(state, threads=1), state, block=block)


def test_parameters_halo_and_stride():
    for biases, parameters in ((True, 63_961), (False, 63_828)):
        model = rl_residual.build(biases=biases)
        assert sum(math.prod(w.shape) for w in model.trainable_weights) == parameters
        assert halo_and_stride(model) == ((14, 14, 14), (2, 2, 2))


def test_the_loss_is_a_mean_of_logarithms_and_counts_missing_light_twice():
    truth = np.full((2, 16, 16, 16, 1), 2.0, np.float32)
    truth[1] = 0.5  # a dim crop counts as much
    signs = (-1.0) ** np.indices(truth.shape[1:4]).sum(0)[None, ..., None]

    def parts(error):
        restored = tf.constant((truth * (1 + error)).astype(np.float32))
        found = rl_residual.METHOD.loss(restored, None, tf.constant(truth), None)
        return {name: float(value) for name, value in found.items()}

    noise, missing = parts(0.1 * signs), parts(-0.1)
    assert noise["voxels"] == pytest.approx(0.01, rel=1e-4)
    assert noise["light"] == pytest.approx(0, abs=1e-9)
    assert missing["light"] == pytest.approx(0.01, rel=1e-4)
    assert noise["loss"] == pytest.approx(math.log(0.0101), abs=1e-4)
    assert missing["loss"] == pytest.approx(math.log(0.0201), abs=1e-4)
    unequal = parts(np.array([0.5, 0.01])[:, None, None, None, None] * signs)
    assert unequal["loss"] == pytest.approx(math.log(0.2501 * 0.0002) / 2, abs=1e-4)


def test_before_training_it_is_the_last_estimate(tmp_path):
    image, _ = photographed()
    result = restored(bundle(tmp_path), image)
    about = {"statistics": statistics_of(image), "psf": PSF, "camera": CAMERA}
    (run,) = network_runs(ESTIMATES, **about)
    method = Rl(kind="rl", iterations=run.iterations[-1])
    state = prepare_classical(method, tuned={}, **about)
    expected = open_restorer(state, threads=1).restore(image, (0, 0, 0))
    assert result == pytest.approx(expected, rel=1e-5)
    assert result.min() >= 100


def test_tiled_equals_whole_and_more_gain_is_more_counts(tmp_path):
    folder = bundle(tmp_path, residual=0.5)
    image, _ = photographed(shape=(20, 72, 40))
    whole = restored(folder, image)
    state = prepared(folder, image)
    state.save(tmp_path / "state.json")
    assert State.load(tmp_path / "state.json").description == state.description
    assert (state.halo, state.stride, state.mirror) == ((24, 26, 26), (2, 2, 2), False)
    # The estimates, then the network in tiles while its input and the blur stay.
    runs = network_runs(ESTIMATES, statistics=statistics_of(image), psf=PSF, camera=CAMERA)
    assert state.bytes_per_voxel == 12 + bytes_per_voxel(runs)
    assert state.second_step == SecondStep((14, 14, 14), 400.0, 12 + 26)
    tiled = restored(folder, image, block=(20, 24, 40))
    assert np.abs(tiled - whole).max() < 2e-4 * np.ptp(whole)
    estimate = restored(bundle(tmp_path / "untrained"), image)
    assert np.abs(whole - estimate).max() > 0.05 * np.ptp(whole)

    brighter = restored(folder, 100 + 3 * (image - 100), replace(CAMERA, gain=6.0))
    assert brighter - 100 == pytest.approx(3 * (whole - 100), rel=2e-3, abs=0.05)


def test_the_network_sees_real_estimates_around_its_tiles(tmp_path):
    """Tiles change rounding alone, at the volume's faces, too."""
    folder = bundle(tmp_path, residual=0.5)
    image, _ = photographed(shape=(20, 42, 31))
    state = prepared(folder, image)
    whole = open_restorer(state, threads=1).restore(image, (0, 0, 0))
    for tile in ((20, 16, 12), (8, 42, 32)):
        restorer = open_restorer(state, threads=1, tile=tile)
        tiled = restorer.restore(image, (0, 0, 0))
        assert np.abs(tiled - whole).max() < 1e-5 * np.ptp(whole)
        inner = (slice(4, 20), slice(8, 40), slice(6, 31))
        part = restorer.restore(image, (0, 0, 0), inner)
        assert np.abs(part - whole[inner]).max() < 1e-5 * np.ptp(whole)


def test_the_network_works_in_tiles_of_a_block_within_the_planned_memory(tmp_path, monkeypatch):
    image, _ = photographed(shape=(32, 96, 96))
    store = tmp_path / "v.zarr"
    own_volume(store, image, chunk=(32, 96, 96), voxel_size_um=VOXEL)
    state = prepared(bundle(tmp_path / "bundle", residual=0.5), image)
    record, options = described(store, image.shape), {"memory_gb": 0.04, "engine": "tensorflow"}
    plan = planned(tmp_path, record, state, **options)
    block, tile = plan.volumes[0].block, plan.tile
    assert prod(tile) < prod(block)
    padded = prod(min(b + 2 * h, n) for b, h, n in zip(block, state.halo, image.shape, strict=True))
    network = 400 * prod(t + 2 * 14 for t in tile)
    taken = max(padded * state.bytes_per_voxel, padded * 38 + network)
    assert plan.block_memory_gb == pytest.approx(taken / 1e9) and taken <= 0.04e9
    sizes = []
    predict = Predictor.predict

    def noted(self, block):
        sizes.append(block.shape)
        return predict(self, block)

    monkeypatch.setattr(Predictor, "predict", noted)
    restore_part(tmp_path / "plan.json", [state], part=0, marker=tmp_path / "0.json", threads=1)
    assert max(prod(size[1:]) for size in sizes) == prod(t + 2 * 14 for t in tile)
    found = zarr.open_array(str(tmp_path / "v" / "0"))[0, 0]
    expected = restored(tmp_path / "bundle", image)
    assert np.abs(found - expected).max() < 2e-4 * np.ptp(expected)


def test_the_volume_in_training_is_the_block_in_restoration(tmp_path):
    """One function makes the channels of both."""
    image, _ = photographed()
    statistics = statistics_of(image)
    runs = network_runs(ESTIMATES, statistics=statistics, psf=PSF, camera=CAMERA)
    estimator = Estimator(runs, psf=PSF.data, threads=1)
    trained = network_input(image, law=statistics.normalisation, estimator=estimator)
    seen = open_restorer(prepared(bundle(tmp_path), image), threads=1)
    restoring = network_input(image, law=seen.law, estimator=seen.estimator)
    np.testing.assert_array_equal(trained, restoring)
    np.testing.assert_array_equal(trained[0], statistics.normalisation.apply(image))


def test_it_learns_and_comes_back_to_the_bit(tmp_path):
    pairs = [photographed(shape=(16, 24, 24), seed=seed) for seed in range(3)]
    group = zarr.create_group(tmp_path / "pairs.zarr")
    group["image"], group["object"] = (
        np.stack(volumes).astype(np.float32) for volumes in zip(*pairs, strict=True)
    )
    training = RlResidualTraining(
        steps=150, batch=2, crop=(16, 16, 16), validate_every=20, learning_rate=3e-3
    )
    method = RlResidual(
        kind="rl_residual",
        estimates=(
            RlEstimate(iteration_factors=(0.3, 0.8), tv_factor=0),
            RlEstimate(iteration_factors=(0.8,)),
        ),
        training=training,
    )
    loop.train(
        train_store=tmp_path / "pairs.zarr",
        val_store=tmp_path / "pairs.zarr",
        method=method,
        psf=PSF,
        camera=CAMERA,
        seed=1,
        stream=("d", "c", "m"),
        folder=tmp_path / "bundle",
        device=devices.configure(gpus=0, threads=1),
    )
    info = load_info(tmp_path / "bundle")
    assert info.estimates == (Estimate((0.3, 0.8), 0.0), Estimate((0.8,), 1.0))
    assert info.input_channels == info.options["inputs"] == 4

    image, truth = pairs[0]
    first = restored(tmp_path / "bundle", image)
    np.testing.assert_array_equal(first, restored(tmp_path / "bundle", image))
    network = open_restorer(prepared(tmp_path / "bundle", image), threads=1)
    start = network.estimator(image)[-1]
    assert np.linalg.norm(first - truth) < 0.98 * np.linalg.norm(start - truth)
