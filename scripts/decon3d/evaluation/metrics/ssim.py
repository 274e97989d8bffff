"""Structural similarity as Wang et al. (2004) defined it, in three dimensions."""

import math
from importlib.metadata import version

import numpy as np

from decon3d.affine import BLOCK, ArrayLike, blocks_of
from decon3d.evaluation.metric import Comparison, MetricWithTruth

SSIM_SIGMA = 1.5
SSIM_HALO = 5  # voxels: scikit-image cuts the Gaussian at 3.5 σ


def ssim(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    data_range: float,
    slope: float = 1.0,
    offset: float = 0.0,
    block: int = BLOCK,
) -> float:
    """Measure structural similarity as Wang et al. (2004) defined it, in N dimensions.

    Gaussian window σ = 1.5 voxels in every axis, population covariance, K1 0.01, K2 0.03, the
    mean over all voxels but a rim of 5. The window is in voxels: on anisotropic voxels it covers
    unequal lengths. It saturates on dim images; read it beside NRMSE.

    Parameters
    ----------
    prediction, truth
        Arrays of the same shape, each axis at least 11 voxels.
    data_range
        R, in the unit of the arrays.
    slope, offset
        Applied to the prediction first.
    block
        Edge of the blocks in voxels; the result does not depend on it.

    Returns
    -------
    float
        1 for equal volumes; NaN if `data_range` is not above 0.
    """
    if not data_range > 0:
        return math.nan
    from scipy.ndimage import maximum_filter  # here, since pages import all metrics
    from skimage.metrics import structural_similarity

    total, count = 0.0, 0
    inner = tuple(slice(SSIM_HALO, -SSIM_HALO) for _ in truth.shape)
    # The mean leaves out a rim as wide as the halo: the sum over a block with its halo is exactly
    # the block's share of the sum over the volume.
    for p, t in blocks_of(prediction, truth, block=block, halo=SSIM_HALO):
        absent = ~(np.isfinite(p) & np.isfinite(t))
        p[absent] = t[absent] = 0
        _, similar = structural_similarity(
            t,
            slope * p + offset,
            data_range=data_range,
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            use_sample_covariance=False,
            full=True,
        )
        if absent.any():
            seen = ~maximum_filter(absent, size=2 * SSIM_HALO + 1)[inner]
            total, count = total + float(similar[inner][seen].sum()), count + int(seen.sum())
        else:
            total, count = total + float(similar[inner].sum()), count + similar[inner].size
    return total / count if count else math.nan


def _measure(compared: Comparison) -> float:
    return ssim(
        compared.prediction,
        compared.truth,
        data_range=compared.match.truth_range,
        slope=compared.slope,
        offset=compared.offset,
    )


METRIC = MetricWithTruth(
    name="ssim",
    label="SSIM",
    unit="",
    better="higher",
    digits=3,
    caveat="Saturates on dim images; its window is in voxels. Read it together with NRMSE.",
    measure=_measure,
    least=(2 * SSIM_HALO + 1,) * 3,
    uses_range=True,
    implementation=f"scikit-image {version('scikit-image')} structural_similarity, "
    f"Gaussian σ {SSIM_SIGMA:g} voxels (Wang 2004)",
    place=3,
)
