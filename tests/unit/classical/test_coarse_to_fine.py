"""Coarse to fine: the binned model is exact, blocks fit together, and quality costs less."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from decon3d.classical.channel import base_recipe
from decon3d.classical.coarse_to_fine import (
    CoarseGrid,
    binned,
    binned_psf,
    bins_of,
    lost_share,
    most_coarse,
)
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rl_roughness import RlRoughness
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import Observation
from decon3d.classical.tuning import AffineScore, CoarseSubjects, tune, with_truth
from decon3d.optics.psf import normalised_psf
from decon3d.volumes.statistics import ChannelStatistics
from support.gaussians import gaussian_psf

PSF = gaussian_psf((9, 9, 9), (1.2, 1.2, 1.2))
RECIPE = Recipe(5.0, 10.0, (1.0, 1.0, 1.0), coarse_to_fine=True)


def specimen(shape=(24, 44, 44), photons=200.0, seed=0):
    """Thin bright structures on darkness; counts (Z Y X) and the object in the frame."""
    rng = np.random.default_rng(seed)
    model = Blur(shape, psf=PSF)
    field = gaussian_filter(rng.normal(size=model.object_shape), 1.2)
    truth = np.clip(field / field.std() - 1.5, 0, None).astype(np.float32)
    truth *= photons / model.forward(truth).max()
    light = np.maximum(model.forward(truth), 0) + 5
    return rng.poisson(light).astype(np.float32), truth[model.inside]


def last(recipe, image, iterations, **options):
    model = recipe.model(image.shape, psf=PSF, threads=1)
    ((_, estimate),) = recipe.estimates(image, model=model, iterations=[iterations], **options)
    return estimate.copy()


@pytest.mark.parametrize("origin", [(0, 0, 0), (1, 0, 1)])
@pytest.mark.parametrize("bins", [(2, 2, 2), (1, 2, 2)])
def test_the_binned_model_is_exact_for_objects_of_coarse_voxels(origin, bins):
    psf = gaussian_psf((5, 9, 9), (0.5 if bins[0] == 1 else 1.0, 1.5, 1.5))
    fine = Blur((9, 14, 15), psf=psf)
    grid = CoarseGrid(fine, origin)
    assert tuple(grid.bins) == bins
    coarse = np.random.default_rng(0).random(grid.model.object_shape).astype(np.float32)
    spread = coarse
    for axis, n in enumerate(bins):
        first = n * grid.model.inside[axis].start + origin[axis] % n - fine.inside[axis].start
        spread = np.repeat(spread, n, axis=axis)
        spread = np.take(spread, range(first, first + fine.object_shape[axis]), axis=axis)
    observed = grid.observation(Observation(fine.forward(spread), None, None))
    expected = grid.model.forward(coarse)
    seen = np.ones_like(expected) if observed.seen is None else observed.seen
    whole = seen == 1
    assert whole.sum() > 100
    np.testing.assert_allclose(observed.counts[whole], expected[whole], rtol=1e-4)


def test_binned_psfs_keep_their_sum_centre_and_width():
    psf = gaussian_psf((7, 11, 11), (1.0, 2.0, 2.0))
    coarse = binned_psf(psf, (2, 2, 2))
    assert all(size % 2 for size in coarse.shape)
    assert coarse.sum() == pytest.approx(1, abs=1e-5)
    y = np.arange(coarse.shape[1]) - coarse.shape[1] // 2
    line = coarse.sum(axis=(0, 2))
    assert (line * y).sum() == pytest.approx(0, abs=1e-5)
    # Variances add: the PSF's and, of light over two voxels and of their mean, 1/4 each.
    fine = np.arange(11) - 5
    variance = (psf.sum(axis=(0, 2)) * fine**2).sum()
    assert 4 * (line * y**2).sum() == pytest.approx(variance + 1 / 4 + 1 / 4, rel=0.005)


def test_narrow_axes_and_flat_images_are_not_binned():
    assert bins_of(gaussian_psf((5, 9, 9), (0.5, 1.0, 1.0))) == [1, 2, 2]
    assert bins_of(gaussian_psf((1, 9, 9), (1.0, 1.0, 1.0))) == [1, 2, 2]
    narrow = gaussian_psf((5, 5, 5), (0.5, 0.5, 0.5))
    image, _ = specimen((8, 12, 12))
    model = RECIPE.model(image.shape, psf=narrow, threads=1)
    ((_, got),) = RECIPE.estimates(image, model=model, iterations=[5])
    got = got.copy()
    full = replace(RECIPE, coarse_to_fine=False)
    ((_, same),) = full.estimates(image, model=model, iterations=[5])
    np.testing.assert_array_equal(got, same)


def test_a_sharper_psf_takes_more_iterations_on_the_full_grid():
    shares = [
        lost_share(gaussian_psf((9, 9, 9), (width,) * 3), (2, 2, 2)) for width in (1.0, 1.2, 1.5)
    ]
    assert shares[0] > 0.6 > shares[1] > shares[2]


@pytest.mark.parametrize("photons", [50.0, 500.0])
@pytest.mark.parametrize("tv_weight", [0.0, 0.003])
def test_quality_is_that_of_as_many_iterations_on_the_full_grid(photons, tv_weight):
    recipe = replace(RECIPE, tv_weight=tv_weight)
    image, truth = specimen(photons=photons)
    score = AffineScore(truth)
    best = {}
    for name, used in (
        ("coarse to fine", recipe),
        ("full grid", replace(recipe, coarse_to_fine=False)),
    ):
        estimates = {n: last(used, image, n) for n in (8, 13, 18, 25)}
        best[name] = max(score(estimate) for estimate in estimates.values())
        best[f"{name}, light"] = estimates[13].sum()
    print(photons, tv_weight, best)
    assert best["coarse to fine"] > best["full grid"] - 0.4
    assert best["coarse to fine, light"] == pytest.approx(best["full grid, light"], rel=0.02)


def test_bright_points_and_lines_do_not_diverge():
    """A back projector that amplifies high frequencies diverged here within ten iterations."""
    model = Blur((20, 40, 40), psf=PSF)
    truth = np.zeros(model.object_shape, np.float32)
    truth[12, :, 20] = 1
    truth[16, 24, 30] = 3
    truth *= 20_000 / model.forward(truth).max()
    rng = np.random.default_rng(0)
    image = rng.poisson(np.maximum(model.forward(truth), 0) + 0.3).astype(np.float32)
    recipe = Recipe(0.3, 100.0, (1.0, 1.0, 1.0), coarse_to_fine=True)
    errors = []
    for iterations in (15, 60, 300):
        error = np.square(last(recipe, image, iterations) - truth[model.inside]).sum()
        errors.append(float(error / np.square(truth).sum()))
    assert errors[0] < 0.3 and errors[1] < 1e-3 and errors[2] < 5e-3


@pytest.mark.parametrize("start", [12, 13])
def test_blocks_fit_together_whatever_their_first_voxel(start):
    """The coarse grid belongs to the volume: a block with an odd first voxel has the same one."""
    image, _ = specimen((24, 44, 64))
    whole = last(RECIPE, image, 9)
    block = last(RECIPE, image[:, :, start:], 9, origin=(0, 0, start))
    inner = np.s_[:, :, start + 18 :]
    difference = np.abs(block[:, :, 18:] - whole[inner])
    assert difference.max() < 2e-3 * whole.max()


def test_missing_voxels_on_the_coarse_grid():
    image, truth = specimen()
    image[5:8, 11:14, 20:23] = np.nan
    estimate = last(RECIPE, image, 10)
    assert np.isfinite(estimate).all()
    gap = np.s_[5:8, 11:14, 20:23]
    mean = float(truth.mean())
    assert abs(estimate[gap].mean() - truth[gap].mean()) < 20 * mean
    known = np.isfinite(image)
    full = AffineScore(truth[known][None, None])(estimate[known][None, None])
    assert full > 20


def test_only_who_asks_for_it_goes_coarse_to_fine():
    image, _ = specimen()
    options = {
        "statistics": ChannelStatistics.of_image(image),
        "psf": normalised_psf(PSF, (1.0, 1.0, 1.0), {}),
        "camera": None,
    }
    for method, expected in (
        (Rl(kind="rl"), False),
        (Rltv(kind="rltv"), False),
        (Rl(kind="rl", acceleration="none"), False),
        (RlRoughness(kind="rl_roughness"), False),
        (Rl(kind="rl", acceleration="coarse_to_fine"), True),
        (Rltv(kind="rltv", acceleration="coarse_to_fine"), True),
    ):
        recipe = base_recipe(method, **options)
        assert recipe.coarse_to_fine is expected
        assert recipe.acceleration == ("none" if method.acceleration == "none" else "heavy_ball")
    with pytest.raises(ValueError, match="coarse_to_fine needs stopping: fixed"):
        Rl(kind="rl", acceleration="coarse_to_fine", stopping="relative_change")


def test_given_coarse_iterations_come_before_all_on_the_full_grid():
    image, _ = specimen()
    recipe = replace(RECIPE, coarse_iterations=6)
    model = recipe.model(image.shape, psf=PSF, threads=1)
    several = {n: x.copy() for n, x in recipe.estimates(image, model=model, iterations=[1, 4, 7])}
    assert list(several) == [1, 4, 7]
    for number, estimate in several.items():
        np.testing.assert_array_equal(estimate, last(recipe, image, number))
    # As many as a given number N makes: N on the coarse grid, some on the full one.
    fine = round(6 * CoarseGrid(model, (0, 0, 0)).full_share)
    np.testing.assert_array_equal(last(recipe, image, fine), last(RECIPE, image, 6))


def test_binned_images_are_means_and_gaps_stay_gaps():
    image = np.arange(5 * 4 * 6, dtype=np.float32).reshape(5, 4, 6)
    image[0, 0, 0] = np.nan
    got = binned(image, (2, 1, 2))
    assert got.shape == (2, 4, 3) and np.isnan(got[0, 0, 0])
    assert got[1, 2, 1] == image[2:4, 2, 2:4].mean()
    recipe = replace(RECIPE, saturation=90.0)
    pair, on_grid = recipe.binned(image, (2, 1, 2))
    assert np.isnan(pair[1, 3, 2]) and np.isfinite(pair[1, 0, 2])
    assert (on_grid.voxel_size_um, on_grid.coarse_to_fine) == ((2.0, 1.0, 2.0), False)


@pytest.mark.parametrize("prior", [None, "tv_weight"])
def test_a_search_on_the_path_itself_loses_nothing(prior):
    image, truth = specimen(photons=300.0)
    bins = bins_of(PSF)
    pair, on_grid = RECIPE.binned(image, bins)
    coarse = CoarseSubjects(
        with_truth([pair], [binned(truth, bins)], [on_grid]),
        binned_psf(PSF, bins),
        most_coarse(PSF, bins),
    )
    options = {"psf": PSF, "prior": prior, "max_iterations": 60}
    found = tune(with_truth([image], [truth], [RECIPE]), coarse=coarse, **options)
    full = replace(RECIPE, coarse_to_fine=False)
    best = tune(with_truth([image], [truth], [full]), **options)
    assert 1 <= found.coarse_iterations <= most_coarse(PSF, bins)
    assert found.iterations < best.iterations
    assert found.score > best.score - 0.1
    chosen = replace(RECIPE, coarse_iterations=found.coarse_iterations, tv_weight=found.weight)
    assert AffineScore(truth)(last(chosen, image, found.iterations)) == pytest.approx(found.score)


def test_dim_structure_the_coarse_grid_cannot_hold_bounds_its_iterations():
    sharp, wide = (gaussian_psf((9, 9, 9), (width,) * 3) for width in (0.8, 1.6))
    assert most_coarse(sharp, (2, 2, 2)) < 10 < most_coarse(wide, (2, 2, 2))
