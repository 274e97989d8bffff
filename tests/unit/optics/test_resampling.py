"""Resampling, centring and cropping of PSFs whose shape is known."""

import numpy as np
import pytest

from decon3d.optics.psf import fwhm_um
from decon3d.optics.resampling import core_centroid, crop_box, resample
from support.gaussians import gaussian

FWHM = 2 * np.sqrt(2 * np.log(2))


@pytest.mark.parametrize("shape", [(31, 33, 35), (32, 34, 36), (31, 34, 33)])
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.57, 3.0])
def test_resampling_keeps_flux_centre_and_width(shape, factor):
    centre = (15.3, 16.8, 15.9)
    data = gaussian(shape, centre, (3.0, 3.0, 3.0))
    fine, coarse = (0.1,) * 3, (0.1 * factor,) * 3
    result = resample(data, voxel_size_um=fine, target_voxel_size_um=coarse, centre=centre)
    assert all(n % 2 for n in result.shape)
    assert result.sum() == pytest.approx(data.sum(), rel=1e-12)
    assert core_centroid(result) == pytest.approx([n // 2 for n in result.shape], abs=0.02)
    # a voxel average of width t widens the Gaussian to sqrt(s² + t²/12)
    expected = FWHM * 0.1 * np.sqrt(9 + max(factor, 1) ** 2 / 12)
    assert fwhm_um(result, coarse) == pytest.approx([expected] * 3, rel=0.015)


def test_coarsening_sums_voxels():
    data = gaussian((33, 33, 33), (16, 16, 16), (2.5, 3.0, 4.0))
    result = resample(data, voxel_size_um=(1,) * 3, target_voxel_size_um=(3,) * 3)
    exact = data.reshape(11, 3, 11, 3, 11, 3).sum(axis=(1, 3, 5))
    middle = tuple(slice(n // 2 - 5, n // 2 + 6) for n in result.shape)
    assert np.abs(result[middle] - exact).max() < 0.01 * exact.max()


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.0])
def test_centroid_is_unbiased(sigma):
    for centre in np.random.default_rng(0).uniform(7.5, 8.5, (5, 3)):
        data = gaussian((17, 17, 17), centre, (2 * sigma, sigma, sigma))
        assert core_centroid(data + 0.01 * data.max()) == pytest.approx(tuple(centre), abs=0.1)


def test_crop_keeps_the_stated_energy():
    data = gaussian((41, 81, 81), (20, 40, 40), (2.0, 3.0, 4.0))
    box = crop_box(data)
    # on-axis: exp(-z²/8) ≥ 1e-3 up to |z| = 7.4; laterally 5e-5 of a Gaussian lie beyond 4.06 σ
    assert box[0] == slice(13, 28)
    assert [(b.stop - b.start) // 2 for b in box[1:]] == [12, 16]
    assert data[box].sum() / data[box[0]].sum() > 1 - 1e-4
