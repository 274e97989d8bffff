"""Types that the modules of this package share, and operations on centred arrays (Z Y X)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.volumes.volume import Triple, triple

__all__ = [
    "Array",
    "Floats",
    "Mask",
    "Shape",
    "Triple",
    "middle_part",
    "padded",
    "spread",
    "triple",
]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Mask = NDArray[np.bool_]
Shape = tuple[int, int, int]
"""Voxels along Z, Y, X, or half as many."""


def padded(data: Floats, shape: Sequence[int]) -> NDArray[Any]:
    """Add zeros around an array of odd sizes to make it at least as large as an odd shape."""
    around = [max((n - k) // 2, 0) for n, k in zip(shape, data.shape, strict=True)]
    return np.pad(data, [(width, width) for width in around])


def middle_part(data: Floats, half_width: Sequence[int]) -> NDArray[Any]:
    """Return 2 · half_width + 1 voxels around the middle of an array of odd sizes; 0 beyond it."""
    data = padded(data, [2 * half + 1 for half in half_width])
    bounds = [(n // 2 - h, n // 2 + h + 1) for n, h in zip(data.shape, half_width, strict=True)]
    return data[tuple(slice(*bound) for bound in bounds)]


def spread(values: Floats) -> float:
    """Return the robust standard deviation: 1.4826 times the median distance from the median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))
