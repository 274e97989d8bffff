"""The shift between two channels of a microscope, from beads that shine in both."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from decon3d.optics.arrays import Array, Floats, Triple, triple

REACH = 1.5
"""Distance, in FWHM along each axis, within which two images may be of one bead."""
OUTLIER = 4.0
"""Robust standard deviations from the median beyond which a pair of images is left out."""


@dataclass(frozen=True)
class Shift:
    """How far a channel's images lie from the reference channel's.

    Attributes
    ----------
    shift_um
        Along Z, Y, X, in µm: place in the channel minus place in the reference.
    error_um
        Standard error.
    beads
        Beads that were found in both.
    """

    shift_um: Triple
    error_um: Triple
    beads: int


def shift_between(reference: Floats, other: Floats, *, fwhm_um: Triple) -> Shift | None:
    """Measure the shift of a channel against a reference channel.

    Parameters
    ----------
    reference, other
        Positions of the beads in both channels, n × 3 (Z, Y, X), in µm, in any order.
    fwhm_um
        Width of a bead's image (Z, Y, X), in µm.

    Returns
    -------
    Shift or None
        The median over the beads that are each other's nearest; None where there are none.
    """
    reference, other = (np.asarray(p, np.float64).reshape(-1, 3) for p in (reference, other))
    if not len(reference) or not len(other):
        return None
    scale = np.asarray(fwhm_um)
    from scipy.spatial import KDTree  # slow to import

    trees = KDTree(reference / scale), KDTree(other / scale)
    distance, nearest = trees[0].query(other / scale, distance_upper_bound=REACH)
    _, back = trees[1].query(reference / scale)
    found = [i for i, n in enumerate(nearest) if np.isfinite(distance[i]) and int(back[n]) == i]
    if not found:
        return None
    shifts = other[found] - reference[nearest[found]]
    middle = np.median(shifts, axis=0)
    spread = 1.4826 * np.median(np.abs(shifts - middle), axis=0) + 1e-9
    shifts = shifts[(np.abs(shifts - middle) <= OUTLIER * spread + 1e-9).all(axis=1)]
    if not len(shifts):
        return None
    # a median's standard error is 1.25 times the mean's
    deviation = shifts.std(axis=0, ddof=1) if len(shifts) > 1 else scale
    error = triple(1.25 * deviation / np.sqrt(len(shifts)))
    return Shift(triple(np.median(shifts, axis=0)), error, len(shifts))


def displaced(psf: Floats, shift_voxels: Triple) -> Array:
    """Displace a PSF (Z Y X, odd sizes) by any part of voxels; its array grows by as much."""
    grow = [int(np.ceil(abs(s))) + 1 if abs(s) > 1e-6 else 0 for s in shift_voxels]
    wide = np.pad(np.asarray(psf, np.float64), [(g, g) for g in grow])
    moved = ndimage.shift(wide, shift_voxels, order=5, mode="constant")
    return np.asarray(np.clip(moved, 0, None))  # the spline may undershoot beside steep edges
