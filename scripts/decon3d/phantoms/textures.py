"""Recipes of smooth and textured objects: nuclei with soft rims and a 1/f texture, and haze."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from decon3d.phantoms.grids import Grid, Volume, power_law_field, random_field

APART = 2.4
"""One body per cube of this edge, in mean radii; bodies fill about a quarter of the volume."""
REACH = 2.0
"""Bodies are drawn out to this multiple of their semi-axes: bends and rims end before."""


def textured_nuclei(grid: Grid, *, rng: np.random.Generator, density: float = 1.0) -> Volume:
    """Draw bodies with soft rims and a texture on all scales, as stained nuclei and cells are.

    One mean radius per volume, 8 … 28 u (log-uniform). Each body is an ellipsoid of any
    orientation whose semi-axes are 0.7 … 1.3 of it, bent by a random field, with a rim 0.1 … 0.6
    of its radius wide and a brightness of 0.4 … 1. The texture multiplies them: the exponential
    of 0.15 … 0.5 times a random field whose spectral density falls as 1 / frequency^2.5 … 4,
    from half the radius down to 1 u. With a
    `density` below 1 there are fewer bodies.
    """
    unit = grid.unit_um
    radius = unit * float(np.exp(rng.uniform(np.log(8), np.log(28))))
    exponent, contrast = rng.uniform(2.5, 4), np.float32(rng.uniform(0.15, 0.5))
    texture = power_law_field(grid, rng, longest_um=radius / 2, exponent=exponent)
    bend = random_field(grid, 0.6 * radius, rng, averaged=True)
    # Centres may lie outside, so that the faces look like the middle.
    box = grid.box_um + 2 * radius
    volume = np.zeros(grid.shape, np.float32)
    for _ in range(max(1, round(density * float(box.prod()) / (APART * radius) ** 3))):
        centre = rng.uniform(0, box) - radius
        turn = Rotation.random(random_state=rng).as_matrix()
        axes = turn * (radius * rng.uniform(0.7, 1.3, 3))
        rim, bright = rng.uniform(0.1, 0.6), np.float32(rng.uniform(0.4, 1))
        window, form = _distance(grid, centre, axes)
        depth = (1 + np.float32(0.12) * bend[window] - form) / np.float32(rim)
        inside = np.clip(depth + np.float32(0.5), 0, 1)
        inside *= inside * (3 - 2 * inside)  # no edge at either end of the rim
        np.maximum(volume[window], bright * inside, out=volume[window])
    if not volume.any():  # every body lay outside the faces
        return textured_nuclei(grid, rng=rng, density=density)
    volume *= np.exp(contrast * texture)
    return volume


def haze(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw light without any detail, as out-of-focus light and diffuse stain are.

    The exponential of 0.4 … 1 times a random field of σ 10 … 30 u; no voxel is dark.
    """
    sigma, contrast = rng.uniform(10, 30) * grid.unit_um, np.float32(rng.uniform(0.4, 1))
    return np.exp(contrast * random_field(grid, sigma, rng, averaged=True))


def _distance(
    grid: Grid, centre_um: NDArray[np.float64], axes_um: NDArray[np.float64]
) -> tuple[tuple[slice, slice, slice], Volume]:
    """Return |axes⁻¹ (x - centre)| around an ellipsoid, and the window of voxels it is for."""
    reach = REACH * np.linalg.norm(axes_um, axis=1)
    voxel = np.asarray(grid.voxel_size_um)
    low = np.floor((centre_um - reach) / voxel).astype(int).clip(0, grid.shape)
    high = np.ceil((centre_um + reach) / voxel).astype(int).clip(low, grid.shape)
    z, y, x = (
        (grid.centres_um(a)[low[a] : high[a]] - centre_um[a]).astype(np.float32) for a in range(3)
    )
    squares = np.zeros((len(z), len(y), len(x)), np.float32)
    for a, b, c in np.linalg.inv(axes_um).astype(np.float32):
        squares += (a * z[:, None, None] + b * y[:, None] + c * x) ** 2
    window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    return window, np.sqrt(squares)
