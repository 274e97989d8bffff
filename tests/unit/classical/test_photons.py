import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from decon3d.classical.photons import PhotonScale, photon_scale, split_photons
from decon3d.errors import UserError
from decon3d.volumes.camera import Camera

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


def test_read_noise_counts_as_photons_more():
    scale = photon_scale(Camera(offset=100.0, gain=2.0, read_noise=1.5))
    assert (scale.offset, scale.gain) == (100 - 2 * 1.5**2, 2.0)


def test_an_assumed_gain_splits_no_photons():
    with pytest.raises(UserError, match=r"camera\.gain is needed"):
        photon_scale(Camera(gain_from="assumed"))
