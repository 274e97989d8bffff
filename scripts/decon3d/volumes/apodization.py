"""Apodization: weights that fade an image's edges before its Fourier transform."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GAP = 0.125
"""Share of an axis over which a volume fades towards missing voxels. A smaller share leaves edges,
a larger one loses data."""


def fade(size: int, edge: float) -> NDArray[np.float64]:
    """Make weights of an axis that rise from 0 to 1 over `edge` voxels at either end (cosine)."""
    distance = np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(distance / edge, 1))


def fade_missing(known: NDArray[np.bool_], edges: Sequence[float]) -> NDArray[np.float64]:
    """Make weights that rise from 0 to 1 away from missing voxels (cosine).

    Parameters
    ----------
    known
        Where there is data; any number of axes.
    edges
        Voxels along each axis over which they rise.
    """
    if known.all():
        return np.ones(known.shape)
    from scipy.ndimage import distance_transform_edt  # only few images lack voxels

    sampling = [1 / edge for edge in edges]
    # From a voxel's middle to the missing one's face, as `fade` has it.
    distance = distance_transform_edt(known, sampling=sampling) - 0.5 * min(sampling)
    return 0.5 - 0.5 * np.cos(np.pi * np.clip(distance, 0, 1))
