import numpy as np
import pytest

from decon3d.classical import slabs
from decon3d.classical.slabs import Slabs
from decon3d.classical.total_variation import divide_by_tv, tv_denominator


def blob(shape, sigma):
    axes = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    return np.exp(-sum(a**2 for a in axes) / (2 * sigma**2)).astype(np.float32)


def test_a_blob_is_pressed_down_everywhere_but_at_the_faces():
    factor = 1 / tv_denominator(blob((17, 21, 19), 5), weight=0.01, voxel_size_um=(0.3, 0.1, 0.1))
    inner = factor[1:-1, 1:-1, 1:-1]
    assert inner.max() < 1
    assert inner.min() < 0.98
    assert factor.max() > 1  # nothing flows through a face


@pytest.mark.parametrize("level", [0, 1e-6, 3, 1e6])
def test_flat_stays(level):
    flat = np.full((5, 6, 7), level, np.float32)
    assert (tv_denominator(flat, weight=0.5, voxel_size_um=(1, 1, 1)) == 1).all()


def test_a_step_has_its_known_divergence_per_physical_length():
    x = np.zeros((9, 5, 5), np.float32)
    x[4:] = 2  # ∇x / |∇x| = 1 in plane 3 alone: div = 1 / spacing there, -1 / spacing behind it
    got = tv_denominator(x, weight=0.1, voxel_size_um=(0.4, 0.1, 0.1))[:, 2, 2]
    expected = np.ones(9)
    expected[3], expected[4] = 1 - 0.1 / 4, 1 + 0.1 / 4
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_denominator_is_clamped_not_the_factor():
    x = np.zeros((9, 9, 9), np.float32)
    x[4:] = 1
    denominator = tv_denominator(x, weight=50, voxel_size_um=(1, 1, 1))
    assert denominator[3, 4, 4] == pytest.approx(0.1)  # λ div > 1: the factor is 10
    assert denominator[4, 4, 4] == pytest.approx(10)


def test_minus_div_is_the_adjoint_of_the_gradient():
    # So Σ x · div(∇x/|∇x|) = - Σ |∇x|, the total variation, by plain differences.
    x = np.random.default_rng(0).random((6, 7, 8), np.float32)
    divergence = (1 - tv_denominator(x, weight=1e-3, voxel_size_um=(2, 1, 1))) / 1e-3
    steps = [np.diff(x, axis=i, append=x.take([-1], i)) for i in range(3)]
    total = np.sqrt((steps[0] / 2) ** 2 + steps[1] ** 2 + steps[2] ** 2).sum()
    assert np.vdot(x, divergence) == pytest.approx(-total, rel=1e-3)


def test_slabs_and_threads_change_nothing(monkeypatch):
    x = np.random.default_rng(0).random((23, 12, 13), np.float32)
    whole = tv_denominator(x, weight=0.1, voxel_size_um=(1, 1, 1))
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1)
    np.testing.assert_array_equal(
        tv_denominator(x, weight=0.1, voxel_size_um=(1, 1, 1), slabs=Slabs(2)), whole
    )


@pytest.mark.parametrize("depth", [1, 12, 13, 30])
@pytest.mark.parametrize("device_slabs", [Slabs(1), Slabs(3), Slabs(whole=True)])
def test_a_division_in_place_is_that_by_the_denominator(depth, device_slabs):
    x = np.random.default_rng(0).random((depth, 9, 11), np.float32)
    options = {"weight": 0.1, "voxel_size_um": (2, 1, 1), "slabs": device_slabs}
    expected = x / tv_denominator(x, **options) ** np.float32(1.5)
    divide_by_tv(x, exponent=1.5, **options)
    np.testing.assert_array_equal(x, expected)
