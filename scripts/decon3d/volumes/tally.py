"""What is counted of one channel, slab by slab: histogram, darkest place, what has no data."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.volumes.no_data import Candidate, NoData, candidate, choose_fill, constant_values, mark
from decon3d.volumes.normalisation import Histogram, darkest_place


@dataclass(frozen=True)
class Counted:
    """A channel's counts; voxels without data are in none of the first two."""

    histogram: Histogram
    darkest: float
    """Mean of the darkest place; infinite where there is none."""
    fill: float | None
    """Value of the voxels without data; None = none has it."""
    filled: int
    """Voxels with that value in places without data."""
    not_finite: int
    saturated: int
    """Voxels at the largest value of an integer type."""


class Tally:
    """Counts voxels, slab by slab.

    Parameters
    ----------
    dtype
        Of the counts.
    start, stop
        Range of the histogram of a float type; integers have their own.
    no_data
        How voxels without data are known.
    """

    def __init__(
        self,
        dtype: np.dtype[Any],
        *,
        start: float = 0.0,
        stop: float | None = None,
        no_data: NoData = "auto",
    ) -> None:
        self._start, self._stop = start, stop
        self._no_data = no_data
        self._largest = np.iinfo(dtype).max if dtype.kind in "ui" else None
        self._histogram: Histogram | None = None
        self._candidates: dict[float, Candidate] = {}
        self._darkest = np.inf
        self._not_finite = 0
        self._saturated = 0

    def add(self, values: NDArray[Any]) -> None:
        """Count a slab (Z, Y, X)."""
        part = Histogram.of(values, start=self._start, stop=self._stop)
        self._histogram = part if self._histogram is None else self._histogram + part
        for value in self._values_in(values):
            known = self._candidates.get(value, Candidate(0, 0))
            self._candidates[value] = known + candidate(values, value)
            values = mark(values, value)
        self._darkest = min(self._darkest, darkest_place(values))
        if self._largest is None:
            self._not_finite += int(np.size(values) - part.counts.sum())
        else:
            self._saturated += int(np.count_nonzero(values == self._largest))

    def _values_in(self, values: NDArray[Any]) -> list[float]:
        if self._no_data == "auto":
            return constant_values(values)
        return [] if self._no_data == "none" else [float(self._no_data)]

    def counted(self, *, camera_offset: float | None = None) -> Counted:
        """Return what was counted; `camera_offset` helps to tell fill from darkness."""
        assert self._histogram is not None
        histogram, fill = self._histogram, None
        if self._no_data == "auto":
            fill = choose_fill(self._candidates, histogram, camera_offset=camera_offset)
        elif self._no_data != "none":
            fill = float(self._no_data)
        filled = 0 if fill is None or not self._candidates else self._candidates[fill].voxels
        if fill is not None and filled:
            histogram = histogram.without(fill, filled)
        return Counted(histogram, self._darkest, fill, filled, self._not_finite, self._saturated)


def fill_of(
    image: NDArray[Any], *, camera_offset: float | None = None, no_data: NoData = "auto"
) -> float | None:
    """Find the value of the voxels without data of one whole image (Z, Y, X); None = none has."""
    tally = Tally(image.dtype, no_data=no_data)
    tally.add(image)
    return tally.counted(camera_offset=camera_offset).fill


def mark_image(image: NDArray[Any], *, camera_offset: float | None = None) -> NDArray[Any]:
    """Find and mark what has no data in one whole image (Z, Y, X)."""
    return mark(image, fill_of(image, camera_offset=camera_offset))
