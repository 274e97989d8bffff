"""Poisson numbers by guide table: the distribution itself, at the table's edges and between."""

import numpy as np
import pytest
from scipy import stats

from decon3d.phantoms.poisson import HIGHEST, SLAB, STEP, poisson

DRAWS = 400_000


@pytest.mark.parametrize(
    "rate",
    [0.01, STEP / 2, STEP, 0.7, 5.0, 5.03, 20.06, HIGHEST - STEP / 4, HIGHEST, 200.0],
)
def test_numbers_have_the_distribution_of_their_rate(rate):
    exact = stats.poisson(float(np.float32(rate)))
    numbers = poisson(np.full(DRAWS, rate, np.float32), np.random.default_rng(2)).astype(int)
    first, last = int(exact.ppf(1e-4)), int(exact.isf(1e-4))
    masses = exact.pmf(np.arange(first, last + 1))
    masses[0], masses[-1] = exact.cdf(first), exact.sf(last - 1)
    found = np.bincount(np.clip(numbers, first, last) - first, minlength=len(masses))
    assert stats.chisquare(found, masses * DRAWS).pvalue > 1e-3


def test_the_tails_are_drawn_too():
    numbers = poisson(np.full(4_000_000, 30.03, np.float32), np.random.default_rng(3))
    exact = stats.poisson(30.03)
    for found, expected in (
        ((numbers > 55).sum(), 4e6 * exact.sf(55)),
        ((numbers < 9).sum(), 4e6 * exact.cdf(8)),
    ):
        assert stats.poisson(expected).cdf(found) == pytest.approx(0.5, abs=0.4995)


def test_every_voxel_has_its_own_rate():
    rates = np.geomspace(0.02, 500, SLAB + 928).astype(np.float32).reshape(-1, 8)
    rng = np.random.default_rng(1)
    draws = np.stack([poisson(rates, rng) for _ in range(50)])
    assert draws.shape == (50, *rates.shape) and draws.dtype == np.float32
    deviation = (draws - rates) / np.sqrt(rates)
    by_rate = deviation.reshape(50, -1, 100).swapaxes(0, 1).reshape(-1, 50 * 100)
    assert np.abs(by_rate.mean(1)).max() < 5 / np.sqrt(by_rate.shape[1])
    brighter = by_rate[len(by_rate) // 2 :]  # rates above 3
    assert np.abs(brighter.var(1) - 1).max() < 6 * np.sqrt(2.3 / by_rate.shape[1])
    # Neighbours and repeated draws know nothing of each other.
    flat = deviation.reshape(50, -1)
    assert abs(np.mean(flat[:, 1:] * flat[:, :-1])) < 5 / np.sqrt(flat.size)
    assert abs(np.mean(flat[1:] * flat[:-1])) < 5 / np.sqrt(flat.size)


def test_no_light_no_photons_and_the_same_seed_the_same_numbers():
    assert not poisson(np.zeros(1000, np.float32), np.random.default_rng(1)).any()
    rates = np.linspace(0, 100, 1000, dtype=np.float32)
    one, other = (poisson(rates, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("rate", [-1.0, np.nan])
def test_no_such_rate(rate):
    with pytest.raises(ValueError):
        poisson(np.array([1.0, rate], np.float32), np.random.default_rng(1))
