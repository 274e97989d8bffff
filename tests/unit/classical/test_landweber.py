"""The projected Landweber iteration: the properties of least squares without negative light."""

from itertools import islice

import numpy as np
import pytest

from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.landweber import Landweber
from decon3d.classical.operators import Blur
from decon3d.errors import ConfigError
from decon3d.optics.psf import normalised_psf
from decon3d.report.methods_text import methods_paragraph
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import open_restorer
from decon3d.settings import load_settings
from decon3d.volumes.statistics import ChannelStatistics
from support.configs import simulated_dataset

SHAPE = (12, 20, 20)
AXES = np.meshgrid(*(np.arange(-n, n + 1) for n in (2, 3, 3)), indexing="ij")
PSF = normalised_psf(np.exp(-sum(a**2 for a in AXES) / 2.5), (0.3, 0.1, 0.1), {})
BACKGROUND = 10.0


@pytest.fixture
def blurred():
    """A noise-free image (counts, background included) and its object."""
    model = Blur(SHAPE, psf=PSF.data)
    truth = np.zeros(model.object_shape, np.float32)
    truth[6:9, 10:14, 10:14] = 500
    truth[8, 16, 16] = 4000
    image = model.forward(truth) + np.float32(BACKGROUND)
    return image, truth[model.inside]


def recipe_of(image, **options):
    method = Landweber(kind="landweber", iterations=50, **options)
    statistics = ChannelStatistics.of_image(image, camera_offset=BACKGROUND)
    return base_recipe(method, psf=PSF, camera=None, statistics=statistics)


def estimates(image, iterations, **options):
    model = Blur(image.shape, psf=PSF.data)
    steps = recipe_of(image, **options).iterate(image, model=model)
    return [estimate.copy() for _, estimate in islice(steps, iterations)], model


def test_the_squared_error_falls_with_every_step_and_nothing_is_negative(blurred):
    image, truth = blurred
    model = Blur(image.shape, psf=PSF.data)
    recipe = recipe_of(image)
    errors, distances = [], []
    for _, estimate in islice(recipe.iterate(image, model=model), 60):
        residual = model.forward(np.asarray(estimate.base)) + recipe.background - image
        errors.append(float(np.sum(residual**2)))
        distances.append(float(np.sum((estimate - truth) ** 2)))
        assert estimate.min() >= 0
    assert errors[-1] < 0.05 * errors[0] and distances[-1] < 0.8 * distances[0]
    assert np.all(np.diff(errors) <= 1e-4 * errors[0])


def test_half_a_step_needs_twice_the_iterations(blurred):
    image, _ = blurred
    whole, _ = estimates(image, 40, relaxation=1.0)
    half, _ = estimates(image, 80, relaxation=0.5)
    assert np.abs(half[-1] - whole[-1]).max() < 0.02 * whole[-1].max()


def test_voxels_without_data_do_not_count(blurred):
    image, truth = blurred
    holed = image.copy()
    holed[6, 8, 8] = np.nan
    (*_, whole), _ = estimates(image, 40)
    (*_, result), _ = estimates(holed, 40)
    assert np.isfinite(result).all()
    assert np.abs(result - whole).max() < 0.2 * truth.max()


def test_it_restores_through_its_state(blurred, tmp_path):
    image, truth = blurred
    method = Landweber(kind="landweber", iterations=60)
    statistics = ChannelStatistics.of_image(image, camera_offset=BACKGROUND)
    state = prepare_classical(method, statistics=statistics, psf=PSF, tuned={})
    assert state.kind == "landweber" and state.values["options"] == {"relaxation": 1.9}
    state.save(tmp_path / "state.json")
    restorer = open_restorer(type(state).load(tmp_path / "state.json"), threads=1)
    restored = restorer.restore(image, (0, 0, 0)) - BACKGROUND

    def likeness(values):
        return np.corrcoef(values.ravel(), truth.ravel())[0, 1]

    assert likeness(restored) > likeness(image) + 0.05
    assert restored.sum() == pytest.approx(truth.sum(), rel=0.03)


def settings(**options):
    return load_settings(
        {"datasets": {"d": simulated_dataset()}, "methods": {"landweber": options}}
    )


def test_it_has_its_own_sentence_in_the_methods_paragraph(tmp_path):
    found = methods_paragraph(tmp_path, dataset="d", settings=settings(iterations=60), splits=set())
    assert "Landweber is projected Landweber deconvolution" in " ".join(found.sentences)
    assert "Richardson" not in " ".join(found.sentences)
    assert any("Fredholm" in reference for reference in found.references)


def test_a_step_that_would_diverge_is_refused():
    with pytest.raises(ConfigError, match=r"landweber\.relaxation: must be less than 2"):
        settings(relaxation=2.5)
