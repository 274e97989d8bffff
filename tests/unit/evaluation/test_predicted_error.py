"""The predicted error orders restorations as their truth does, without looking at it."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from decon3d.classical.risk import ImageNoise
from decon3d.evaluation.predicted_error import REPLICAS, predicted_error
from decon3d.optics.psf import Psf, normalised_psf

SIGMA = (1.2, 1.2, 1.2)
BACKGROUND, GAIN = 110.0, 2.0


@pytest.fixture(scope="module")
def psf() -> Psf:
    data = np.zeros((9, 9, 9))
    data[4, 4, 4] = 1
    return normalised_psf(gaussian_filter(data, SIGMA), (0.2, 0.1, 0.1), {})


@pytest.fixture(scope="module")
def seen() -> tuple[np.ndarray, np.ndarray]:
    """An object in counts above the background, and its image."""
    rng = np.random.default_rng(4)
    truth = np.maximum(gaussian_filter(rng.normal(size=(24, 48, 48)), 1.5), 0)
    truth *= 60 / gaussian_filter(truth, SIGMA).max()
    photons = rng.poisson(gaussian_filter(truth, SIGMA) + 5)
    return GAIN * truth, (100 + GAIN * photons).astype(np.float32)


def difference(one, other, seen, psf, **options) -> tuple[float, float]:
    """Mean of the difference of predictions, and in standard errors."""
    noise = ImageNoise(GAIN, 100.0)
    found = [
        np.array(
            predicted_error(
                seen[1], restore=r, psf=psf, noise=noise, background=BACKGROUND, seed=3, **options
            )
        )
        for r in (one, other)
    ]
    assert len(found[0]) == REPLICAS
    values = found[0] - found[1]
    return values.mean(), values.mean() / values.std(ddof=1)


def test_the_truth_has_less_error_than_a_smoother_one(seen, psf) -> None:
    truth = seen[0] + BACKGROUND
    for width in (0.5, 1.0, 2.0):
        smooth = gaussian_filter(truth, width)
        assert difference(lambda _, s=smooth: s, lambda _: truth, seen, psf)[1] > 3


def test_the_best_match_of_brightness_is_taken(seen, psf) -> None:
    truth = seen[0] + BACKGROUND
    mean, _ = difference(lambda _: 0.7 * seen[0] + BACKGROUND, lambda _: truth, seen, psf)
    assert mean == pytest.approx(0, abs=1e-6)
    nothing = np.full_like(truth, BACKGROUND)
    assert difference(lambda _: nothing, lambda _: truth, seen, psf)[1] > 3


def test_the_difference_is_that_of_the_true_errors_in_the_pass_band(seen, psf) -> None:
    """Of estimates that differ from the truth by what the microscope passes."""
    truth = seen[0] + BACKGROUND
    wave = np.cos(2 * np.pi * np.arange(48) / 16)[None, None] * np.ones((24, 48, 1))
    mean, errors = difference(lambda _: truth + 6 * wave, lambda _: truth, seen, psf)
    energy = np.mean((seen[1][5:-5, 8:-8, 8:-8] - BACKGROUND) ** 2)
    assert mean * energy == pytest.approx(6**2 / 2, rel=0.3)
    assert errors > 5


def test_noise_that_was_taken_over_counts_as_error(seen, psf) -> None:
    """The image fits itself; that it copies its noise is seen by the noise that is added."""
    truth = seen[0] + BACKGROUND
    assert difference(lambda v: v, lambda _: truth, seen, psf)[1] > 3
    frozen = seen[1].copy()  # the same estimate, which does not follow the noise that is added
    assert difference(lambda v: v, lambda _: frozen, seen, psf)[1] > 3


def test_places_without_data_do_not_count(seen, psf) -> None:
    truth = seen[0] + BACKGROUND
    image = seen[1].copy()
    image[:, :, :10] = np.nan
    wrong = truth.copy()
    wrong[:, :, :8] += 500
    mean, _ = difference(lambda _: wrong, lambda _: truth, (seen[0], image), psf)
    whole, _ = difference(lambda _: wrong, lambda _: truth, seen, psf)
    assert abs(mean) < 0.01 * whole
    thin = {"restore": lambda v: v, "psf": psf, "noise": ImageNoise(GAIN, 100.0), "seed": 3}
    # Light from beyond the faces of so thin a block would count as error.
    assert predicted_error(seen[1][:10], background=BACKGROUND, **thin) == ()
    assert (
        predicted_error(
            np.full((16, 16, 16), BACKGROUND, np.float32),
            restore=lambda v: v,
            psf=psf,
            noise=ImageNoise(GAIN, 100.0),
            background=BACKGROUND,
            seed=3,
        )
        == ()
    )
