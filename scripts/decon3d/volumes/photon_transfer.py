"""Photon transfer: a camera's gain and dark level from the noise of its images.

The variance of the counts is a line over their mean (Janesick 2007, Photon Transfer, SPIE). It is
measured in images of structure, in three steps that exclude the variance of structure:

1. The noise is measured after differences of fourth order along Y and X and of second order along
   Z, which remove almost all of a blurred object. With two frames of one place, the differences of
   the frames' difference are used.
2. Voxels are grouped by the mean of a shell around the footprint of these differences. In each
   group, the third with the least variance in the shell is kept (the lower envelope). White noise
   in the shell is independent of that in the footprint, so this choice biases neither mean nor
   variance.
3. Remaining structure grows with the square of the counts above the darkest, unlike the noise. If
   such a term is significant, it is fitted with the line.

Differences change the variance of correlated noise (deskewed or resampled data); this is corrected.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, maximum_filter, minimum_filter, uniform_filter

from decon3d.volumes.camera import GAIN_WIDTH, CameraRecord, Interval
from decon3d.volumes.correlated_noise import (
    CORRELATED,
    DIFFERENCES,
    FOOTPRINT,
    LEAST_GROUP,
    ORDERS,
    OUTLIER,
    Curve,
    FloatArray,
    noise_correlation,
    surroundings,
)
from decon3d.volumes.no_data import filled, missing
from decon3d.volumes.normalisation import Histogram, darkest_place, empty_level

Point = tuple[float, float, float]
"""Mean counts, noise variance in counts², its standard error."""

ORDERS_CORRELATED = (0, 2, 2)
"""Along an axis with a correlation above `CORRELATED`: other orders remove too much of the
noise."""
MARGIN = (2, 4, 4)
"""Voxels (Z, Y, X) at the faces of a block in which nothing is measured."""
STEP = 2
"""Step between used voxels along Y and X: those between add almost no independent noise."""
FLATTEST = 1 / 3
DARK_GROUPS = 8
"""Groups of equal size in the darker half; the brighter half is halved again and again."""
LEAST_VOXELS = 2_000
LEAST_GROUPS = 4
CLIPPED = 0.005
"""Share of saturated or clipped voxels above which a group is left out."""
LEAST_SIGMA = 0.35
"""Noise, in steps of the converter, below which the variance of rounding is not 1/12 step²."""
BEND = 3.0
"""Standard errors at which a curvature is attributed to structure."""
LEAST_MODEL = 0.05
"""Least expected variance, relative to the measured one, from which the errors are calculated."""
NORMAL = 1.96
BRIGHTEST = 0.001
SIGNAL = 6.0
"""Standard errors by which the brightest voxels of a block with signal exceed the plateau."""


@dataclass(frozen=True)
class Line:
    """variance = gain · (counts - dark_level).

    Attributes
    ----------
    gain_error
        Standard error.
    dark_level_error
        Standard error; infinite where the gain may be 0.
    """

    gain: float
    gain_error: float
    dark_level: float
    dark_level_error: float


def measure_camera(
    sample: Sequence[NDArray[Any]],
    *,
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]] = (),
    saturation: float | None = None,
) -> CameraRecord:
    """Measure the camera in blocks of counts of one channel.

    Parameters
    ----------
    sample
        Blocks (Z Y X), in counts; NaN = no data.
    pairs
        Pairs of blocks of one place from two successive time points; used for the noise if there
        are any.
    saturation
        Counts at and above which a voxel is saturated; None = no voxel is.

    Returns
    -------
    CameraRecord
        Values that cannot be measured are None.
    """
    sample = [without_even_places(block) for block in sample]
    differences = [_difference(one, other) for one, other in pairs]
    correlation, voxels = noise_correlation(differences or sample)
    step = _step(sample)
    orders = tuple(
        few if abs(curve[0]) > CORRELATED else high
        for curve, few, high in zip(correlation, ORDERS_CORRELATED, ORDERS, strict=True)
    )
    low = _lower_clip(sample, step)
    if pairs:
        parts = [_voxels(one, other, orders, low, saturation) for one, other in pairs]
    else:
        parts = [_voxels(block, None, orders, low, saturation) for block in sample]
    kept = prod(
        _kept(rho, DIFFERENCES[order]) for rho, order in zip(correlation, orders, strict=True)
    )
    plateau = _plateau(sample)
    curve, line = _without_clipped(_groups(parts, orders, kept=kept, step=step), plateau)
    known = line is not None and 0 < NORMAL * line.gain_error < GAIN_WIDTH * line.gain
    return CameraRecord(
        gain=line.gain if line and known else None,
        gain_interval=_interval(line.gain, line.gain_error) if line and known else None,
        dark_level=line.dark_level if line and known else None,
        dark_level_interval=(
            _interval(line.dark_level, line.dark_level_error) if line and known else None
        ),
        plateau=plateau,
        curve=tuple(curve),
        correlation=correlation,
        bright=_bright(sample, plateau),
        blocks=len(sample),
        voxels=voxels,
        bits=_bits(sample) if step else None,
        saturation=saturation,
    )


def _difference(one: NDArray[Any], other: NDArray[Any]) -> FloatArray:
    """Return the difference of two frames, with the noise of one; NaN = no data."""
    return (one.astype(np.float32) - other.astype(np.float32)) * np.float32(0.5**0.5)


def fit_line(curve: Sequence[Point], plateau: float | None) -> Line:
    """Fit a line to mean counts, variances and their standard errors.

    A term in the square of the counts above the plateau (structure) is added if it is significant
    and positive.
    """
    mean, variance, error = np.array(curve).T
    relative = error / np.maximum(variance, 1e-12)
    centre = float(np.average(mean, weights=relative**-2))
    ground = float(mean.min() if plateau is None else plateau)
    fit = np.empty(2)
    covariance = np.empty((2, 2))
    size = max(float(np.ptp(mean)), 1e-12)
    for bend in (False, True):
        columns = [np.ones_like(mean), (mean - centre) / size]
        columns += [np.square((mean - ground) / size)] if bend else []
        design, model = np.stack(columns, 1), variance
        if len(mean) <= design.shape[1]:
            break
        for _ in range(4):  # the errors are in proportion to the expected variances
            sigma = relative * np.maximum(model, LEAST_MODEL * np.maximum(variance, 1e-12))
            a = design / sigma[:, None]
            inverse = np.linalg.pinv(a.T @ a, hermitian=True)
            found = inverse @ (a.T @ (variance / sigma))
            model = design @ found
        misfit = np.sum(np.square((variance - model) / sigma)) / (len(mean) - design.shape[1])
        inverse = inverse * max(misfit, 1.0)
        if bend and not found[2] > BEND * inverse[2, 2] ** 0.5:
            break
        fit, covariance = found[:2], inverse[:2, :2]
    fit, covariance = fit / [1, size], covariance / np.outer([1, size], [1, size])
    level, gain = float(fit[0]), float(fit[1])
    if not gain > 0:
        return Line(gain, float(covariance[1, 1] ** 0.5), centre, np.inf)
    away = level / gain
    spread = covariance[0, 0] - 2 * away * covariance[0, 1] + away**2 * covariance[1, 1]
    return Line(
        gain, float(covariance[1, 1] ** 0.5), centre - away, float(max(spread, 0) ** 0.5 / gain)
    )


def _interval(value: float, error: float) -> Interval:
    return value - NORMAL * error, value + NORMAL * error


@dataclass(frozen=True)
class _Voxels:
    """Statistics of voxels, flat arrays.

    Attributes
    ----------
    shell
        Mean of the shell around the footprint, in counts.
    unevenness
        Variance in the shell.
    mean
        Mean counts of the footprint, with the weights of the noise's differences.
    square
        Square of the noise.
    clipped
        Whether the voxel is clipped.
    """

    shell: FloatArray
    unevenness: FloatArray
    mean: FloatArray
    square: FloatArray
    clipped: NDArray[np.bool_]


def _voxels(
    block: NDArray[Any],
    other: NDArray[Any] | None,
    orders: Sequence[int],
    low: float | None,
    saturation: float | None,
) -> _Voxels:
    """Measure the noise at the voxels of a block, or of two frames of one place."""
    values = noise = filled(block, 0.0).astype(np.float32)
    absent = missing(block)
    clipped = np.zeros(block.shape, bool)
    frames = [block] if other is None else [block, other]
    for frame in frames:
        if saturation is not None:
            clipped |= np.asarray(frame >= saturation)
        if low is not None:
            clipped |= np.asarray(frame <= low)
    if other is not None:
        difference = _difference(block, other)
        noise, absent = filled(difference, 0.0), missing(difference)
        values = (values + filled(other, 0.0).astype(np.float32)) * np.float32(0.5)
    kernels = [
        DIFFERENCES[order if n >= 3 else 0] for n, order in zip(block.shape, orders, strict=True)
    ]
    weighted = values
    for axis, kernel in enumerate(kernels):
        if len(kernel) > 1:
            noise = correlate1d(noise, kernel, axis=axis)
            weighted = correlate1d(weighted, kernel**2, axis=axis)
    shell, unevenness, seen = surroundings(values, absent)
    thin = (slice(None), slice(None, None, STEP), slice(None, None, STEP))
    chosen = seen[thin]
    return _Voxels(
        shell[thin][chosen],
        unevenness[thin][chosen],
        weighted[thin][chosen],
        np.square(noise)[thin][chosen],
        clipped[thin][chosen],
    )


@dataclass(frozen=True)
class _Group:
    """Voxels of similar brightness.

    Attributes
    ----------
    clipped
        Whether more than `CLIPPED` of them are.
    """

    point: Point
    clipped: bool


def _groups(
    parts: Sequence[_Voxels], orders: Sequence[int], *, kept: float, step: float
) -> list[_Group]:
    """Group voxels by brightness.

    Parameters
    ----------
    kept
        Share of the noise's variance that differences leave of it, for its correlation.
    step
        Of the converter: rounding adds a twelfth of its square to the variance.
    """
    if not parts:
        return []
    shell, unevenness, mean, square, clipped = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("shell", "unevenness", "mean", "square", "clipped")
    )
    if shell.size < LEAST_VOXELS:
        return []
    # Squared differences of neighbours are correlated: so many count as one sample.
    repeats = prod(
        _repeats(DIFFERENCES[order], 1 if axis == 0 else STEP) for axis, order in enumerate(orders)
    )
    found = []
    for group in _split(np.argsort(shell)):
        flat = group[unevenness[group] <= np.quantile(unevenness[group], FLATTEST)]
        squares = square[flat].astype(np.float64)
        squares = np.minimum(squares, OUTLIER * 2.2 * np.median(squares))
        variance = squares.mean()
        if variance > 0:
            found.append(
                (
                    mean[flat].mean(dtype=np.float64),
                    variance / kept,
                    squares.std() / variance,
                    (repeats / len(flat)) ** 0.5,
                    clipped[flat].mean() > CLIPPED,
                )
            )
    # One scatter for all groups: with its own, a group with a small variance by chance would weigh
    # more.
    scatter = np.median([entry[2] for entry in found]) if found else 0.0
    return [
        _Group((float(m), float(v - step**2 / 12), float(v * scatter * share)), bool(bad))
        for m, v, _, share, bad in found
        if v > (LEAST_SIGMA * step) ** 2
    ]


def _without_clipped(
    groups: Sequence[_Group], plateau: float | None
) -> tuple[list[Point], Line | None]:
    """Fit a line to the groups without clipped voxels, and to all where they agree with it.

    With very few photons, zeros do not mean clipping, and their variance lies on the line.
    """
    every = [group.point for group in groups]
    whole = [group.point for group in groups if not group.clipped]
    of_all = fit_line(every, plateau) if len(every) >= LEAST_GROUPS else None
    line = fit_line(whole, plateau) if len(whole) >= LEAST_GROUPS else None
    if line is None or of_all is None:
        return every, of_all
    alike = (
        abs(of_all.gain - line.gain) <= NORMAL * line.gain_error
        and abs(of_all.dark_level - line.dark_level) <= NORMAL * line.dark_level_error
    )
    return (every, of_all) if alike else (whole, line)


def _split(order: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split voxels, sorted by brightness, into groups; rarer brightnesses get smaller groups."""
    half = len(order) // 2
    groups = np.array_split(order[:half], max(min(DARK_GROUPS, half // LEAST_GROUP), 1))
    rest = order[half:]
    while len(rest) >= 4 * LEAST_GROUP:
        cut = len(rest) // 2
        groups += np.array_split(rest[:cut], min(4, max(cut // LEAST_GROUP, 1)))
        rest = rest[cut:]
    return [*groups, rest]


def _repeats(kernel: NDArray[np.float64], step: int) -> float:
    """Sum the squared autocorrelation of a kernel over lags that are multiples of a step."""
    own = np.correlate(kernel, kernel, "full")
    own = own[len(kernel) - 1 :] / own[len(kernel) - 1]
    return float(1 + 2 * np.sum(np.square(own[step::step])))


def _kept(curve: Curve, kernel: NDArray[np.float64]) -> float:
    """Return the variance of a difference of correlated noise, over that of white noise."""
    own = np.correlate(kernel, kernel, "full")[len(kernel) - 1 :]
    lags = [2 * rho * own[lag] for lag, rho in enumerate(curve, 1) if lag < len(own)]
    return max(float(1 + sum(lags)), 0.02)


def _step(sample: Sequence[NDArray[Any]]) -> float:
    """Return the step of whole-numbered counts, 0 for others."""
    divisor = 0
    for block in sample:
        values = block[np.isfinite(block)]
        if values.size == 0:
            continue
        whole = np.unique(values[:: max(values.size // 20_000, 1)])
        if np.any(whole != np.rint(whole)):
            return 0.0
        divisor = reduce(np.gcd, np.diff(whole.astype(np.int64)).tolist(), divisor)
    return float(divisor)


def _lower_clip(sample: Sequence[NDArray[Any]], step: float) -> float | None:
    """Return the smallest count if many voxels have it: the noise is clipped there."""
    known = [block[np.isfinite(block)] for block in sample]
    if not step or not any(values.size for values in known):
        return None
    lowest = min(float(values.min()) for values in known if values.size)
    share = sum(np.count_nonzero(v == lowest) for v in known) / sum(v.size for v in known)
    return lowest if share > CLIPPED else None


def _bits(sample: Sequence[NDArray[Any]]) -> int:
    highest = max((float(np.nanmax(block, initial=0)) for block in sample), default=0.0)
    return max(int(np.ceil(np.log2(highest + 1))), 1) if highest > 0 else 1


def _plateau(sample: Sequence[NDArray[Any]]) -> float | None:
    """Return the counts of empty places; see `normalisation.empty_level`."""
    values = [block[np.isfinite(block)] for block in sample]
    if not any(v.size for v in values):
        return None
    every = np.concatenate([v.astype(np.float32) for v in values])
    whole = bool(np.all(every == np.rint(every))) and every.min() >= 0 and every.max() < 65536
    histogram = Histogram.of(every.astype(np.uint16) if whole else every)
    return empty_level(histogram, min(darkest_place(block) for block in sample))


def _bright(sample: Sequence[NDArray[Any]], plateau: float | None) -> Interval | None:
    """Measure the brightest 0.1 % of each block above the plateau; see `CameraRecord.bright`.

    They are selected by their neighbours, so that their own noise does not count as light.
    """
    if plateau is None:
        return None
    found = []
    for block in sample:
        absent = missing(block)
        values = filled(block, plateau).astype(np.float32)
        around = tuple(min(3, n) for n in block.shape)
        count = prod(around)
        others = (count * uniform_filter(values, around) - values) / np.float32(count - 1)
        if absent is not None:
            others[absent] = -np.inf
        top = max(round(BRIGHTEST * block.size), 1)
        places = np.argpartition(others, others.size - top, axis=None)[others.size - top :]
        chosen = values.ravel()[places].astype(np.float64) - plateau
        error = chosen.std() / top**0.5
        if top > 3 and chosen.mean() > SIGNAL * error:
            found.append(float(chosen.mean()))
    if not found:
        return None
    return float(np.percentile(found, 10)), float(np.percentile(found, 90))


def without_even_places(block: NDArray[Any]) -> NDArray[Any]:
    """Set boxes of 3 × 5 × 5 voxels of one value to NaN: they may be fill.

    With very few photons they may be dark places; the other voxels still have the variance of
    their mean.
    """
    even = maximum_filter(block, FOOTPRINT) == minimum_filter(block, FOOTPRINT)
    if not even.any():
        return block
    result = block.astype(np.float32)
    result[np.asarray(maximum_filter(even, FOOTPRINT))] = np.nan
    return result
