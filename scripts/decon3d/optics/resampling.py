"""PSFs on other voxel grids: resampling with the flux kept, sub-voxel centring, the crop rule."""

from collections.abc import Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
from scipy import ndimage

from decon3d.errors import UserError
from decon3d.optics.arrays import Array, Floats, Triple, triple

LATERAL_ENERGY = 1e-4
"""Share of the energy that the lateral crop may leave outside."""
AXIAL_FLOOR = 1e-3
"""On-axis value, relative to the peak, below which planes are cropped."""
OUTSIDE = 2e-4
"""Share of the light that `energy_box` may leave outside per axis."""
LARGEST_GRID = 2**26
"""Voxels of the largest grid that a PSF is computed on: 0.5 GB, and a few copies."""
_FINE = 8  # grid points per voxel on which the core's centroid is taken


@cache
def _spline() -> tuple[Any, Any]:
    """Return the cubic B-spline around 0 and its integral."""
    from scipy.interpolate import BSpline  # slow to import

    spline = BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    return spline, spline.antiderivative()


def check_grid(shape: Sequence[int], *, voxel_size_um: Triple) -> None:
    """Raise `UserError` if a grid (Z, Y, X) for a PSF has more than `LARGEST_GRID` voxels."""
    voxels = prod(shape)
    if voxels > LARGEST_GRID:
        raise UserError(
            f"voxels of {' × '.join(f'{v:.4g}' for v in voxel_size_um)} µm (Z, Y, X) would need a "
            f"grid of {' × '.join(map(str, shape))} points for the PSF, {8 * voxels / 1e9:.3g} GB; "
            f"the limit is {LARGEST_GRID:,} points; check voxel_size_um and the optics"
        )


def resample(
    data: Floats,
    *,
    voxel_size_um: Triple,
    target_voxel_size_um: Triple,
    centre: Triple | None = None,
) -> Array:
    """Lay a PSF on another voxel grid, with the flux kept and a given point in the middle.

    Parameters
    ----------
    data
        Axes Z Y X, any sizes of any parity; a voxel holds what fell into it. Taken as 0 outside.
    voxel_size_um, target_voxel_size_um
        Sizes of its voxels and of the result's (Z, Y, X), in µm.
    centre
        The point, in voxel coordinates of `data` (Z, Y, X), that becomes the centre of the
        middle voxel; None = the middle of the array.

    Returns
    -------
    numpy.ndarray
        float64, axes Z Y X, odd sizes, as large as needed to cover `data`.

    Raises
    ------
    UserError
        If it would be larger than `LARGEST_GRID`.

    Notes
    -----
    Cubic spline interpolation. Where an axis becomes coarser (t > s), the spline is averaged over
    sqrt(t² - s²): the source's own voxels already average over s, and variances add. The result
    thus averages over t, neither more nor less, and does not alias.
    """
    result = np.asarray(data, np.float64)
    middle = centre or tuple((n - 1) / 2 for n in result.shape)
    flux = result.sum()
    steps = np.divide(target_voxel_size_um, voxel_size_um)
    reaches = [max(m, n - 1 - m) + 0.5 for m, n in zip(middle, result.shape, strict=True)]
    halves = [max(int(np.ceil(r / s - 0.5)), 0) for r, s in zip(reaches, steps, strict=True)]
    check_grid([2 * half + 1 for half in halves], voxel_size_um=target_voxel_size_um)
    for axis, (step, half) in enumerate(zip(steps, halves, strict=True)):
        size = result.shape[axis]
        points = middle[axis] + step * np.arange(-half, half + 1)
        matrix = resampling_matrix(points, size, np.sqrt(max(step**2 - 1, 0)))
        result = np.moveaxis(np.tensordot(matrix, result, axes=(1, axis)), 0, axis) * step
    total = result.sum()
    # The sum over a grid differs from the integral by what the grid cannot sample.
    return result * (flux / total) if total > 0 else result


def resampling_matrix(points: Array, size: int, width: float) -> Array:
    """Rows that evaluate the cubic spline through `size` samples at points, averaged over width.

    The samples are 0 outside, so coefficients exist only for the samples (and two beyond).

    Parameters
    ----------
    points
        Positions in samples, shape (N,).
    size
        Number of samples.
    width
        Length, in samples, over which the spline is averaged; 0 = its value at the points.

    Returns
    -------
    numpy.ndarray
        Shape (N, size), float64.
    """
    pad = 8  # the spline's coefficients fall by 0.27 per sample
    coefficients = ndimage.spline_filter1d(
        np.pad(np.eye(size), ((0, 0), (pad, pad))), order=3, axis=1, mode="mirror"
    ).T
    distance = points[:, None] - np.arange(-pad, size + pad)
    if width < 1e-3:
        weights = np.nan_to_num(_spline()[0](distance))
    else:
        integral = _spline()[1]
        upper = integral(np.clip(distance + width / 2, -2, 2))
        weights = (upper - integral(np.clip(distance - width / 2, -2, 2))) / width
    return weights @ coefficients


def core_centroid(data: Floats) -> Triple:
    """Find the centre of a PSF: the centroid of its core, in voxel coordinates (Z, Y, X).

    The core is the part around the maximum that exceeds half of it; its weight is the excess, so
    that no voxel jumps in or out. It is evaluated on a grid eight times finer (cubic spline), so
    that two or three voxels across suffice. Tails, lobes and background have no influence.
    """
    volume = np.asarray(data, np.float64)
    peak = np.unravel_index(int(volume.argmax()), volume.shape)
    labels, _ = ndimage.label(volume >= volume[peak] / 2)
    box = ndimage.find_objects((labels == labels[peak]).astype(np.uint8))[0]
    start = [max(part.start - 2, 0) for part in box]
    stop = [min(part.stop + 2, n) for part, n in zip(box, volume.shape, strict=True)]
    fine = volume[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    for axis in range(3):
        size = fine.shape[axis]
        points = np.arange(-_FINE, _FINE * size + 1) / _FINE
        matrix = resampling_matrix(points, size, 0.0)
        fine = np.moveaxis(np.tensordot(matrix, fine, axes=(1, axis)), 0, axis)
    top = np.unravel_index(int(fine.argmax()), fine.shape)
    labels, _ = ndimage.label(fine > fine[top] / 2)
    excess = np.where(labels == labels[top], fine - fine[top] / 2, 0)
    found = ndimage.center_of_mass(excess)
    return triple(a + c / _FINE - 1 for a, c in zip(start, found, strict=True))


def crop_box(data: Floats, *, floor: float = AXIAL_FLOOR) -> tuple[slice, slice, slice]:
    """Find the part of a centred PSF that is worth keeping: the crop rule.

    Axially: up to the last plane whose on-axis value is at least `floor` of the peak (the
    energy of a widefield plane does not fall with z, so it cannot be the criterion). Laterally:
    the smallest rectangle that leaves less than `LATERAL_ENERGY` of the energy outside.

    Parameters
    ----------
    data
        Axes Z Y X, odd sizes, centred on the middle voxel.
    floor
        Share of the peak.

    Returns
    -------
    tuple of slice
        Symmetric about the middle voxel, so that the sizes stay odd.
    """
    volume = np.asarray(data, np.float64)
    middle = [n // 2 for n in volume.shape]
    on_axis = volume[:, middle[1], middle[2]]
    offsets = np.abs(np.flatnonzero(on_axis >= floor * on_axis.max()) - middle[0])
    half = [int(offsets.max()), 0, 0]
    kept = volume[middle[0] - half[0] : middle[0] + half[0] + 1]
    for axis in (1, 2):
        outside = _share_outside(kept, axis)
        half[axis] = int(np.argmax(outside < LATERAL_ENERGY / 2))  # half for each of two axes
    z, y, x = (slice(m - h, m + h + 1) for m, h in zip(middle, half, strict=True))
    return z, y, x


def energy_box(data: Floats) -> tuple[slice, slice, slice]:
    """Find the smallest box that leaves at most `OUTSIDE` of the light out per axis.

    Parameters
    ----------
    data
        Axes Z Y X, odd sizes, centred on the middle voxel.

    Returns
    -------
    tuple of slice
        Symmetric about the middle voxel.
    """
    box = []
    for axis, n in enumerate(data.shape):
        half = int(np.argmax(_share_outside(data, axis) <= OUTSIDE))
        box.append(slice(n // 2 - half, n // 2 + half + 1))
    return box[0], box[1], box[2]


def _share_outside(data: Floats, axis: int) -> Array:
    """Return the share of the light that is farther from the middle of an axis, by distance."""
    profile = data.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.float64)
    centre = len(profile) // 2
    folded = profile[centre:].copy()
    folded[1:] += profile[:centre][::-1]
    return np.asarray(1 - np.cumsum(folded) / folded.sum())
