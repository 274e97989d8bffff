"""The published losses against independent calculations."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import laplace as laplace_distribution
from skimage.metrics import structural_similarity

from decon3d.networks.losses import global_ssim, hessian, laplace, rln_loss, windowed_ssim
from decon3d.networks.registry import network
from decon3d.phantoms.recipes import make_object
from decon3d.seeds import generator
from decon3d.settings import METHOD_KINDS


def test_rln_loss_by_hand():
    rng = np.random.default_rng(0)
    p, e, x, g = rng.uniform(0, 1, (4, 2, 3, 4, 5, 1))
    covariance = np.cov(p.ravel(), g.ravel(), bias=True)
    ssim = (2 * p.mean() * g.mean() + 1e-4) * (2 * covariance[0, 1] + 9e-4)
    ssim /= (p.mean() ** 2 + g.mean() ** 2 + 1e-4) * (np.trace(covariance) + 9e-4)
    mse = np.mean((p - g) ** 2) + 1e-4
    auxiliary = 0.1 * (np.mean((e - 0.8 * g - 0.2 * x) ** 2) + 1e-4)
    parts = rln_loss(restored=p, first=e, image=x, truth=g)
    assert float(parts["loss"]) == pytest.approx(mse - np.log((1 + ssim) / 2) + auxiliary)
    assert float(parts["auxiliary"]) == pytest.approx(auxiliary)
    without = rln_loss(restored=p, first=e, image=x, truth=g, auxiliary=False)
    assert float(without["loss"]) == pytest.approx(mse - np.log((1 + ssim) / 2))


def test_a_perfect_restoration_leaves_the_floor():
    g = np.random.default_rng(1).uniform(0, 1, (1, 4, 4, 4, 1))
    assert float(global_ssim(g, g)) == pytest.approx(1)
    parts = rln_loss(restored=g, first=g, image=g, truth=g)
    assert float(parts["loss"]) == pytest.approx(1.1e-4)


def test_hessian_of_a_quadratic():
    z, y, x = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in (5, 6, 7)], indexing="ij")
    volume = 1.5 * z**2 + 0.5 * y**2 + 2 * z * x - y * x + 3 * z + 7
    expected = 3**2 + 1**2 + 0**2 + 2 * (0 + 2**2 + 1**2)  # zz, yy, xx, 2 (zy, zx, yx)
    value = float(hessian(np.stack([volume, -volume])[..., None]))
    assert value == pytest.approx(math.sqrt(expected + 2.5e-5))
    assert float(hessian(np.ones((1, 4, 4, 4, 1), np.float32))) == pytest.approx(5e-3)


@pytest.mark.parametrize("shape", [(12, 13, 17), (11, 11, 30)])
def test_windowed_ssim_is_that_of_scikit_image(shape):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 1, (2, 1, *shape, 1)).astype(np.float32)
    b = 0.7 * a + 0.3 * b
    _, full = structural_similarity(
        a[0, ..., 0],
        b[0, ..., 0],
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1.0,
        full=True,
    )
    inside = full[5:-5, 5:-5, 5:-5].mean()
    assert float(windowed_ssim(a, b)) == pytest.approx(inside, abs=1e-4)


def test_windowed_ssim_of_thin_volumes():
    a, b = np.random.default_rng(0).uniform(0, 1, (2, 1, 4, 16, 16, 1)).astype(np.float32)
    assert float(windowed_ssim(a, a)) == pytest.approx(1, abs=1e-5)
    assert -1 <= float(windowed_ssim(a, b)) < 0.5


def test_laplace_is_the_negative_log_likelihood():
    rng = np.random.default_rng(0)
    mean, scale, truth = rng.uniform(0.1, 2, (3, 1, 4, 4, 4, 1)).astype(np.float32)
    expected = -laplace_distribution.logpdf(truth, mean, scale).mean()
    assert float(laplace(mean, scale, truth)) == pytest.approx(expected)


def test_neurodecon_prefers_the_truth_only_with_the_weight_of_normalised_images():
    truth = make_object(
        "broad", shape=(16, 32, 32), voxel_size_um=(0.3, 0.1, 0.1), rng=generator(1, "hessian")
    )[None, ..., None]
    truth /= np.percentile(truth, 99.5)
    empty, smooth = np.zeros_like(truth), gaussian_filter(truth, (0, 2, 2, 2, 0))

    def loss(restored, **training):
        method = METHOD_KINDS["neurodecon"](kind="neurodecon", training=training)
        return float(network("neurodecon").loss(restored, truth, truth, method)["loss"])

    assert loss(truth) < min(loss(smooth), loss(empty))
    assert loss(empty, hessian_weight=0.78) < loss(truth, hessian_weight=0.78)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        (
            "neurodecon",
            {"training": {"hessian_weight": 0.78}},
            lambda p, g: np.mean((p - g) ** 2) + 0.78 * float(hessian(p)),
        ),
        (
            "neurodecon",
            {"large": True},
            lambda p, g: np.abs(p - g).mean() + 0.15 * (1 - float(windowed_ssim(p, g))),
        ),
        ("care", {}, lambda p, g: np.abs(p - g).mean()),
        ("rcan", {}, lambda p, g: np.abs(p - g).mean()),
        ("rcan", {"loss": "mse"}, lambda p, g: np.mean((p - g) ** 2)),
    ],
)
def test_networks_use_their_published_loss(kind, options, expected):
    p, g = np.random.default_rng(0).uniform(0, 1, (2, 1, 12, 12, 12, 1)).astype(np.float32)
    method = METHOD_KINDS[kind](kind=kind, **options)
    loss = network(kind).loss(p, p, g, method)["loss"]
    assert float(loss) == pytest.approx(expected(p, g), rel=1e-5)
