"""Average beads: each centred on the grid, without its background, without outliers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from decon3d.optics.arrays import Array, Floats, Mask, Shape, Triple, middle_part, triple
from decon3d.optics.ball import FWHM_OF_SIGMA
from decon3d.optics.bead_detection import Candidate
from decon3d.optics.resampling import resample

Stack = NDArray[np.float32]

OUTLIER = 6.0
"""Standard deviations from the median bead beyond which a voxel of a bead is replaced by it."""
FEWEST_FOR_OUTLIERS = 5
"""Beads below which outliers cannot be recognised."""
_MARGIN = 6  # voxels read around a crop, so that the spline does not see its end


@dataclass(frozen=True)
class Average:
    """The mean bead, peak about 1.

    Attributes
    ----------
    data
        float64, axes Z Y X, odd sizes; the noise around the bead is about 0, of both signs.
    noise
        Standard deviation of the noise where there is no light.
    half_split
        Root mean square of half the difference between the means of every second bead, over the
        voxels above a tenth of the peak: noise, misplacement and true differences together;
        None for one bead.
    outliers
        Share of the beads' voxels that were replaced.
    """

    data: Array
    noise: float
    half_split: float | None
    outliers: float


def plane_background(
    stack: Stack, candidates: Sequence[Candidate], half_width: Shape
) -> tuple[Array, float]:
    """Measure the background of each plane, and its noise, away from all candidates.

    Parameters
    ----------
    stack
        Counts, axes Z Y X.
    candidates, half_width
        What to keep away from, and how far (Z, Y, X), in voxels.

    Returns
    -------
    numpy.ndarray, float
        Counts per plane, and the standard deviation of a voxel's noise in counts.

    Notes
    -----
    Means without what exceeds three standard deviations, not medians: a dim background in whole
    counts has a median that is wrong by up to half a count, which over a whole crop is easily as
    much as the bead.
    """
    free = np.ones(stack.shape, bool)
    for c in candidates:
        free[
            tuple(
                slice(max(round(p) - h, 0), round(p) + h + 1)
                for p, h in zip(c.position, half_width, strict=True)
            )
        ] = False
    if free.sum() < 1000:
        free[:] = True
    overall, noise = _clipped_mean(stack[free])
    levels = [
        _clipped_mean(plane[mask])[0] if mask.sum() >= 200 else overall
        for plane, mask in zip(stack, free, strict=True)
    ]
    return np.array(levels), noise


def centred_crop(
    stack: Stack,
    candidate: Candidate,
    *,
    background: Array,
    half_width: Shape,
    local_background: bool,
) -> Array:
    """Cut a bead out with its centre in the middle voxel and its background off.

    Parameters
    ----------
    stack
        Counts, axes Z Y X.
    background
        Counts per plane.
    half_width
        Voxels (Z, Y, X) of the crop beyond its middle.
    local_background
        Whether what is left in the outermost voxels is background, not the bead's own light.

    Returns
    -------
    numpy.ndarray
        float64, 2 half_width + 1 voxels per axis; 0 beyond the stack.
    """
    starts = [
        max(round(p) - h - _MARGIN, 0) for p, h in zip(candidate.position, half_width, strict=True)
    ]
    window = tuple(
        slice(s, round(p) + h + _MARGIN + 1)
        for s, p, h in zip(starts, candidate.position, half_width, strict=True)
    )
    values = stack[window] - background[window[0], None, None]
    centre = triple(p - s for p, s in zip(candidate.position, starts, strict=True))
    laid = resample(values, voxel_size_um=(1, 1, 1), target_voxel_size_um=(1, 1, 1), centre=centre)
    crop = middle_part(laid, half_width)
    if local_background:
        crop = crop - _clipped_mean(crop[faces(crop.shape)])[0]
    return crop


def average_beads(crops: Sequence[Array], heights: Sequence[float], *, noise: float) -> Average:
    """Average centred beads of different brightness.

    Parameters
    ----------
    crops
        From `centred_crop`, in counts.
    heights
        Each bead's height, in counts.
    noise
        Of a voxel without light, in counts.

    Notes
    -----
    Sum of the beads over the sum of their heights: with photon noise the weights of maximum
    likelihood. A voxel that deviates from the median bead by more than six standard deviations
    (the larger of the spread over the beads there and the noise of the background) is replaced by
    the median: a hot voxel, or a speck beside one bead.
    """
    weight = np.asarray(heights, np.float64)[:, None, None, None]
    scaled = np.stack(crops) / weight
    outliers = 0.0
    if len(crops) >= FEWEST_FOR_OUTLIERS:
        middle = np.median(scaled, axis=0)
        deviation = np.abs(scaled - middle)
        spread = 1.4826 * np.median(deviation, axis=0)
        bad = deviation > OUTLIER * np.maximum(spread, noise / weight)
        outliers = float(bad.mean())
        scaled = np.where(bad, middle, scaled)
    mean = (scaled * weight).sum(axis=0) / weight.sum()
    half_split = None
    if len(crops) > 1:
        halves = [(scaled[k::2] * weight[k::2]).sum(axis=0) / weight[k::2].sum() for k in (0, 1)]
        lit = mean > 0.1 * mean.max()
        half_split = float(np.sqrt(np.mean((halves[0] - halves[1])[lit] ** 2)) / 2)
    _, left = _clipped_mean(mean[faces(mean.shape)])
    return Average(mean, left, half_split, outliers)


def correlations(crops: Sequence[Array], fwhm_voxels: Triple) -> list[float]:
    """Correlate each bead with the median bead, where that exceeds a twentieth of its peak.

    Both are smoothed by a third of a FWHM first, so that noise does not decide.
    """
    sigma = [f / 3 / FWHM_OF_SIGMA for f in fwhm_voxels]
    smooth = [ndimage.gaussian_filter(c, sigma) for c in crops]
    median = np.median([s / s.max() for s in smooth], axis=0)
    lit = median > 0.05 * median.max()
    return [float(np.corrcoef(s[lit], median[lit])[0, 1]) for s in smooth]


def faces(shape: tuple[int, ...]) -> Mask:
    """Mark the outermost two voxels."""
    faces = np.ones(shape, bool)
    faces[2:-2, 2:-2, 2:-2] = False
    return faces


def _clipped_mean(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation without what lies beyond three standard deviations."""
    kept = np.asarray(values, np.float64).ravel()
    for _ in range(5):
        mean, deviation = kept.mean(), kept.std()
        inside = np.abs(kept - mean) <= 3 * deviation
        if inside.all():
            break
        kept = kept[inside]
    return float(kept.mean()), float(kept.std())
