"""MicroSSIM: what it does not mind, and that it tells dim images apart where SSIM does not."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from decon3d.evaluation.metrics.microssim import microssim
from decon3d.evaluation.metrics.ssim import ssim
from decon3d.evaluation.sampling import PLANE_PART, spread_parts


@pytest.fixture(scope="module")
def truth():
    points = np.random.default_rng(5).random((3, 60, 50)) > 0.98
    return gaussian_filter(points.astype(float), (0, 1.2, 1.2))


def test_scale_and_offset_are_not_seen(truth):
    noisy = truth + np.random.default_rng(0).normal(0, 0.01, truth.shape)
    value = microssim(noisy, truth)
    assert 0.3 < value < 0.95
    assert microssim(40 * noisy + 7, truth) == pytest.approx(value, abs=1e-4)
    assert microssim(noisy, 40 * truth + 7) == pytest.approx(value, abs=1e-4)
    assert microssim(3 * truth + 1, truth) == pytest.approx(1, abs=1e-6)


def test_it_is_scikit_images_ssim_at_the_best_scale(truth):
    """Searched for by brute force, above the backgrounds."""
    noisy = 0.3 * truth + np.random.default_rng(1).normal(0, 0.004, truth.shape)
    t, p = truth - np.percentile(truth, 3), noisy - np.percentile(noisy, 3)

    def at(scale):
        return np.mean(
            [
                structural_similarity(
                    a,
                    scale * b,
                    data_range=t.max(),
                    gaussian_weights=True,
                    sigma=1.5,
                    use_sample_covariance=False,
                )
                for a, b in zip(t, p, strict=True)
            ]
        )

    best = max(at(scale) for scale in np.linspace(1, 5, 81))
    assert microssim(noisy, truth) == pytest.approx(best, abs=1e-5)


def test_a_pedestal_saturates_ssim_and_not_this(truth):
    dim = 100 + 3 * truth
    nothing = np.full_like(dim, 100) + np.random.default_rng(2).normal(0, 0.05, dim.shape)
    assert ssim(nothing[0], dim[0], data_range=dim.max()) > 0.99
    assert microssim(nothing, dim) < 0.5


def test_voxels_without_data_and_constant_images(truth):
    noisy = truth + np.random.default_rng(0).normal(0, 0.01, truth.shape)
    left = microssim(noisy[:, :, :30], truth[:, :, :30])
    holes = noisy.copy()
    holes[:, :, 30:] = np.nan
    # Windows near the border hold data that the cut image does not have: none is used.
    assert microssim(holes, truth) == pytest.approx(left, abs=1e-6)
    assert math.isnan(microssim(np.ones_like(truth), truth))
    assert math.isnan(microssim(truth, np.ones_like(truth)))
    assert math.isnan(microssim(np.full_like(truth, np.nan), truth))


def test_parts_of_large_planes_lie_along_a_diagonal():
    assert spread_parts((4, 40, 30)) == [(z, slice(0, 40), slice(0, 30)) for z in range(4)]
    parts = spread_parts((90, 5000, 600))
    assert len(parts) == 9
    for _, rows, columns in parts:
        assert rows.stop - rows.start == columns.stop - columns.start == PLANE_PART
        assert rows.start >= 0 and rows.stop <= 5000 and columns.stop <= 600
    assert np.all(np.diff([rows.start for _, rows, _ in parts]) > 300)


def test_one_hot_voxel_changes_little(truth):
    noisy = truth + np.random.default_rng(0).normal(0, 0.01, truth.shape)
    value = microssim(noisy, truth)
    noisy[0, 20, 20] = 1000 * truth.max()
    assert microssim(noisy, truth) == pytest.approx(value, abs=0.05)
