"""`iterations: auto`: close to the best on simulated volumes, bounded, and said why."""

import json
from dataclasses import fields
from itertools import islice

import numpy as np
import pytest

from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.recipe import Recipe
from decon3d.classical.risk import ImageNoise, coloured, risk_subjects
from decon3d.classical.tuning import AffineScore, scores
from decon3d.errors import UserError
from decon3d.files import read_record
from decon3d.restoration.iterations import LEAST, MOST, NOMINAL, noise_of
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.tuning import RISK, tune_on_data
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.chosen_iterations import exposure_of, outcome, psf_of

PSF = psf_of("gaussian")
RECIPE_FIELDS = {field.name for field in fields(Recipe)}
KNOWN = Camera(offset=100, gain=1, read_noise=1.5)


def prepared(image, *, camera=KNOWN, sample=None, psf=PSF, **settings):
    return prepare_classical(
        Rl(kind="rl", **settings),
        psf=psf,
        tuned={},
        camera=camera,
        seed=1,
        statistics=ChannelStatistics.of_image(image, camera_offset=camera.offset),
        sample=[image] if sample is None else sample,
    ).values


def recipe_of(image):
    statistics = ChannelStatistics.of_image(image, camera_offset=100)
    return base_recipe(Rl(kind="rl"), psf=PSF, camera=KNOWN, statistics=statistics)


@pytest.mark.parametrize(
    ("kind", "photons", "limit"),
    [("tubules", 30.0, 0.2), ("nuclei", 100.0, 0.2), ("membranes", 1000.0, 0.3)],
)
def test_the_choice_is_close_to_the_best(kind, photons, limit):
    found = outcome(exposure_of(kind, PSF, photons), PSF)
    print(found.choice.iterations, found.best, found.lost)
    assert found.choice.from_data
    assert 0 <= found.lost <= limit


def test_more_light_bears_more_iterations():
    chosen = [
        prepared(exposure_of("tubules", PSF, photons).images[0])["iterations"]
        for photons in (10.0, 100.0, 3000.0)
    ]
    assert LEAST <= chosen[0] < chosen[1] < chosen[2] <= MOST


@pytest.mark.parametrize("photons", [50.0, 500.0])
def test_coarse_to_fine_is_chosen_on_its_own_path(photons):
    exposure = exposure_of("spheres", PSF, photons)
    image, score = exposure.images[0], AffineScore(exposure.object)
    quality, chosen = {}, {}
    for name in ("heavy_ball", "coarse_to_fine"):
        values = chosen[name] = prepared(image, acceleration=name)
        recipe = Recipe.load({k: v for k, v in values.items() if k in RECIPE_FIELDS})
        model = recipe.model(image.shape, psf=PSF.data, threads=1)
        ((_, estimate),) = recipe.estimates(image, model=model, iterations=[values["iterations"]])
        quality[name] = score(estimate)
    print(quality)
    assert quality["coarse_to_fine"] > quality["heavy_ball"] - 0.1
    few = chosen["coarse_to_fine"]
    assert few["choice"]["coarse_iterations"] == few["coarse_iterations"] >= 1
    assert few["iterations"] < chosen["heavy_ball"]["iterations"]
    assert "coarse_iterations" not in chosen["heavy_ball"]


def test_the_same_seed_chooses_the_same():
    image = exposure_of("nuclei", PSF, 50.0).images[0]
    one, other = prepared(image), prepared(image)
    assert one == other and one["choice"]["iterations"] == one["iterations"]


def test_what_the_data_cannot_tell_is_nominal_and_says_why():
    image = exposure_of("nuclei", PSF, 50.0).images[0]
    without = prepared(image, sample=[])
    assert without["iterations"] == NOMINAL and "no block holds data" in without["choice"]["reason"]
    second = prepared(image, source="denoised")
    assert second["iterations"] == NOMINAL and "denoised" in second["choice"]["reason"]
    flat = np.full((8, 16, 16), 7.0, np.float32)
    flat[4, 8, 8] = 9
    assert prepared(flat, camera=Camera(gain_from="assumed"))["iterations"] == NOMINAL


def test_no_light_is_not_sharpened():
    rng = np.random.default_rng(0)
    image = (100 + rng.normal(0, 1.5, (24, 48, 48))).astype(np.float32)
    assert prepared(image)["iterations"] <= NOMINAL


def test_correlated_noise_is_no_structure_where_its_correlation_is_known():
    bright = exposure_of("nuclei", PSF, 1e6)  # next to no noise; to be 100 photons
    clean, truth = ((counts - 100) / 1e4 for counts in (bright.images[0], bright.object))
    correlation = ((), (0.5, 0.1), (0.5, 0.1))
    white = np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    image = 100 + clean + np.sqrt(np.maximum(clean, 0.1)) * coloured(white, correlation)
    recipe, score = recipe_of(image), AffineScore(truth)
    model = recipe.model(image.shape, psf=PSF.data, threads=1)
    quality = [score(x) for _, x in islice(recipe.iterate(image, model=model), 25)]
    lost = {}
    for name, known in (("known", correlation), ("taken as white", ((), (), ()))):
        noise = ImageNoise(1.0, 100.0, known)
        (subject,) = risk_subjects([image], recipe=recipe, noise=noise, seed=1)
        found = dict(scores([subject], psf=PSF.data, most=25))
        lost[name] = max(quality) - quality[max(found, key=found.__getitem__) - 1]
    print(lost)
    assert lost["known"] <= 0.2
    assert lost["taken as white"] > lost["known"] + 0.2


def test_deskewed_noise_leaves_the_choice_to_the_dose():
    bright = exposure_of("nuclei", PSF, 1e6)
    clean = (bright.images[0] - 100) / 1e4
    white = np.random.default_rng(0).standard_normal(clean.shape).astype(np.float32)
    noise = coloured(white, ((), (0.3, 0.0), (0.3, 0.0)))
    image = 100 + clean + np.sqrt(np.maximum(clean, 0.1)) * noise
    choice = prepared(image)["choice"]
    assert not choice["from_data"] and "is correlated" in choice["reason"]
    assert 5 <= choice["iterations"] <= 15


def test_total_variation_is_tuned_on_the_data_unless_their_noise_is_correlated(tmp_path):
    image = exposure_of("spheres", PSF, 300.0).images[0]
    path = tmp_path / "tuning.json"
    options = {
        "path": path,
        "psf": PSF,
        "camera": KNOWN,
        "seed": 1,
        "threads": 1,
        "statistics": ChannelStatistics.of_image(image, camera_offset=100),
        "method": Rltv(kind="rltv", tune_on="data"),
    }
    tune_on_data([image], **options)
    found = read_record(path)
    assert "coarse_iterations" not in found["chosen"]
    assert 0.001 < found["chosen"]["tv_weight"] < 0.1
    assert found["measure"] == RISK and found["photons"]["gain"] == 1
    faster = {**options, "method": Rltv(kind="rltv", tune_on="data", acceleration="coarse_to_fine")}
    tune_on_data([image], **faster)
    assert read_record(path)["chosen"]["coarse_iterations"] >= 1
    white = np.random.default_rng(0).standard_normal(image.shape).astype(np.float32)
    deskewed = 150 + 10 * coloured(white, ((), (0.3, 0.0), (0.3, 0.0)))
    with pytest.raises(UserError, match=r"is correlated .* use tune_on: phantoms"):
        tune_on_data([deskewed], **options)


def test_excess_noise_is_measured():
    """An EMCCD doubles the variance: as if each photon were two of half the counts."""
    image = exposure_of("tubules", PSF, 100.0, shape=(24, 64, 64)).images[0]
    noisy = 100 + 2 * (image - 100)
    truth = ImageNoise(2.0, 100 - 2 * 2.25)
    found = noise_of([noisy], Camera(offset=100, gain=1, read_noise=1.5))
    assert found.gain == pytest.approx(truth.gain, rel=0.2)
    kept = noise_of([noisy], Camera(offset=100, gain=2, read_noise=1.5))
    assert (kept.gain, kept.dark_level) == (truth.gain, truth.dark_level)


def test_coloured_noise_has_the_variance_and_correlation_asked_for():
    rng = np.random.default_rng(0)
    values = coloured(
        rng.standard_normal((16, 64, 64)).astype(np.float32), ((0.3, 0.0), (), (0.5, 0.1))
    )
    values -= values.mean()
    variance = np.mean(values**2)
    assert variance == pytest.approx(1, abs=0.03)
    assert np.mean(values[1:] * values[:-1]) / variance == pytest.approx(0.3, abs=0.03)
    assert np.mean(values[:, 1:] * values[:, :-1]) / variance == pytest.approx(0, abs=0.03)
    assert np.mean(values[..., 1:] * values[..., :-1]) / variance == pytest.approx(0.5, abs=0.03)
    assert np.mean(values[..., 2:] * values[..., :-2]) / variance == pytest.approx(0.1, abs=0.03)


def test_the_predicted_error_turns_where_the_true_one_does():
    exposure = exposure_of("nuclei", PSF, 100.0)
    image = exposure.images[0]
    recipe = recipe_of(image)
    (subject,) = risk_subjects([image], recipe=recipe, noise=ImageNoise(1.0, 97.75), seed=1)
    model = recipe.model(image.shape, psf=PSF.data, threads=1)
    runs = [recipe.iterate(values, model=model) for values in subject.images]
    truth = exposure.object - recipe.background
    light = np.sum(np.square(image - recipe.background, dtype=np.float64))
    predicted, true = [], []
    for _ in range(16):
        estimates = [next(run)[1] for run in runs]
        predicted.append(-subject.score(estimates, model))
        true.append(np.sum(np.square(estimates[0] - truth, dtype=np.float64)) / light)
    gains = np.diff(predicted), np.diff(true)
    print(np.round(gains, 4))
    np.testing.assert_allclose(gains[0][5:], gains[1][5:], atol=0.003)


def test_the_record_is_plain():
    values = prepared(exposure_of("nuclei", PSF, 50.0).images[0])
    names = {"iterations", "from_data", "reason", "curve", "coarse_iterations"}
    assert set(values["choice"]) == names
    json.dumps(values, allow_nan=False)
