import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from decon3d.classical.held_out import poisson_deviance
from decon3d.classical.photons import PhotonScale, noise_law, photon_scale, split_photons
from decon3d.errors import UserError

ONE = PhotonScale(0.0, 1.0, "config")


def exposure(*, gain=2.3, offset=100.0, read_noise=0.0, peak=80.0, seed=0):
    rng = np.random.default_rng(seed)
    photons = gaussian_filter((rng.random((32, 80, 80)) > 0.9995).astype(np.float32), 2.0)
    photons = peak * photons / photons.max() + 3
    drawn = rng.poisson(photons) + rng.normal(0, read_noise, photons.shape)
    return (gain * drawn + offset).astype(np.float32)


@pytest.mark.parametrize("mean", [0.3, 5, 40, 300])
def test_the_halves_are_independent_poisson_images(mean):
    rng = np.random.default_rng(1)
    counts = rng.poisson(mean, (40, 60, 60)).astype(np.float32)
    one, other = split_photons(counts, scale=ONE, origin=(0, 0, 0), seed=5)
    np.testing.assert_array_equal(one + other, counts)
    assert one.min() >= 0 and other.min() >= 0
    for half in (one, other):
        assert half.mean() == pytest.approx(mean / 2, rel=0.01)
        assert half.var() == pytest.approx(mean / 2, rel=0.02)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.012  # 4 σ


def test_a_block_is_split_as_the_volume_is():
    counts = np.random.default_rng(0).poisson(90, (9, 11, 13)).astype(np.uint16)
    whole, _ = split_photons(counts, scale=ONE, origin=(-2, 0, 5), seed=3)
    block, _ = split_photons(counts[2:, 3:9, 4:], scale=ONE, origin=(0, 3, 9), seed=3)
    np.testing.assert_array_equal(block, whole[2:, 3:9, 4:])
    other, _ = split_photons(counts, scale=ONE, origin=(-2, 0, 5), seed=4)
    assert (other != whole).mean() > 0.8


def test_offset_and_gain_are_shared_alike():
    counts = exposure()
    scale = PhotonScale(100.0, 2.3, "config")
    one, other = split_photons(counts, scale=scale, origin=(0, 0, 0), seed=0)
    photons = (one - 50) / 2.3
    np.testing.assert_allclose(photons, np.rint(photons), atol=1e-3)
    np.testing.assert_allclose(one + other, counts, rtol=1e-6)


@pytest.mark.parametrize("offset", [None, 100.0])
def test_an_unknown_gain_is_found_in_the_noise(offset):
    found = photon_scale([exposure()], offset=offset, gain=None, read_noise=None)
    assert found.gain == pytest.approx(2.3, rel=0.1)
    assert found.offset == pytest.approx(100, abs=2)
    assert found.gain_from == "data"


def test_what_has_no_data_does_not_mislead_the_estimate():
    counts = exposure()
    filled = counts.astype(np.float32)
    filled[:, :, :20] = np.nan  # deskewed data end in zeros
    filled[:5] = np.nan
    kept = photon_scale([counts[5:, :, 20:]], offset=None, gain=None, read_noise=None)
    found = photon_scale([filled], offset=None, gain=None, read_noise=None)
    assert found.gain == pytest.approx(kept.gain, rel=0.02)
    assert found.offset == pytest.approx(kept.offset, abs=1)
    with pytest.raises(UserError, match="without data are left out"):
        noise_law([np.full_like(filled, np.nan)])


def test_read_noise_counts_as_photons_more():
    given = photon_scale([], offset=100.0, gain=2.0, read_noise=1.5)
    assert given.offset == 100 - 2 * 1.5**2
    dark = [exposure(gain=2.0, read_noise=3.0, peak=1e-6)]
    found = photon_scale(dark, offset=None, gain=2.0, read_noise=None)
    assert found.offset == pytest.approx(100 - 2 * 9, abs=1.5)


def test_noise_that_does_not_tell_the_gain_is_an_error():
    flat = np.random.default_rng(0).normal(500, 7, (16, 32, 32)).astype(np.float32)
    with pytest.raises(UserError, match=r"give camera\.gain"):
        photon_scale([flat], offset=100.0, gain=None, read_noise=None)
    with pytest.raises(UserError, match="too few"):
        noise_law([flat[:1]])


def test_the_deviance_of_the_truth_is_one_per_voxel_and_the_smallest():
    rng = np.random.default_rng(0)
    mu = rng.uniform(50, 200, 20_000)
    n = rng.poisson(mu)
    assert poisson_deviance(n, mu) == pytest.approx(1, abs=0.03)
    assert poisson_deviance(n, 1.1 * mu) > poisson_deviance(n, mu) + 0.5
    assert poisson_deviance(np.zeros(3), np.ones(3)) == 2
