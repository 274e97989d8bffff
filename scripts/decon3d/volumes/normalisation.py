"""Normalisation: one affine map per channel, and its inverse.

Offset: the camera's, or else the level of empty places. Scale: a high percentile of the
*foreground* (counts above empty places by six standard deviations of their noise), so that a mostly
empty volume is not stretched. The same law holds in training and in restoration.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOREGROUND_PERCENTILE = 99.5
FOREGROUND_SIGMAS = 6.0
"""Above empty places: the noise of dark voxels hardly ever reaches it (that of few photons is
skewed), so that more darkness adds no foreground. With 3, more darkness makes the scale smaller."""
CELL = (4, 8, 8)
WINDOW_SIGMAS = 1.5
MEAN_SHIFTS = 10
SLACK = 1.0
"""Of the darkest cell, in standard deviations of a cell's mean."""


@dataclass(frozen=True)
class Normalisation:
    """The affine map (counts - offset) / scale."""

    offset: float
    scale: float

    def apply(self, counts: NDArray[np.generic]) -> NDArray[np.float32]:
        """Map counts to network units, float32."""
        return (counts.astype(np.float32) - np.float32(self.offset)) / np.float32(self.scale)

    def invert(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Map network units back to counts, float32."""
        return values.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)


@dataclass(frozen=True)
class Histogram:
    """A histogram of counts on an even grid of levels.

    `edges_start + i * width` is the lower edge of bin `i`; for integers of up to 16 bits the
    width is 1 and a bin is one level.
    """

    start: float
    width: float
    counts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        values: NDArray[Any],
        *,
        start: float = 0.0,
        stop: float | None = None,
        bins: int = 65536,
    ) -> "Histogram":
        """Count `values`: integers of up to 16 bits level by level, others on `bins` bins.

        Values outside start … stop fall into the first or last bin; NaN and infinities are left
        out.

        Parameters
        ----------
        values
            Any shape.
        start, stop
            Range of the bins, for types without levels; `stop` None = the finite range of values.
        bins
            Number of bins.
        """
        values = np.asarray(values).ravel()
        if has_levels(values.dtype):
            return cls(0.0, 1.0, np.bincount(values.astype(np.uint16), minlength=bins))
        values = values[np.isfinite(values)].astype(np.float64)
        if stop is None:
            start, stop = finite_range(values) if values.size else (0.0, 1.0)
        width = (stop - start) / bins or 1.0
        index = np.clip((values - start) / width, 0, bins - 1).astype(np.int64)
        return cls(start, width, np.bincount(index, minlength=bins))

    @classmethod
    def unpacked(cls, packed: dict[str, Any]) -> "Histogram":
        """Read what `packed` returned."""
        counts = np.zeros(packed["bins"], np.int64)
        counts[packed["index"]] = packed["count"]
        return cls(packed["start"], packed["width"], counts)

    def packed(self) -> dict[str, Any]:
        """Convert to JSON: only the levels that occur."""
        levels = np.flatnonzero(self.counts)
        return {
            "start": self.start,
            "width": self.width,
            "bins": len(self.counts),
            "index": levels.tolist(),
            "count": self.counts[levels].tolist(),
        }

    def __add__(self, other: "Histogram") -> "Histogram":
        if (self.start, self.width) == (other.start, other.width):
            return Histogram(self.start, self.width, self.counts + other.counts)
        start = min(self.start, other.start)
        bins = len(self.counts)
        stop = max(h.start + len(h.counts) * h.width for h in (self, other))
        width = (stop - start) / bins
        total = np.zeros(bins, np.int64)
        for h in (self, other):
            index = np.clip((h.levels - start) / width, 0, bins - 1).astype(np.int64)
            np.add.at(total, index, h.counts)
        return Histogram(start, width, total)

    @property
    def levels(self) -> NDArray[np.float64]:
        """Value of each bin: the level itself for integers, else the centre."""
        half = 0.0 if self.width == 1.0 and self.start == 0.0 else 0.5
        return self.start + (np.arange(len(self.counts), dtype=np.float64) + half) * self.width

    def index(self, value: float) -> int:
        """Return the bin of a value."""
        return int(np.clip((value - self.start) / self.width, 0, len(self.counts) - 1))

    def without(self, value: float, voxels: int) -> "Histogram":
        """Remove a number of voxels of one value."""
        counts = self.counts.copy()
        counts[self.index(value)] -= voxels
        return Histogram(self.start, self.width, counts)

    def percentile(self, q: float, *, above: float = -np.inf) -> float:
        """Return the q-th percentile of the values above `above` (NaN where there are none)."""
        counts = np.where(self.levels > above, self.counts, 0)
        total = counts.sum()
        if total == 0:
            return float("nan")
        index = int(np.searchsorted(np.cumsum(counts), q / 100 * total))
        return float(self.levels[min(index, len(counts) - 1)])

    def mean(self) -> float:
        """Return the mean of the values (NaN where there are none)."""
        if not self.counts.any():
            return float("nan")
        return float(np.average(self.levels, weights=self.counts))

    def display(self) -> tuple[float, float]:
        """Choose a display range: from the background to a high percentile."""
        if not self.counts.any():
            return (0.0, 1.0)
        low, high = self.background()[0], self.percentile(99.95)
        return (low, high if high > low else low + 1.0)

    def background(self) -> tuple[float, float]:
        """Estimate level and standard deviation of the background.

        The level is the mode below the median of the values (on a histogram smoothed over a few
        bins); the deviation is the root mean square distance to the level of the values below it,
        where there is no foreground. Both are NaN where there are no values.
        """
        if not self.counts.any():
            return float("nan"), float("nan")
        low, high = self.percentile(0.1), self.percentile(50)
        size = max(1, int((high - low) / self.width / 16))
        smooth = np.convolve(self.counts, np.ones(2 * size + 1), mode="same")
        eligible = (self.levels >= low) & (self.levels <= high)
        level = float(self.levels[np.argmax(np.where(eligible, smooth, -1))])
        return level, self.spread_below(level)

    def spread_below(self, level: float) -> float:
        """Return the root mean square distance to a level of the values below it.

        Of the level's own bin, the part below it counts. 0 where there are no values.
        """
        part = np.clip((level - self.levels) / self.width + 0.5, 0, 1)
        weight = self.counts * part
        if not weight.any():
            return 0.0
        return float(np.sqrt(np.average((self.levels - level) ** 2, weights=weight)))


def has_levels(dtype: np.dtype[Any]) -> bool:
    """Return whether a histogram has a bin for every level of a type."""
    return dtype.kind in "ub" and dtype.itemsize <= 2


def finite_range(values: NDArray[Any]) -> tuple[float, float]:
    """Return the smallest and the largest finite value; (∞, -∞) where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)


def cells_of(values: NDArray[Any]) -> NDArray[Any]:
    """View an array (Z, Y, X) as its whole cells of 4 × 8 × 8 voxels.

    Returns
    -------
    array (cells along Z, 4, along Y, 8, along X, 8)
        Cells are no larger than the array.
    """
    cell = [min(n, c) for n, c in zip(values.shape, CELL, strict=True)]
    whole = tuple(slice(n // c * c) for n, c in zip(values.shape, cell, strict=True))
    (nz, cz), (ny, cy), (nx, cx) = ((n // c, c) for n, c in zip(values.shape, cell, strict=True))
    return values[whole].reshape(nz, cz, ny, cy, nx, cx)


def darkest_place(values: NDArray[Any]) -> float:
    """Return the smallest mean of a cell of 4 × 8 × 8 voxels, which is nearly background.

    In an image full of structure the mode of the counts lies above the background, while some cell
    is nearly empty; the noise of a cell's mean is a sixteenth of a voxel's.

    Parameters
    ----------
    values
        Counts (Z, Y, X). Cells with voxels that are not finite (without data) are left out.

    Returns
    -------
    float
        Infinity where no cell is left.
    """
    means = cells_of(values).mean((1, 3, 5), dtype=np.float64)
    return float(means.min(initial=np.inf, where=np.isfinite(means)))


def empty_level(histogram: Histogram, darkest: float) -> float:
    """Estimate the mean counts of empty places, for any share of empty places.

    The darkest of N empty cells lies about √(2 ln N) σ / 16 below their level (σ of a voxel), so
    that it falls with the size of the volume. If it is near that value, the mode is the empty
    places', and the mean of the counts within 1.5 σ of it (iterated) is the level. If it is lower,
    few places are empty, the mode is structure's, and the darkest place is the level.

    Parameters
    ----------
    histogram
        Of all voxels.
    darkest
        From `darkest_place`; infinite if not known.
    """
    level, sigma = histogram.background()
    # With hardly any photons, no count is below the mode, and the noise is below one count.
    sigma = max(sigma, histogram.width)
    for _ in range(MEAN_SHIFTS):
        near = histogram.counts * (np.abs(histogram.levels - level) <= WINDOW_SIGMAS * sigma)
        if not near.any():  # the mean lies in a gap of the histogram
            break
        level = float(np.average(histogram.levels, weights=near))
    noise = sigma / np.sqrt(np.prod(CELL))
    cells = max(histogram.counts.sum() / np.prod(CELL), 1.0)
    expected = level - (np.sqrt(2 * np.log(cells)) + SLACK) * noise
    return level if darkest >= expected else darkest


def level_error(histogram: Histogram, level: float, darkest: float) -> float:
    """Return the standard error of `empty_level`, in counts.

    It is that of a mean over the voxels within 1.5 standard deviations of the level, or over the
    darkest place if that is the level. It does not include a wrong choice of the empty places.

    Parameters
    ----------
    histogram
        Of all voxels with data.
    level
        From `empty_level`, in counts.
    darkest
        From `darkest_place`, in counts.
    """
    sigma = max(histogram.spread_below(level), 0.29 * histogram.width)  # of rounding alone
    if level == darkest:
        return float(sigma / np.sqrt(np.prod(CELL)))
    near = np.abs(histogram.levels - level) <= WINDOW_SIGMAS * max(sigma, histogram.width)
    return float(sigma / np.sqrt(max(histogram.counts[near].sum(), 1)))


def normalisation_law(
    histogram: Histogram, *, darkest: float = np.inf, camera_offset: float | None = None
) -> Normalisation:
    """Apply the law of this module to a histogram of counts.

    In pure noise, the scale is just above the noise.

    Parameters
    ----------
    histogram
        Of all voxels that share the normalisation.
    darkest
        As for `empty_level`.
    camera_offset
        Counts of a dark image; None = the level of empty places.
    """
    level = empty_level(histogram, darkest)
    # With hardly any photons, nothing is below the level, and the noise is below one count.
    reach = FOREGROUND_SIGMAS * max(histogram.spread_below(level), histogram.width)
    offset = level if camera_offset is None else camera_offset
    top = histogram.percentile(FOREGROUND_PERCENTILE, above=level + reach)
    if not np.isfinite(top) or top <= offset:
        top = max(level, offset) + reach
    return Normalisation(float(offset), float(top - offset))
