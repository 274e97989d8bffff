import json
from dataclasses import asdict

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.tuning import AffineScore, checkpoints, search, tune, with_truth
from decon3d.errors import UserError


def bowl(*, best_weight, best_iterations, most=2000, calls=None):
    """Scores with one peak, in log λ and log iterations."""

    def scores_of(weight):
        calls is not None and calls.append(weight)
        off = 0.0 if weight == 0 else np.log(weight / best_weight) ** 2
        for k in checkpoints(most):
            yield k, 30 - off - np.log(k / best_iterations) ** 2

    return scores_of


@pytest.mark.parametrize("best_weight", [1e-4, 0.0021, 0.1])
def test_the_search_ends_at_the_interior_optimum(best_weight):
    calls = []
    result = search(
        bowl(best_weight=best_weight, best_iterations=90, calls=calls),
        tv=True,
    )  # fmt: skip
    assert best_weight / 3**0.5 < result.tv_weight < best_weight * 3**0.5
    assert 80 <= result.iterations <= 100
    tried = {trial.tv_weight for trial in result.curve}
    assert min(tried) < result.tv_weight < max(tried)
    assert len(calls) == len(tried) <= 10  # no λ is run twice
    assert max(t.iterations for t in result.curve) < 300  # runs end soon after their peak


def test_without_total_variation_only_iterations_are_searched():
    result = search(bowl(best_weight=1, best_iterations=20), tv=False)
    assert (result.tv_weight, result.iterations) == (0.0, pytest.approx(20, abs=2))


def test_a_score_that_levels_off_ends_the_search():
    def scores_of(weight):
        for k in checkpoints(2000):
            yield k, 30 - 5 / k**2

    result = search(scores_of, tv=False)
    assert result.iterations == pytest.approx(22, abs=2)  # 5 / 22² = 0.01 dB


def test_a_rise_to_the_last_iteration_is_an_error():
    scores_of = bowl(best_weight=0.002, best_iterations=5000)
    for tv in (False, True):
        with pytest.raises(UserError, match="still rises after 2000"):
            search(scores_of, tv=tv)


@pytest.mark.parametrize("best_weight", [1e-7, 50])
def test_an_optimum_at_the_edge_of_the_weights_is_an_error(best_weight):
    with pytest.raises(UserError, match="edge"):
        search(bowl(best_weight=best_weight, best_iterations=50), tv=True)


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
    with pytest.raises(UserError, match="flat"):
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
    plain, smooth = (tune(with_truth(**pairs), psf=psf, tv=tv, threads=2) for tv in (False, True))
    blurred = [
        AffineScore(t)(i.astype(np.float32))
        for i, t in zip(pairs["images"], pairs["truths"], strict=True)
    ]
    assert plain.score > np.mean(blurred) + 0.5
    assert smooth.score > plain.score + 0.1
    iterations = [t.iterations for t in smooth.curve if t.tv_weight == smooth.tv_weight]
    assert min(iterations) < smooth.iterations < max(iterations)
    json.dumps(asdict(smooth), allow_nan=False)


def test_too_few_iterations_are_an_error(noisy_pairs):
    with pytest.raises(UserError, match="still rises"):
        tune(with_truth(**noisy_pairs[0]), psf=noisy_pairs[1], tv=False, max_iterations=3)
