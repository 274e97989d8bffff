"""The Poisson deviance of photons that a restoration has not seen; see `evaluation.deviance`."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

LEAST_PHOTONS = 0.05
"""Mean photons per voxel above the dark level below which nothing can be told."""


def poisson_deviance(observed: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Return the mean deviance per voxel, 2 mean(n log(n / μ) - n + μ), of photons n ≥ 0, μ > 0.

    Voxels without data (NaN) do not count.
    """
    return float(np.nanmean(voxel_deviance(observed, expected)))


def voxel_deviance(
    observed: NDArray[np.floating], expected: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the deviance of each voxel, 2 (n log(n / μ) - n + μ), of photons n ≥ 0, μ > 0."""
    n, mu = np.asarray(observed, np.float64), np.asarray(expected, np.float64)
    result: NDArray[np.float64] = 2 * (xlogy(n, n / mu) - n + mu)
    return result
