"""The ideal ball, and taking it out of a bead's image."""

import numpy as np
import pytest
from scipy import fft

from decon3d.optics.ball import FWHM_OF_SIGMA, ideal_ball, without_ball
from decon3d.optics.psf import fwhm_um
from decon3d.optics.theory import theoretical_psf
from decon3d.settings import Optics
from support.gaussians import gaussian


def moments(data, voxel):
    grids = [g * v for g, v in zip(np.indices(data.shape), voxel, strict=True)]
    centre = [(g * data).sum() for g in grids]
    return [((g - c) ** 2 * data).sum() for g, c in zip(grids, centre, strict=True)]


@pytest.mark.parametrize("voxel", [(0.05, 0.02, 0.03), (0.02, 0.02, 0.02)])
def test_the_ball_has_a_balls_size(voxel):
    ball = ideal_ball(diameter_um=0.4, voxel_size_um=voxel, shape=(31, 33, 35))
    assert ball.sum() == pytest.approx(1, abs=1e-12)
    assert ball == pytest.approx(ball[::-1, ::-1, ::-1], abs=1e-12)
    # each voxel averages over its length, which adds v² / 12
    expected = [0.4**2 / 20 + v**2 / 12 for v in voxel]
    assert moments(ball, voxel) == pytest.approx(expected, rel=5e-3)
    assert ball.max() == pytest.approx(np.prod(voxel) / (np.pi / 6 * 0.4**3), rel=5e-3)


def test_a_ball_smaller_than_a_voxel_is_one_voxel_and_longer_averages_widen():
    ball = ideal_ball(diameter_um=0.05, voxel_size_um=(0.2, 0.1, 0.1), shape=(3, 3, 3))
    assert ball[1, 1, 1] == 1
    fine = ideal_ball(
        diameter_um=0.4,
        voxel_size_um=(0.02,) * 3,
        shape=(41,) * 3,
        averaged_over_um=(0.2, 0.02, 0.02),
    )
    assert moments(fine, (0.02,) * 3)[0] == pytest.approx(0.4**2 / 20 + 0.2**2 / 12, rel=5e-3)
    with pytest.raises(ValueError, match="odd"):
        ideal_ball(diameter_um=0.1, voxel_size_um=(0.1,) * 3, shape=(4, 3, 3))


def seen(psf, *, diameter, fine, fold):
    """PSF and image of a ball through it, summed from a fine grid to voxels."""
    ball = ideal_ball(diameter_um=diameter, voxel_size_um=fine, shape=psf.shape)
    image = fft.irfftn(fft.rfftn(fft.ifftshift(ball)) * fft.rfftn(psf), psf.shape)
    for axis, k in enumerate(fold):
        starts = range(0, psf.shape[axis], k)
        psf, image = (np.add.reduceat(data, starts, axis) for data in (psf, image))
    return psf, np.clip(image / image.max(), 0, None)


def fine_grid(voxel):
    fold = [2 * round(v / 0.045) + 1 for v in voxel]
    z, y, x = (v / k for v, k in zip(voxel, fold, strict=True))
    return fold, (z, y, x)


@pytest.mark.parametrize(
    ("voxel", "psf_fwhm", "diameter"),
    [
        ((0.125, 0.04, 0.03), (0.5, 0.23, 0.17), 0.2),
        ((0.2, 0.08, 0.08), (0.6, 0.22, 0.22), 0.2),
        ((0.2, 0.065, 0.065), (0.6, 0.22, 0.22), 0.1),
    ],
)
def test_a_gaussians_width_comes_back(voxel, psf_fwhm, diameter):
    fold, fine = fine_grid(voxel)
    sigma = np.array(psf_fwhm) / FWHM_OF_SIGMA
    half = np.ceil(4 * np.hypot(sigma, diameter / 4.47) / voxel).astype(int)
    shape = tuple(int(n) for n in (2 * half + 1) * fold)
    psf = gaussian(shape, [n // 2 for n in shape], sigma / fine)
    psf, image = seen(psf, diameter=diameter, fine=fine, fold=fold)
    wanted = fwhm_um(psf, voxel)
    for noise in (0.0, 0.01):
        noisy = image + np.random.default_rng(0).normal(0, noise, image.shape) * np.sqrt(image)
        result = without_ball(np.clip(noisy, 0, None), diameter_um=diameter, voxel_size_um=voxel)
        assert result.data.min() >= 0
        assert fwhm_um(result.data, voxel) == pytest.approx(wanted, rel=0.03)
    assert np.max(np.divide(fwhm_um(image, voxel), wanted)) > 1.025  # there was something to do


def test_a_diffraction_psf_comes_back():
    voxel, diameter = (0.15, 0.06, 0.06), 0.2
    fold, fine = fine_grid(voxel)
    optics = Optics(modality="confocal", numerical_aperture=1.2, immersion_index=1.333)
    shape = (21 * fold[0], 29 * fold[1], 29 * fold[2])
    psf = theoretical_psf(optics=optics, emission_um=0.52, voxel_size_um=fine, shape=shape)
    psf, image = seen(psf, diameter=diameter, fine=fine, fold=fold)
    result = without_ball(image, diameter_um=diameter, voxel_size_um=voxel)
    wanted = np.array(fwhm_um(psf, voxel))
    assert fwhm_um(result.data, voxel) == pytest.approx(wanted, rel=0.01)
    assert (fwhm_um(image, voxel) > [1.03, 1.1, 1.1] * wanted).all()
    error = result.data / result.data.sum() - psf / psf.sum()
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(psf / psf.sum())
