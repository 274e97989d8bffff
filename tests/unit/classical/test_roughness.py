"""Good's roughness: the root that maximises the penalised likelihood, and what it does."""

import numpy as np
import pytest

from decon3d.classical import slabs
from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.classical.roughness import axis_weights, neighbour_roots, smooth
from decon3d.classical.slabs import Slabs

VOXEL = (0.3, 0.1, 0.1)


def volume(shape=(6, 7, 8), seed=0):
    return np.random.default_rng(seed).random(shape, np.float32) * 10


def step(before, y, weight, voxel_size_um=VOXEL):
    new = y.copy()
    roots = neighbour_roots(before, voxel_size_um=voxel_size_um)
    smooth(new, roots, weight=weight, voxel_size_um=voxel_size_um)
    return new


def roughness(x, voxel_size_um=VOXEL):
    u = np.sqrt(x.astype(float))
    return sum(
        w * np.square(np.diff(u, axis=axis)).sum()
        for axis, w in enumerate(axis_weights(voxel_size_um))
    )


def test_weights_follow_the_physical_voxel_size():
    assert axis_weights((0.3, 0.1, 0.1)) == pytest.approx((1 / 9, 1, 1))


def test_the_new_estimate_is_the_positive_root_of_its_equation():
    before, y, weight = volume(seed=1), volume(seed=2), 0.7
    new = step(before, y, weight).astype(float)
    own = 4 * sum(axis_weights(VOXEL))
    u, pull = np.sqrt(new), neighbour_roots(before, voxel_size_um=VOXEL)
    np.testing.assert_allclose(
        (1 + weight * own) * new - weight * pull * u, y, rtol=1e-4, atol=1e-4
    )
    assert (new > 0).all()


def test_the_fixed_point_balances_likelihood_and_roughness():
    """Of Σ (y log x - x) - λ R(x): its gradient vanishes where the iteration ends."""
    y, weight = volume() + 1, 0.5
    x = y.copy()
    for _ in range(600):
        x = step(x, y, weight)
    x = x.astype(float)
    place, change = (2, 3, 5), 1e-3

    def objective(values):
        return float((y * np.log(values) - values).sum()) - weight * roughness(values)

    raised, lowered = x.copy(), x.copy()
    raised[place] += change
    lowered[place] -= change
    slope = (objective(raised) - objective(lowered)) / (2 * change)
    alone = float((y / x - 1)[place])
    assert abs(slope) < 1e-3 < 0.02 < abs(alone)
    assert roughness(x) < 0.5 * roughness(y)


@pytest.mark.parametrize("level", [0.0, 1e-6, 3.0, 1e6])
def test_flat_stays(level):
    flat = np.full((5, 6, 7), level, np.float32)
    np.testing.assert_allclose(step(flat, flat, 0.5), flat, rtol=1e-5)


def test_slabs_and_threads_change_nothing(monkeypatch):
    x = volume((23, 12, 13))
    whole = neighbour_roots(x, voxel_size_um=VOXEL)
    monkeypatch.setattr(slabs, "SLAB_BYTES", 1)
    np.testing.assert_array_equal(neighbour_roots(x, voxel_size_um=VOXEL, slabs=Slabs(2)), whole)
    single = neighbour_roots(x[:1], voxel_size_um=VOXEL)
    expected = neighbour_roots(np.repeat(x[:1], 3, axis=0), voxel_size_um=VOXEL)[1:2]
    np.testing.assert_allclose(single, expected, rtol=1e-6)


@pytest.mark.parametrize("weight", [0.1, 100.0])
def test_any_weight_converges_and_more_of_it_is_smoother(weight):
    rng = np.random.default_rng(0)
    axes = np.meshgrid(*(np.arange(n) - n // 2 for n in (5, 7, 7)), indexing="ij")
    psf = np.exp(-sum(a**2 for a in axes) / 4)
    shape = (10, 24, 24)
    image = rng.poisson(20 + 10 * np.sin(np.arange(24) / 3) * np.ones(shape)).astype(np.float32)
    model = Blur(shape, psf=psf / psf.sum())
    options = {"model": model, "background": 1.0, "initial": 10.0, "voxel_size_um": (2, 1, 1)}
    plain = richardson_lucy(image, iterations=40, **options)
    found = richardson_lucy(image, iterations=40, roughness_weight=weight, **options)
    later = richardson_lucy(image, iterations=80, roughness_weight=weight, **options)
    assert np.isfinite(found).all() and (found >= 0).all()
    assert roughness(found) < 0.2 * roughness(plain)
    assert roughness(later) < 1.5 * roughness(found)
    # In counts: twice the light, twice the estimate.
    doubled = {**options, "background": 2.0, "initial": 20.0}
    twice = richardson_lucy(2 * image, iterations=40, roughness_weight=weight, **doubled)
    np.testing.assert_allclose(twice, 2 * found, rtol=2e-3, atol=1e-3)


def test_what_the_image_does_not_see_stays_empty():
    image = np.full((8, 20, 20), 50, np.float32)
    image[:, :, :12] = np.nan
    axes = np.meshgrid(*(np.arange(3) - 1,) * 3, indexing="ij")
    psf = np.exp(-sum(a**2 for a in axes) / 2.0)
    estimate = richardson_lucy(
        image,
        model=Blur(image.shape, psf=psf / psf.sum()),
        background=1.0,
        iterations=30,
        initial=40.0,
        roughness_weight=1.0,
    )
    assert (estimate[:, :, :10] == 0).all()
    np.testing.assert_allclose(estimate[2:-2, 4:-4, 15:-3], 49, rtol=0.05)
