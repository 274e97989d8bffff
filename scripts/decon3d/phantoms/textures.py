"""Recipes of smooth and textured objects: nuclei with soft rims and a 1/f texture, and haze."""

import numpy as np

from decon3d.phantoms.ellipsoids import length
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
    from scipy.spatial.transform import Rotation  # slow to import

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
        window = grid.window(centre, REACH * np.linalg.norm(axes, axis=1))
        places = [grid.centres_um(a)[part] - centre[a] for a, part in enumerate(window)]
        form = length(np.linalg.inv(axes), places)
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
