"""Solid ellipsoids drawn in µm, with partial-volume edges. Axis order Z Y X."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from decon3d.phantoms.grids import Grid, Volume, average

PER_VOXEL = 2
"""Samples per smallest voxel edge …"""
PER_RADIUS = 3
"""… and per shortest semi-axis, at least: a ball of half a voxel has its volume to 5 %."""


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """The points x with |axes⁻¹ (x - centre)| ≤ 1.

    Attributes
    ----------
    centre_um
        (Z, Y, X)
    axes_um
        (3, 3): its columns are the semi-axes as vectors (Z, Y, X).
    """

    centre_um: NDArray[np.float64]
    axes_um: NDArray[np.float64]
    brightness: float = 1.0

    def scaled(self, factor: float, *, brightness: float | None = None) -> "Ellipsoid":
        """Return one of the same centre, `factor` times as large."""
        value = self.brightness if brightness is None else brightness
        return Ellipsoid(self.centre_um, self.axes_um * factor, value)


def ball(centre_um: NDArray[np.float64], radius_um: float, *, brightness: float = 1.0) -> Ellipsoid:
    """Return a ball."""
    return Ellipsoid(centre_um, np.eye(3) * radius_um, brightness)


def draw_ellipsoids(
    ellipsoids: Iterable[Ellipsoid], grid: Grid, *, overlap: Literal["brighter", "sum"]
) -> Volume:
    """Draw ellipsoids; overlaps have the brighter value, or the sum.

    Parameters
    ----------
    ellipsoids
        May extend beyond the grid.
    grid
        Voxels and their size.
    overlap
        Value where they overlap.

    Returns
    -------
    array of float32, (Z, Y, X)
        Brightness × the share of the voxel inside.
    """
    volume = np.zeros(grid.shape, np.float32)
    for each in ellipsoids:
        window, share = coverage(each, grid)
        part = volume[window]
        share *= np.float32(each.brightness)
        part[:] = np.maximum(part, share) if overlap == "brighter" else part + share
    return volume


def coverage(ellipsoid: Ellipsoid, grid: Grid) -> tuple[tuple[slice, slice, slice], Volume]:
    """Return the share of each voxel inside an ellipsoid.

    Voxels are averaged over finer samples with a soft edge one sample wide; the distance to the
    surface is the quadratic form's to first order.

    Returns
    -------
    window, share
        The voxels around the ellipsoid inside the grid (possibly none), and their share, 0 … 1.
    """
    voxel = np.asarray(grid.voxel_size_um)
    shortest = float(np.linalg.svd(ellipsoid.axes_um, compute_uv=False)[-1])
    step = min(voxel.min() / PER_VOXEL, shortest / PER_RADIUS)
    factors = np.ceil(voxel / step - 1e-6).astype(int)
    fine = voxel / factors
    edge = float(fine.mean())
    # A soft edge of width e gives a ball the volume of r³ + r e² / 4: keep the volume.
    inverse = np.linalg.inv(ellipsoid.axes_um * (1 - edge**2 / (12 * shortest**2)))
    reach = np.linalg.norm(ellipsoid.axes_um, axis=1) + edge
    window = grid.window(ellipsoid.centre_um, reach)
    samples = [
        (np.arange(part.start * n, part.stop * n) + 0.5) * step - centre
        for part, n, step, centre in zip(window, factors, fine, ellipsoid.centre_um, strict=True)
    ]
    form = length(inverse, samples)
    slope = length(inverse.T @ inverse, samples)
    distance = (1 - form) * form / np.maximum(slope, np.float32(1e-6))
    inside: Volume = np.clip(distance / np.float32(edge) + np.float32(0.5), 0, 1)
    inside[form < 0.5] = 1  # at the centre the slope vanishes
    return window, average(inside, factors)


def length(matrix: NDArray[np.floating], axes: Sequence[NDArray[np.float64]]) -> Volume:
    """Return |matrix · x| at all places x of a grid, whose positions are given for each axis."""
    z, y, x = (positions.astype(np.float32) for positions in axes)
    squares = np.zeros((len(z), len(y), len(x)), np.float32)
    for a, b, c in matrix.astype(np.float32):
        squares += (a * z[:, None, None] + b * y[:, None] + c * x) ** 2
    return np.sqrt(squares)


def within(
    inner: tuple[slice, slice, slice], outer: tuple[slice, slice, slice]
) -> tuple[slice, ...]:
    """Return a window of the grid as a window of a larger grid that contains it."""
    return tuple(
        slice(i.start - o.start, i.stop - o.start) for i, o in zip(inner, outer, strict=True)
    )
