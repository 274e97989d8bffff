"""MicroSSIM: structural similarity that does not saturate on dim images.

Ashesh, Deschamps and Jug, "MicroSSIM: improved structural similarity for comparing microscopy
data", arXiv:2408.08747 (2024). A camera's pedestal makes any two dim images similar, and so does a
range set by a few bright voxels. So the background is subtracted from both images, and the
prediction is scaled for the largest similarity. Here both are found for each volume (the authors
fit them to a data set), and the window is that of Wang's SSIM; compare only values of the same
program.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.evaluation.metric import OWN, Comparison, MetricWithTruth
from decon3d.evaluation.sampling import PLANES, spread_parts

BACKGROUND = 3
"""Percentile of each image that is its background."""
SIGMA = 1.5
REACH = 5  # voxels: the Gaussian is cut at 3.5 σ, as for SSIM
K1, K2 = 0.01, 0.03
SCALES = np.linspace(-9, 9, 25)
"""Natural logarithms of the scales that are tried before the best is refined."""


def microssim(prediction: NDArray[Any], truth: NDArray[Any]) -> float:
    """Measure planes of a restoration against those of the truth.

    Parameters
    ----------
    prediction, truth
        (planes, rows, columns), at least 11 rows and columns; NaN = no data: windows that hold
        one are left out.

    Returns
    -------
    float
        Mean over all windows of the planes, at the one scale > 0 of the prediction that makes it
        largest: Gaussian window σ = 1.5 voxels in the plane, K1 0.01, K2 0.03, R = the truth's
        maximum above its background. NaN where one of the two is constant.
    """
    from scipy.ndimage import gaussian_filter, maximum_filter  # pages import all metrics
    from scipy.optimize import minimize_scalar

    absent = ~(np.isfinite(prediction) & np.isfinite(truth))
    if absent.all():
        return math.nan
    pair = []
    for image in (truth, prediction):
        values = image.astype(np.float64)
        values -= np.percentile(values[~absent], BACKGROUND)
        values[absent] = 0
        pair.append(values)
    t, p = pair
    data_range = t.max()
    if not (data_range > 0 and p.max() > 0):
        return math.nan
    p *= data_range / p.max()
    window = maximum_filter(absent, (1, 2 * REACH + 1, 2 * REACH + 1))
    window[:, :REACH] = window[:, -REACH:] = window[:, :, :REACH] = window[:, :, -REACH:] = True
    inner = ~window
    if not inner.any():
        return math.nan

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return gaussian_filter(values, (0, SIGMA, SIGMA), truncate=3.5)[inner]

    mean_t, mean_p = mean(t), mean(p)
    var_t, var_p = mean(t * t) - mean_t**2, mean(p * p) - mean_p**2
    covariance = mean(t * p) - mean_t * mean_p
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2

    def dissimilarity(log_scale: float) -> float:
        a = math.exp(log_scale)
        light = (2 * a * mean_t * mean_p + c1) / (mean_t**2 + a * a * mean_p**2 + c1)
        structure = (2 * a * covariance + c2) / (var_t + a * a * var_p + c2)
        return -float(np.mean(light * structure))

    start = min(SCALES, key=dissimilarity)
    step = SCALES[1] - SCALES[0]
    found = minimize_scalar(dissimilarity, bounds=(start - step, start + step), method="bounded")
    return -float(found.fun)


def _measure(compared: Comparison) -> float:
    parts = spread_parts(compared.truth.shape)
    volumes = (compared.prediction, compared.truth)
    return microssim(*(np.stack([np.asarray(v[part]) for part in parts]) for v in volumes))


METRIC = MetricWithTruth(
    name="microssim",
    label="MicroSSIM",
    unit="",
    better="higher",
    digits=3,
    caveat="SSIM above the background, at the best scale for each image, in XY planes. It does not "
    "saturate on dim images, but ignores a wrong scale or offset.",
    measure=_measure,
    least=(1, 2 * REACH + 1, 2 * REACH + 1),
    unmatched=False,  # it finds its own match
    implementation=f"{OWN}, on up to {PLANES} planes, match fitted per volume (Ashesh 2024)",
    place=4,
)
