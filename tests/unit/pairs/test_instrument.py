"""Low and high exposures of a simulated instrument: what registration and matching leave."""

import numpy as np
import pytest

from decon3d.pairs.matching import align, aligned
from decon3d.pairs.shading import Shading, find_shading
from support.instrument_pairs import Instrument, specimen

VOXEL = (0.3, 0.15, 0.15)
SHAPE = (16, 48, 48)
OPTIONS = {
    "voxel_size_um": VOXEL,
    "psf_fwhm_um": (0.7, 0.3, 0.3),
    "max_shift_um": 2.0,
    "max_drift_um": 0.5,
    "raw_file": "low.tif",
    "truth_file": "high.tif",
}
EVEN = {"bleaching": 0.0, "vignetting": 0.0}


def laid(instrument, photons=60.0, seed=0):
    low, high, ratio = instrument.pair(specimen(SHAPE, seed), photons=photons, seed=seed)
    found = align(low, high, **OPTIONS)
    return low, high, ratio, found


@pytest.mark.parametrize("seed", [0, 1])
def test_drift_flat_field_and_bleaching_are_found(seed):
    instrument = Instrument()
    *_, ratio, found = laid(instrument, seed=seed)
    expected = -np.multiply(instrument.drift, VOXEL)
    np.testing.assert_allclose(found.shift_um, expected, atol=0.03)  # a tenth of a voxel along Z
    assert found.unevenness == pytest.approx(np.ptp(ratio), rel=0.2)
    inside = (slice(2, -2), slice(6, -6), slice(6, -6))
    left = (found.shading.ratio(SHAPE) / ratio)[inside]
    assert left.std() / left.mean() < 0.02  # of 8 %
    assert (ratio[inside] / ratio[inside].mean()).std() > 0.06


def test_the_matched_truth_is_the_expected_raw_image():
    low, high, _, found = laid(Instrument())
    raw, truth = aligned(low, high, found, voxel_size_um=VOXEL)
    left = raw - truth
    gain, offset, read = 2.2, 100, 1.6
    noise = np.sqrt(gain * np.maximum(truth - offset, 0) + (gain * read) ** 2)
    z = left / noise
    assert abs(z.mean()) < 0.05
    assert z.std() == pytest.approx(1, abs=0.06)  # nothing but the noise of the low exposure
    first, last = z[:4].mean(), z[-4:].mean()
    assert abs(first - last) < 0.15
    # Matched by one slope alone, the planes differ.
    _, flat = aligned(
        low, high, type(found)(**{**vars(found), "shading": None}), voxel_size_um=VOXEL
    )
    worse = (raw - flat) / noise
    assert abs(worse[:4].mean() - worse[-4:].mean()) > 0.3


@pytest.mark.parametrize("photons", [10.0, 60.0])
def test_an_even_pair_is_left_even(photons):
    for seed in range(3):
        *_, found = laid(Instrument(**EVEN), photons, seed)
        assert found.shading is None and found.unevenness == 0
        assert found.slope == pytest.approx(
            2.2 * 0.8 / (0.5 * 20), rel=0.04 if photons > 50 else 0.1
        )


def test_the_ratio_of_two_known_volumes_is_found():
    rng = np.random.default_rng(0)
    truth = rng.random((8, 20, 20)) * 100
    known = Shading({"z": -0.2, "xx": 0.1}, 7.0)
    raw = 3 * known.applied(truth.astype(np.float32)) + rng.normal(0, 0.1, truth.shape)
    options = {"known": np.ones(truth.shape, bool), "highest": 10.0, "correlated": 1.0}
    found = find_shading(raw, truth, **options)
    assert found.terms == pytest.approx(known.terms, abs=4e-3)
    assert found.level == pytest.approx(7, abs=0.4)
    assert find_shading(3 * truth + 5, truth, **options) is None
    assert find_shading(-truth, truth, **options) is None
