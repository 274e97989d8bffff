import json
from dataclasses import asdict

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.tuning import AffineScore, checkpoints, search, tune, with_truth
from decon3d.errors import UserError


def bowl(*, best_weight, best_iterations, calls=None):
    """Scores with one peak, in log λ and log iterations."""

    def scores_of(weight, most):
        calls is not None and calls.append(weight)
        off = 0.0 if weight == 0 else np.log(weight / best_weight) ** 2
        for k in checkpoints(most):
            yield k, 30 - off - np.log(k / best_iterations) ** 2

    return scores_of


@pytest.mark.parametrize("best_weight", [1e-4, 0.0021, 0.1])
def test_the_search_ends_at_the_interior_optimum(best_weight):
    calls = []
    result = search(
        bowl(best_weight=best_weight, best_iterations=90, calls=calls), prior="tv_weight"
    )
    assert best_weight / 3**0.5 < result.weight < best_weight * 3**0.5
    assert 70 <= result.iterations <= 95  # the first within 0.05 dB
    tried = {trial.weight for trial in result.curve}
    assert min(tried) < result.weight < max(tried)
    assert len(calls) == len(tried) <= 10  # no λ is run twice
    assert max(t.iterations for t in result.curve) < 300  # runs end soon after their peak


def test_without_total_variation_only_iterations_are_searched():
    result = search(bowl(best_weight=1, best_iterations=20), prior=None)
    assert (result.weight, result.iterations) == (0.0, pytest.approx(17, abs=2))


def levelling_off(weight, most):
    """30 dB in the end; each doubling of the iterations gains half as much as the one before."""
    for k in checkpoints(most):
        yield k, 30 - 20 / k


def test_a_score_that_levels_off_ends_the_search_and_what_is_left_is_stated():
    result = search(levelling_off, prior=None, most=4000)
    assert result.ended_by is None
    assert result.curve[-1].iterations < 600
    lost = 30 - result.score
    assert lost <= 0.1
    assert result.to_gain == pytest.approx(lost, rel=0.1)


def test_a_rise_to_the_bound_is_a_result_that_says_so_and_what_is_still_to_gain():
    result = search(levelling_off, prior=None, most=100)
    assert result.ended_by == "100 iterations"
    assert max(t.iterations for t in result.curve) == 100
    assert result.to_gain == pytest.approx(30 - result.score, rel=0.1)


def test_a_peak_leaves_nothing_to_gain_but_the_tolerance():
    result = search(bowl(best_weight=0.006, best_iterations=40), prior="tv_weight")
    assert result.ended_by is None and 0 <= result.to_gain <= 0.05


def test_the_iterations_of_all_weights_together_are_bounded():
    scores_of = bowl(best_weight=0.1, best_iterations=40)
    whole = search(scores_of, prior="tv_weight")
    tried = sum({t.weight: t.iterations for t in whole.curve}.values())
    result = search(scores_of, prior="tv_weight", in_all=tried // 2)
    assert result.ended_by == f"{tried // 2} iterations in all"
    assert sum({t.weight: t.iterations for t in result.curve}.values()) <= tried // 2
    assert result.to_gain >= whole.score - result.score


@pytest.mark.parametrize(("best_weight", "edge"), [(1e-7, "1e-05: the prior does"), (50, "1")])
def test_an_optimum_at_the_edge_of_the_weights_is_a_result_that_says_so(best_weight, edge):
    result = search(bowl(best_weight=best_weight, best_iterations=50), prior="tv_weight")
    assert result.ended_by.startswith(f"tv_weight {edge}")


def test_a_plateau_of_the_weights_is_not_climbed():
    def level(weight, most):
        return ((k, 10 - abs(np.log(k / 20)) - 1e-4 * weight) for k in checkpoints(most))

    result = search(level, prior="tv_weight")
    assert result.ended_by is None and len({t.weight for t in result.curve}) == 4


def test_the_score_is_the_psnr_of_the_least_squares_match():
    rng = np.random.default_rng(0)
    truth = rng.random((6, 7, 8)) * 900 + 100
    estimate = (0.3 * truth + rng.normal(0, 20, truth.shape) - 50).astype(np.float32)
    slope, offset = np.polyfit(estimate.ravel(), truth.ravel(), 1)
    expected = peak_signal_noise_ratio(
        truth, slope * estimate + offset, data_range=truth.max() - truth.min()
    )
    assert AffineScore(truth)(estimate) == pytest.approx(expected, abs=1e-3)
    assert AffineScore(truth)(5 * estimate + 7) == pytest.approx(expected, abs=1e-3)
    with pytest.raises(UserError, match="constant"):
        AffineScore(np.ones((3, 3, 3)))


@pytest.fixture(scope="module")
def noisy_pairs():
    axes = [np.arange(n) - n // 2 for n in (5, 7, 7)]
    psf = np.exp(-sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) / 4)
    psf /= psf.sum()
    images, truths = [], []
    for seed in (0, 1):
        rng = np.random.default_rng(seed)
        model = Blur((12, 24, 24), psf=psf)
        truth = np.zeros(model.object_shape, np.float32)
        for _ in range(12):
            z, y, x = (rng.integers(0, n - 5) for n in truth.shape)
            truth[z : z + 4, y : y + 5, x : x + 5] += 40
        images.append(rng.poisson(np.maximum(model.forward(truth), 0) + 5).astype(np.uint16))
        truths.append(truth[model.inside])
    recipes = [Recipe(5.0, float(i.mean()) - 5, (0.2, 0.1, 0.1)) for i in images]
    return {"images": images, "truths": truths, "recipes": recipes}, psf


def test_tuning_finds_a_better_restoration_with_total_variation(noisy_pairs):
    pairs, psf = noisy_pairs
    plain, smooth = (
        tune(with_truth(**pairs), psf=psf, prior=prior, threads=2) for prior in (None, "tv_weight")
    )
    blurred = [
        AffineScore(t)(i.astype(np.float32))
        for i, t in zip(pairs["images"], pairs["truths"], strict=True)
    ]
    assert plain.score > np.mean(blurred) + 0.5
    assert smooth.score > plain.score + 0.1
    iterations = [t.iterations for t in smooth.curve if t.weight == smooth.weight]
    assert min(iterations) < smooth.iterations < max(iterations)
    json.dumps(asdict(smooth), allow_nan=False)


def test_the_bounds_hold_for_real_runs(noisy_pairs):
    subjects = with_truth(**noisy_pairs[0])
    result = tune(subjects, psf=noisy_pairs[1], prior=None, max_iterations=3)
    assert (result.iterations, result.ended_by) == (3, "3 iterations")
    assert result.to_gain > 0.1


def test_the_search_over_the_roughness_has_its_own_ladder_and_setting(noisy_pairs):
    pairs, psf = noisy_pairs
    subjects = with_truth(**pairs)
    rough = tune(subjects, psf=psf, prior="roughness_weight", threads=2)
    plain = tune(subjects, psf=psf, prior=None, threads=2)
    assert rough.score > plain.score + 0.05
    assert 0.005 < rough.weight < 2
    low = search(bowl(best_weight=1e-7, best_iterations=50), prior="roughness_weight")
    assert low.ended_by.startswith("roughness_weight 0.0001")
