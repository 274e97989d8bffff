"""The grid of an object: voxels, their size in µm, and its unit of length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Shape = tuple[int, int, int]
VoxelSize = tuple[float, float, float]
Volume = NDArray[np.float32]

FIELD_REACH = 4.0
"""A random field's kernels are cut off at this many σ, where they have fallen to 3e-4."""


@dataclass(frozen=True)
class Grid:
    """A box of voxels; positions are in µm (Z, Y, X) from the outer corner of the first voxel.

    Attributes
    ----------
    shape
        Voxels (Z, Y, X).
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    unit_um
        The unit u, in µm: all sizes of a recipe are multiples of it.
    """

    shape: Shape
    voxel_size_um: VoxelSize
    unit_um: float

    @property
    def box_um(self) -> NDArray[np.float64]:
        """Edges of the box (Z, Y, X), in µm."""
        return np.array([n * v for n, v in zip(self.shape, self.voxel_size_um, strict=True)])

    def count(self, per_cubic_unit: float) -> int:
        """Return the number of objects in the box for a density, at least one."""
        return max(1, round(per_cubic_unit * float(self.box_um.prod()) / self.unit_um**3))

    def centres_um(self, axis: int) -> NDArray[np.float64]:
        """Positions of the voxels' centres along an axis."""
        return np.arange(0.5, self.shape[axis]) * self.voxel_size_um[axis]

    def window(
        self, centre_um: NDArray[np.float64], reach_um: NDArray[np.float64]
    ) -> tuple[slice, slice, slice]:
        """Return the voxels within a reach (Z, Y, X) of a place, inside the grid; possibly none."""
        low = np.floor((centre_um - reach_um) / self.voxel_size_um).astype(int).clip(0, self.shape)
        high = np.ceil((centre_um + reach_um) / self.voxel_size_um).astype(int)
        z, y, x = map(slice, low, high.clip(low, self.shape))
        return z, y, x

    def finer(self, edge_um: float) -> tuple["Grid", Shape]:
        """Split the voxels until no edge is longer than `edge_um`; also the factors (Z, Y, X)."""
        z, y, x = (max(1, int(np.ceil(v / edge_um - 1e-6))) for v in self.voxel_size_um)
        dz, dy, dx = self.voxel_size_um
        nz, ny, nx = self.shape
        split = Grid((nz * z, ny * y, nx * x), (dz / z, dy / y, dx / x), self.unit_um)
        return split, (z, y, x)


def average(fine: Volume, factors: Sequence[int] | NDArray[np.integer]) -> Volume:
    """Average a volume over blocks of `factors` voxels (Z, Y, X)."""
    split = [n for size, f in zip(fine.shape, factors, strict=True) for n in (size // f, f)]
    return fine.reshape(split).mean(axis=(1, 3, 5))


def along(axis: int, weights: NDArray[np.floating], values: Volume) -> Volume:
    """Multiply an axis of a volume by a banded matrix (new length, old length).

    Sparse, not BLAS: its bytes do not depend on the number of threads.
    """
    from scipy.sparse import csr_array  # slow to import

    matrix = csr_array(weights.astype(np.float32))
    moved = np.ascontiguousarray(np.moveaxis(values, axis, 0))
    product = (matrix @ moved.reshape(len(moved), -1)).reshape(-1, *moved.shape[1:])
    return np.ascontiguousarray(np.moveaxis(product, 0, axis))


def random_field(
    grid: Grid, sigma_um: float, rng: np.random.Generator, *, averaged: bool = False
) -> Volume:
    """Draw a smooth Gaussian random field of mean 0 and variance 1.

    White noise on a lattice of step σ, convolved with a Gaussian of that σ. The field is defined in
    space, not on voxels: two grids of one box sample the same field.

    Parameters
    ----------
    grid
        Where it is sampled, at the voxels' centres.
    sigma_um
        σ of the bumps, in µm; two points this far apart correlate by exp(-1/4).
    rng
        Source of the noise.
    averaged
        Use the mean over each voxel instead of the value in its middle. The variance is below 1 if
        σ is not large compared with the voxels.

    Returns
    -------
    array of float32, (Z, Y, X)
    """
    # The lattice extends beyond the box, so that the variance is the same up to the faces.
    # Rounding guards against boxes that differ in the last digit.
    edges = (round(float(edge / sigma_um), 6) for edge in grid.box_um)
    points = [int(np.ceil(edge + 2 * FIELD_REACH)) + 1 for edge in edges]
    field = rng.standard_normal(points, dtype=np.float32)
    for axis in range(3):
        at = grid.centres_um(axis)[:, None] / sigma_um + FIELD_REACH
        distance = at - np.arange(points[axis])
        edge = grid.voxel_size_um[axis] / sigma_um if averaged else 0.0
        if averaged:
            weights = (ndtr(distance + edge / 2) - ndtr(distance - edge / 2)) / edge
            weights *= (2 * np.pi) ** 0.5 / np.pi**0.25
        else:
            weights = np.exp(-0.5 * distance**2) / np.pi**0.25  # Σ weights² = 1 at every point
        weights[np.abs(distance) > FIELD_REACH + edge / 2] = 0
        field = along(axis, weights, field)
    return field


def power_law_field(
    grid: Grid,
    rng: np.random.Generator,
    *,
    longest_um: float,
    exponent: float,
) -> Volume:
    """Draw a Gaussian random field with a power-law spectrum, of mean 0 and variance 1.

    Random fields of σ = longest, longest / 2, longest / 4 … are added, down to the grid's unit. The
    spectral density of the sum falls as 1 / frequency^exponent between the two lengths; an exponent
    of 3 gives every octave the same variance, which is called 1/f noise.

    Parameters
    ----------
    grid
        Each voxel has the field's mean over the voxel.
    rng
        Source of the noise.
    longest_um
        Largest σ, in µm.
    exponent
        Of the three-dimensional spectral density.

    Returns
    -------
    array of float32, (Z, Y, X)
    """
    octaves = 1 + max(0, int(np.floor(np.log2(longest_um / grid.unit_um) + 1e-6)))
    # σ³ is the volume of an octave's frequencies: density ∝ σ^exponent needs this variance.
    variances = 2.0 ** (-np.arange(octaves) * (exponent - 3))
    variances /= variances.sum()
    field = np.zeros(grid.shape, np.float32)
    for octave, variance in enumerate(variances):
        smooth = random_field(grid, longest_um / 2**octave, rng, averaged=True)
        field += np.float32(variance**0.5) * smooth
    return field
