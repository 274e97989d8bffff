"""RLN's loss against an independent calculation."""

import numpy as np
import pytest

from decon3d.training.losses import global_ssim, rln_loss


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
