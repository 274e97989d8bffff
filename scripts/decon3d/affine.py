"""The affine match of a restoration to the truth, by sums over blocks."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK = 128


class ArrayLike(Protocol):
    """An array that can be compared: of NumPy, zarr or dask."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    def __getitem__(self, index: Any, /) -> Any:
        """Return a part of the array."""


@dataclass(frozen=True)
class AffineMatch:
    """The affine map slope · prediction + offset that is closest to the truth, and the range."""

    slope: float
    offset: float
    truth_range: float
    truth_norm: float


def fit_affine(prediction: ArrayLike, truth: ArrayLike) -> AffineMatch:
    """Fit slope and offset of the prediction to the truth by least squares.

    Parameters
    ----------
    prediction, truth
        Arrays of the same shape.

    Returns
    -------
    AffineMatch
        Slope 0 and the truth's mean if the prediction is constant. The range is max - min of
        the truth, the norm its root mean square.
    """
    size = 0
    sums = np.zeros(2)
    squares = 0.0
    low, high = math.inf, -math.inf
    for p, t in with_data(prediction, truth):
        size += t.size
        sums += p.sum(), t.sum()
        squares += float(np.sum(t * t))
        low = min(low, float(t.min(initial=math.inf)))
        high = max(high, float(t.max(initial=-math.inf)))
    if not size:
        return AffineMatch(0.0, math.nan, math.nan, math.nan)
    mean_p, mean_t = sums / size
    # Centred sums in a second pass, to keep precision for counts on a high pedestal.
    variance = covariance = 0.0
    for p, t in with_data(prediction, truth):
        p -= mean_p
        variance += float(np.sum(p * p))
        covariance += float(np.sum(p * (t - mean_t)))
    slope = covariance / variance if variance > 0 else 0.0
    return AffineMatch(slope, mean_t - slope * mean_p, high - low, math.sqrt(squares / size))


def blocks_of(
    prediction: ArrayLike, truth: ArrayLike, *, block: int = BLOCK, halo: int = 0
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield both arrays block by block.

    Parameters
    ----------
    prediction, truth
        Arrays (Z, Y, X) of the same shape.
    block
        Edge of a block without its halo, in voxels.
    halo
        Voxels beyond each face of a block; blocks and halo lie inside the volume.

    Yields
    ------
    tuple of arrays of float64
        Copies, so that a caller may work in place.
    """
    axes = [
        [slice(a, min(a + block + 2 * halo, n)) for a in range(0, n - 2 * halo, block)]
        for n in truth.shape
    ]
    for region in itertools.product(*axes):
        yield np.array(prediction[region], np.float64), np.array(truth[region], np.float64)


def with_data(
    prediction: ArrayLike, truth: ArrayLike
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the voxels that have data (finite) in both arrays (Z, Y, X), block by block, flat."""
    for p, t in blocks_of(prediction, truth):
        there = np.isfinite(p) & np.isfinite(t)
        yield (p.ravel(), t.ravel()) if there.all() else (p[there], t[there])
