"""Voxels without data: the fill of deskewing, stitching or padding, NaN and infinities.

A voxel has no data if it is not finite, or if it has the volume's *fill value* and lies within
3 × 6 × 6 voxels (Z, Y, X; half sizes) of a box of 3 × 5 × 5 voxels that all have it. No camera
gives one count 75 times in a row, so single dark pixels with that count are data. The rule depends
on these neighbours only, so it is the same for any tiling.

In memory, a voxel without data is NaN.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from decon3d.volumes.normalisation import Histogram, cells_of

if TYPE_CHECKING:
    from decon3d.volumes.reader import Volume

NoData = Literal["auto", "none"] | float
"""The fill value: found in the data, none, or given."""
BOX = (1, 2, 2)
"""Half size (Z, Y, X) of the box of one value."""
CONTEXT = (3, 6, 6)
"""Voxels around a region (Z, Y, X) that the rule needs to see: three boxes."""
CANDIDATE_REACH = CONTEXT[1] + 1
"""Rows around those in which a candidate is counted."""
LEAST_CELL = 64
"""Voxels of a cell whose constant value is not by chance; tiny volumes have smaller cells."""
CANDIDATES = 3
DARKER = 1e-3
"""A value is the darkest one if a smaller share of the data lies below it."""
SPECKS = 1e-4
"""Share of single other voxels in a place of one value above which the place is dark, not fill:
they are photons."""
FREQUENT = 1e-2
"""Share of the data at the darkest value above which it is the detector's zero, not fill."""


def mark(values: NDArray[Any], fill: float | None) -> NDArray[Any]:
    """Make voxels without data NaN.

    Parameters
    ----------
    values
        Counts (Z, Y, X), with `CONTEXT` around the used part of the result, or up to the faces.
    fill
        The fill value; None = there is none.

    Returns
    -------
    array (Z, Y, X)
        The values themselves if all have data, else a float32 copy.
    """
    absent = np.zeros(values.shape, bool) if fill is None else _filled(values, fill)
    if values.dtype.kind == "f":
        absent |= ~np.isfinite(values)
    if not absent.any():
        return values
    result = values.astype(np.float32)
    result[absent] = np.nan
    return result


def missing(values: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which voxels have no data (are NaN); None if all have data."""
    if values.dtype.kind != "f":
        return None
    absent = np.isnan(values)
    return absent if absent.any() else None


def filled(values: NDArray[Any], level: float) -> NDArray[Any]:
    """Replace missing data by a level."""
    absent = missing(values)
    return values if absent is None else np.where(absent, np.float32(level), values)


def read_marked(
    volume: "Volume",
    time: int,
    channel: int,
    region: tuple[slice, slice, slice],
    fill: float | None,
) -> NDArray[Any]:
    """Read a region (Z, Y, X slices) with its surroundings and mark it.

    Parameters
    ----------
    volume
        The volume.
    time, channel, region
        As for `Volume.read`.
    fill
        The fill value; None = only NaN and infinities have no data.

    Returns
    -------
    array (Z, Y, X)
        As from `mark`.
    """
    if fill is None:
        return mark(volume.read(time, channel, region), None)
    wide, inner = [], []
    for part, reach, size in zip(region, CONTEXT, volume.shape[2:], strict=True):
        start = max(part.start - reach, 0)
        wide.append(slice(start, min(part.stop + reach, size)))
        inner.append(slice(part.start - start, part.stop - start))
    z, y, x = wide
    return mark(volume.read(time, channel, (z, y, x)), fill)[tuple(inner)]


def _filled(values: NDArray[Any], fill: float) -> NDArray[np.bool_]:
    same = np.asarray(values == fill)
    if not same.any():
        return same
    boxes = _spread(same, np.logical_and)
    return same & _spread(_spread(boxes, np.logical_or), np.logical_or)


def _spread(mask: NDArray[np.bool_], combine: np.ufunc) -> NDArray[np.bool_]:
    """Combine each voxel with the box around it, which ends at the faces."""
    for axis, reach in enumerate(BOX):
        for _ in range(reach):
            line = np.moveaxis(mask, axis, 0)
            wider = mask.copy()
            out = np.moveaxis(wider, axis, 0)
            combine(out[1:], line[:-1], out=out[1:])
            combine(out[:-1], line[1:], out=out[:-1])
            mask = wider
    return mask


def constant_cells(values: NDArray[Any]) -> dict[float, int]:
    """Count the cells of 4 × 8 × 8 voxels of one value, by their value."""
    cells = cells_of(values)
    nz, cz, ny, cy, nx, cx = cells.shape
    if cz * cy * cx < LEAST_CELL or 0 in (nz, ny, nx):
        return {}
    first = cells[:, 0, :, 0, :, 0]
    # Three voxels of each cell exclude most; only the others are compared in full.
    alike = (first == cells[:, -1, :, -1, :, -1]) & (first == cells[:, -1, :, 0, :, -1])
    some = cells.transpose(0, 2, 4, 1, 3, 5)[alike]
    constant = (some == some[:, :1, :1, :1]).all((1, 2, 3))
    found, counts = np.unique(first[alike][constant], return_counts=True)
    return dict(zip(found.astype(float).tolist(), counts.tolist(), strict=True))


def commonest(cells: dict[float, int]) -> list[float]:
    """List a few values of constant cells, the commonest ones first, of equals the smallest."""
    return sorted(cells, key=lambda value: (-cells[value], value))[:CANDIDATES]


@dataclass(frozen=True)
class Candidate:
    """A possible fill value: its voxels in constant places, and the single other voxels there.

    Attributes
    ----------
    voxels
        Voxels that `mark` would mark.
    specks
        Other voxels among four such neighbours (along Y and X).
    """

    voxels: int
    specks: int

    def __add__(self, other: "Candidate") -> "Candidate":
        return Candidate(self.voxels + other.voxels, self.specks + other.specks)


def candidate(values: NDArray[Any], fill: float, rows: slice) -> Candidate:
    """Count a possible fill value in some rows of a slab (Z, Y, X).

    Parameters
    ----------
    values
        The rows with `CANDIDATE_REACH` around them, or up to the faces.
    rows
        Those that count.
    """
    absent = _filled(values, fill)
    voxels = int(np.count_nonzero(absent[:, rows]))
    absent = absent[:, max(rows.start - 1, 0) : rows.stop + 1]
    middle, inner = absent[:, 1:-1], absent[:, 1:-1, 1:-1]
    among = absent[:, :-2, 1:-1] & absent[:, 2:, 1:-1] & middle[:, :, :-2] & middle[:, :, 2:]
    return Candidate(voxels, int(np.count_nonzero(among & ~inner)))


def choose_fill(
    candidates: dict[float, Candidate], histogram: Histogram, *, camera_offset: float | None = None
) -> float | None:
    """Distinguish fill from darkness and saturation, in a volume's statistics.

    The largest value is saturation, never fill. Photon-counting images are constant in the dark,
    too, but single voxels there have another value. A darkest value with at least 1 % of the data,
    and hardly any below, is the detector's zero. Values below half of the camera's offset are
    always fill.

    Parameters
    ----------
    candidates
        Values of constant places.
    histogram
        Of all finite voxels.
    camera_offset
        Counts of a dark image, if known.

    Returns
    -------
    float or None
        The fill value that covers most.
    """
    for value, found in sorted(candidates.items(), key=lambda entry: -entry[1].voxels):
        index = histogram.index(value)
        if not found.voxels or not histogram.counts[index + 1 :].any():
            continue
        if camera_offset and value <= camera_offset / 2:
            return value
        if found.specks > SPECKS * found.voxels:
            continue
        rest = histogram.without(value, found.voxels).counts
        data = rest.sum()
        if rest[:index].sum() > DARKER * data or rest[index] < FREQUENT * data:
            return value
    return None
