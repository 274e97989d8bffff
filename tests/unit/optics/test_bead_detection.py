"""Maxima of a stack and the Gaussians that fit them: known places, heights and widths."""

import numpy as np
import pytest

from decon3d.optics.bead_detection import _MOST_STEPS, FWHM_OF_SIGMA, _Gaussian, find_candidates

VOXEL = (0.2, 0.1, 0.1)


def gaussian(shape, centre, sigma, height):
    grids = np.meshgrid(*map(np.arange, shape), indexing="ij")
    away = sum(((g - c) / s) ** 2 for g, c, s in zip(grids, centre, sigma, strict=True))
    return height * np.exp(-away / 2)


def candidates(stack):
    return find_candidates(
        stack.astype(np.float32), voxel_size_um=VOXEL, expected_fwhm_um=(0.6, 0.3, 0.3)
    )


def test_the_derivatives_are_those_of_the_residual():
    fit = _Gaussian(np.zeros((5, 6, 7)), [10, 20, 30])
    p = np.array([50.0, 12.2, 22.7, 33.1, 1.3, 1.6, 2.1, 4.0])
    step = 1e-5
    for row, change in zip(fit.derivatives(p), np.eye(8) * step, strict=True):
        numeric = (fit.residual(p + change) - fit.residual(p - change)) / (2 * step)
        np.testing.assert_allclose(row, numeric, rtol=1e-6, atol=1e-6)


def test_spots_between_the_voxels_are_measured_to_a_thousandth():
    places = [
        ((10.3, 15.8, 14.1), (1.3, 1.4, 1.2), 900.0),
        ((22.6, 40.2, 35.5), (1.6, 1.2, 1.5), 500.0),
    ]
    stack = 100.0 + sum(gaussian((34, 56, 50), *place) for place in places)
    found = candidates(stack)
    assert len(found) == 2
    for spot, (centre, sigma, height) in zip(found, places, strict=True):
        np.testing.assert_allclose(spot.position, centre, atol=1e-3)
        expected = FWHM_OF_SIGMA * np.multiply(sigma, VOXEL)
        np.testing.assert_allclose(spot.fwhm_um, expected, rtol=1e-3)
        assert spot.height == pytest.approx(height, rel=1e-3)


def test_noise_costs_a_fit_no_more_than_its_limit(monkeypatch):
    """Fits of other maxima than beads do not converge; they took four fifths of all steps."""
    steps = []
    derivatives = _Gaussian.derivatives
    monkeypatch.setattr(
        _Gaussian, "derivatives", lambda self, p: (steps.append(1), derivatives(self, p))[1]
    )
    rng = np.random.default_rng(3)
    stack = rng.normal(100, 5, (30, 48, 48))
    stack[8:20, 10:40, 20] += 200  # a sheet
    found = candidates(stack)
    assert len(found) > 0 and len(steps) <= _MOST_STEPS * len(found)
