"""Correlation of the noise of neighbouring voxels, measured in images of structure.

Differences of fourth order along Y and X and of second order along Z remove almost all of a blurred
object. Only the voxels with the most uniform surroundings are used, since structure may be left at
others.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, maximum_filter, uniform_filter

from decon3d.volumes.no_data import filled, missing

FloatArray = NDArray[np.float32]
Curve = tuple[float, ...]
"""Correlation by lag, from 1 voxel on."""

DIFFERENCES = {
    0: np.array([1.0]),
    2: np.array([1.0, -2.0, 1.0]) / 6**0.5,
    4: np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / 70**0.5,
}
"""By order; each leaves the variance of white noise as it is."""
ORDERS = (2, 4, 4)
"""Along Z, Y, X."""
CORRELATED = 0.1
"""Correlation of the noise of direct neighbours above which the noise counts as correlated: that of
deskewed light-sheet data is 0.2 to 0.3."""
SHELL = (5, 9, 9)
"""Voxels (Z, Y, X), less the footprint's 3 × 5 × 5."""
FOOTPRINT = (3, 5, 5)
LEAST_GROUP = 600
"""Voxels of a group, before the flattest are chosen."""
OUTLIER = 25.0
"""Squared noise, relative to the group's variance, above which it is cut: hot pixels."""
LAGS = 2
"""Lags (voxels) over which the noise may be correlated."""
ALONG = (0, 2)
"""Orders of the difference along the axis whose correlation is measured."""
SIGNIFICANT = {0: 15.0, 2: 50.0}
"""By that order: a correlation below this over the root of the number of voxels is taken as 0;
three standard errors, measured on white noise."""
LEAST_CORRELATION = 0.02
"""Smaller ones are taken as 0."""


def neighbour_correlation(correlation: Sequence[Sequence[float]]) -> float:
    """Return the largest correlation of direct neighbours, of curves by lag along Z, Y and X."""
    return max((abs(curve[0]) if curve else 0.0 for curve in correlation), default=0.0)


def noise_power(correlation: Sequence[float], size: int) -> NDArray[np.float64]:
    """Return the power spectrum of noise of variance 1 along an axis; white noise has 1 throughout.

    Parameters
    ----------
    correlation
        Of neighbours 1, 2, … voxels away.
    size
        Voxels of the axis; the frequencies are those of `numpy.fft.fftfreq`.

    Returns
    -------
    array (size)
        Negative if such a correlation is not possible.
    """
    phase = 2 * np.pi * np.fft.fftfreq(size)
    return np.ones(size) + sum(2 * rho * np.cos(k * phase) for k, rho in enumerate(correlation, 1))


def noise_correlation(sample: Sequence[NDArray[Any]]) -> tuple[tuple[Curve, Curve, Curve], int]:
    """Measure the noise's correlation along Z, Y, X, in the most uniform half of each block.

    Returns
    -------
    three curves, voxels
        Correlation of neighbours 1 and 2 voxels away by axis; voxels that it was measured in.
    """
    sums = {order: np.zeros((2, 3, LAGS + order + 1)) for order in ALONG}
    voxels = 0
    for block in sample:
        if min(block.shape[1:]) < 2 * SHELL[2]:
            continue
        values = filled(block, 0.0).astype(np.float32)
        shell, unevenness, used = surroundings(values, missing(block))
        if not used.any():
            continue
        used &= unevenness <= np.median(unevenness[used])
        voxels += int(np.count_nonzero(used))
        for axis in range(3):
            across = values
            for other, n in enumerate(block.shape):
                if other != axis and n >= SHELL[0]:
                    across = correlate1d(across, DIFFERENCES[ORDERS[other]], axis=other)
            for order, total in sums.items():
                noise = across
                if order and block.shape[axis] >= SHELL[0]:
                    noise = correlate1d(across, DIFFERENCES[order], axis=axis)
                total[:, axis] += _products(
                    _of_variance_one(noise, shell, used), used, axis, LAGS + order
                )
    curves = []
    for axis in range(3):
        found = {}
        for order, (products, squares) in sums.items():
            if squares[axis, -1] > squares[axis, 0] / 100:  # else there are too few planes
                least = max(SIGNIFICANT[order] / voxels**0.5, LEAST_CORRELATION)
                found[order] = _solved(products[axis] / squares[axis], order, least)
        curves.append(_agreed(found, voxels))
    return (curves[0], curves[1], curves[2]), voxels


def _products(
    noise: FloatArray, used: NDArray[np.bool_], axis: int, most: int
) -> NDArray[np.float64]:
    """Sum the products of the noise of voxels 0 … `most` apart along an axis, and their bounds.

    Returns
    -------
    array (2, lags from 0)
    """
    result = np.zeros((2, most + 1))
    line, seen = np.moveaxis(noise, axis, 0), np.moveaxis(used, axis, 0)
    for lag in range(min(most + 1, len(line))):
        both = seen[: len(line) - lag] & seen[lag:]
        one, other = line[: len(line) - lag][both], line[lag:][both]
        result[:, lag] = np.vdot(one, other), np.sqrt(np.vdot(one, one) * np.vdot(other, other))
    return result


def _solved(ratio: NDArray[np.float64], order: int, least: float) -> Curve:
    """Find the correlation along an axis; values below `least` are taken as 0."""
    first, second = _solve(ratio, LAGS, order)
    if abs(second) < least:
        first, second = _solve(ratio, 1, order)[0], 0.0
    return (first, second) if abs(first) >= least else (0.0, second)


def _agreed(found: dict[int, Curve], voxels: int) -> Curve:
    """Choose between the correlation without a difference along an axis and with one.

    The first is far more precise, but structure adds to it.
    """
    none = (0.0,) * LAGS
    plain, robust = (found.get(order, none) for order in ALONG)
    apart = SIGNIFICANT[ALONG[1]] / max(voxels, 1) ** 0.5
    if len(found) == 1 or abs(plain[0] - robust[0]) < apart:
        return plain
    return robust


def _of_variance_one(noise: FloatArray, shell: FloatArray, used: NDArray[np.bool_]) -> FloatArray:
    """Divide noise by its root mean square at like brightness, and cut outliers."""
    squares = np.square(noise[used])
    order = np.argsort(shell[used])
    size = np.empty(len(order), np.float32)
    for group in np.array_split(order, max(min(32, len(order) // LEAST_GROUP), 1)):
        size[group] = np.sqrt(squares[group].mean(dtype=np.float64))
    result = np.zeros_like(noise)
    limit = np.float32(OUTLIER**0.5)
    result[used] = np.clip(noise[used] / np.maximum(size, 1e-12), -limit, limit)
    return result


def _solve(ratio: NDArray[np.float64], lags: int, order: int) -> list[float]:
    """Find the correlation whose difference has the autocorrelation `ratio` (by lag)."""
    kernel = DIFFERENCES[order]
    lagged = np.correlate(kernel, kernel, "full")[len(kernel) - 1 :]

    def own(lag: int) -> float:
        return float(lagged[abs(lag)]) if abs(lag) < len(lagged) else 0.0

    rows = [
        [own(m - k) + own(m + k) - ratio[m] * 2 * own(k) for k in range(1, lags + 1)]
        for m in range(1, len(ratio))
    ]
    right = [ratio[m] * own(0) - own(m) for m in range(1, len(ratio))]
    return [float(rho) for rho in np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]]


def surroundings(
    values: FloatArray, absent: NDArray[np.bool_] | None
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Return mean and variance in the shell around each voxel, and which shells are all data."""
    size = tuple(s if n >= s else 1 for n, s in zip(values.shape, SHELL, strict=True))
    inner = tuple(min(f, s) for f, s in zip(FOOTPRINT, size, strict=True))
    many, few = prod(size), prod(inner)
    zero = np.float32(values.mean())  # so that squares keep their digits

    def mean_of(array: FloatArray) -> FloatArray:
        if many == few:  # so small a block has no surroundings
            return uniform_filter(array, size)
        wide = uniform_filter(array, size)
        return (many * wide - few * uniform_filter(array, inner)) / np.float32(many - few)

    shell = mean_of(values - zero)
    unevenness = mean_of(np.square(values - zero)) - np.square(shell)
    seen = np.ones(values.shape, bool)
    if absent is not None:
        seen = ~np.asarray(maximum_filter(absent, size))
    for axis, width in enumerate(size):
        place = np.arange(values.shape[axis])
        outside = (place < width // 2) | (place >= values.shape[axis] - width // 2)
        seen &= ~np.expand_dims(outside, [a for a in range(3) if a != axis])
    return shell + zero, unevenness, seen
