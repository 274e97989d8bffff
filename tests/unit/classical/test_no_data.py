"""Richardson-Lucy without part of the image, and in front of hardly anything."""

from itertools import islice

import numpy as np
import pytest

from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rl_roughness import RlRoughness
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.recipe import Recipe
from decon3d.classical.risk import ImageNoise, risk_subjects
from decon3d.classical.tuning import scores
from decon3d.errors import UserError
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.restorers import open_restorer
from decon3d.volumes.statistics import ChannelStatistics
from support.deconvolution import ONE, PSF, VOXEL, boxes, prepared

RECIPE = Recipe(background=10.0, initial=5.0, voxel_size_um=VOXEL)
RNG = np.random.default_rng(0)


def estimate(image, recipe, count=12):
    model = recipe.model(image.shape, psf=PSF.data, threads=1)
    *_, (_, last) = islice(recipe.iterate(image, model=model), count)
    return last.copy()


@pytest.mark.parametrize(
    "options",
    [
        {"acceleration": "none"},
        {"acceleration": "heavy_ball"},
        {"back_projector": "wiener_butterworth"},
        {"photons": ONE, "seed": 3},
    ],
)
def test_without_data_is_as_if_the_image_ended_there(options):
    image, _, _ = boxes()
    recipe = Recipe(**{**vars(RECIPE), **options})
    masked = np.where(np.arange(36) < 24, image, np.nan).astype(np.float32)
    count = 2 if "back_projector" in options else 12
    found = estimate(masked, recipe, count)[:, :, :24]
    cropped = estimate(image[:, :, :24], recipe, count)
    assert np.abs(found - cropped).max() < 1e-3 * cropped.max()


def test_a_hole_does_not_darken_its_surroundings():
    image, _, _ = boxes()
    masked = image.copy()
    masked[8:12, 15:20, 15:20] = np.nan
    whole, found = estimate(image, RECIPE), estimate(masked, RECIPE)
    zeros = estimate(np.nan_to_num(masked, nan=0.0), RECIPE)
    shell = np.s_[7:13, 14:21, 14:21]
    seen = np.isfinite(masked[shell])
    total, kept, dark = (e[shell][seen].sum() for e in (whole, found, zeros))
    print(f"beside the hole: {kept / total:.2f} masked, {dark / total:.2f} as zeros")
    assert kept == pytest.approx(total, rel=0.1)
    assert dark < 0.8 * total


def test_errors_are_predicted_where_there_are_data():
    image, _, _ = boxes()
    masked = np.where(np.arange(36) < 24, image, np.nan).astype(np.float32)
    subjects = risk_subjects([masked], recipe=RECIPE, noise=ImageNoise(1.0, 0.0), seed=1)
    found = [score for _, score in scores(subjects, psf=PSF.data, most=10)]
    assert np.isfinite(found).all() and found[5] > found[0]


METHODS = {
    "rl": Rl(kind="rl", iterations=20),
    "rltv": Rltv(kind="rltv", iterations=20, tv_weight=0.005),
    "rl_roughness": RlRoughness(kind="rl_roughness", iterations=20, roughness_weight=0.1),
}


@pytest.mark.parametrize("name", METHODS)
def test_pure_dark_noise_makes_no_object(name):
    image = RNG.normal(100, 3, (32, 64, 64)) + RNG.poisson(10, (32, 64, 64))
    image = np.rint(image).astype(np.uint16)
    state = prepared(METHODS[name], image, offset=100)
    restored = restore_array(image, open_restorer(state, threads=1), state)
    print(f"{name}: {(restored.max() - np.median(image)) / image.std():.2f} σ")
    assert restored.max() < np.median(image) + 5 * image.std()


@pytest.mark.parametrize("name", METHODS)
def test_a_specimen_is_the_same_in_more_darkness(name):
    rng = np.random.default_rng(1)
    specimen, _, _ = boxes(photons=200.0)
    image = rng.poisson(10, (32, 52, 52)).astype(np.uint16)
    where = np.s_[6:26, 8:44, 8:44]
    image[where] = specimen
    dark = rng.poisson(10, (64, 104, 104)).astype(np.uint16)
    dark[:32, :52, :52] = image
    results = []
    for counts in (image, dark):
        state = prepared(METHODS[name], counts, offset=None)
        restored = restore_array(counts, open_restorer(state, threads=2), state)
        results.append(restored[where])
    one, eight = results
    change = np.linalg.norm(one - eight) / np.linalg.norm(one - 10)
    print(f"{name}: {change:.4f}, sum {eight.sum() / one.sum() - 1:.4f}")
    assert change < 0.01


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_volume_stays(name, value):
    image = np.full((7, 9, 11), value, np.uint16)
    state = prepared(METHODS[name], image, offset=None)
    restored = restore_array(image, open_restorer(state, threads=1), state)
    assert np.allclose(restored, value, atol=0.1)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (13, 7, 31)])
def test_odd_and_tiny_volumes_come_back(shape):
    image = RNG.poisson(50, shape).astype(np.uint16)
    state = prepared(METHODS["rltv"], image, offset=None)
    restored = restore_array(image, open_restorer(state, threads=1), state)
    assert restored.shape == shape and np.isfinite(restored).all()


def test_saturated_voxels_stay_known_beside_a_fill():
    image = np.minimum(boxes(photons=400.0)[0], 255).astype(np.uint8)
    assert ChannelStatistics.of_image(image).saturation == 255
    recipe = Recipe(**{**vars(RECIPE), "saturation": 255.0})
    integer, floats = (estimate(image.astype(t), recipe) for t in (np.uint8, np.float32))
    assert np.array_equal(integer, floats)


def test_infinite_counts_are_named():
    with pytest.raises(UserError, match="infinite"):
        estimate(np.full((8, 8, 8), np.inf), RECIPE)
