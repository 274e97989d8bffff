"""Recipes from publications: training data of networks, and a test of resolution."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.phantoms.ellipsoids import ball, draw_ellipsoids
from decon3d.phantoms.grids import Grid, Volume
from decon3d.phantoms.objects import draw_tubes, ellipsoid, stamp
from decon3d.phantoms.sections import TRUTH_SIGMA
from decon3d.phantoms.tubes import winding_tubes


def rln_mixed(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw the mixed phantom that RLN was trained on (Li et al., Nature Methods 2022).

    Per 128³ voxels 100 solid spheres, 100 ellipsoid shells, and 50 each of dots, lines along
    z, y and x, plates across z, y and x, and cuboids (other volumes in proportion, at least one
    of each), drawn in this order; later ones overwrite. Values are U(50, 850), then a Gaussian of
    σ 0.7 voxel. All sizes are in voxels, whatever the voxel size, as published. The published
    flat level of 30 is left out: it is background, which the image formation adds.
    """
    volume = np.zeros(grid.shape, np.float32)
    share = volume.size / 128**3

    def copies(count: int) -> range:
        return range(max(1, round(count * share)))

    def centre() -> NDArray[np.float64]:
        return rng.uniform(-0.5, np.subtract(grid.shape, 0.5))

    def value() -> float:
        return rng.uniform(50, 850)

    for _ in copies(100):
        stamp(volume, *ellipsoid(centre(), [rng.uniform(4, 7)] * 3), value())
    for _ in copies(100):
        shell = ellipsoid(centre(), rng.uniform(4, 7, 3), inner=0.8, outer=1.3)
        stamp(volume, *shell, value())
    for longest in RLN_BOXES:
        for _ in copies(50):
            edges = rng.integers(2, longest, endpoint=True)
            start = np.floor(centre() - edges / 2 + 1).astype(int).tolist()
            stamp(volume, np.ones(edges, bool), start, value())
    return gaussian_filter(volume, RLN_SIGMA, mode="nearest")


RLN_SIGMA = TRUTH_SIGMA["rln_mixed"]
"""σ of the Gaussian that makes RLN's truth of its object, in voxels."""
RLN_BOXES = (
    (2, 2, 2),  # dot
    # Lines along z, y, x.
    (10, 2, 2),
    (2, 10, 2),
    (2, 2, 10),
    # Plates across z, y, x.
    (2, 10, 10),
    (10, 2, 10),
    (10, 10, 2),
    (6, 6, 6),  # cuboid
)
"""Longest edges (Z, Y, X) of RLN's boxes, in voxels; the shortest is 2."""


def spheres(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw solid balls: the objects of the resolution test (Chen et al., Nature Methods 2021).

    Radii are U(1.5, 5) u, brightness U(0.3, 1); two thirds of the balls lie singly, the others in
    pairs whose surfaces are 0.5 … 3 u apart, which tests the resolution. They fill about 2 % of the
    volume; overlaps have the brighter value.
    """
    balls = []
    for _ in range(grid.count(SPHERE_DENSITY * 3 / 4)):
        centre, radius = rng.uniform(0, grid.box_um), rng.uniform(1.5, 5)
        bright = rng.uniform(0.3, 1)
        balls.append(ball(centre, radius * grid.unit_um, brightness=bright))
        if rng.random() < 1 / 3:
            direction = rng.normal(size=3)
            gap = (2 * radius + rng.uniform(0.5, 3)) * grid.unit_um
            beside = centre + direction / np.linalg.norm(direction) * gap
            balls.append(ball(beside, radius * grid.unit_um, brightness=bright))
    return draw_ellipsoids(balls, grid, overlap="brighter")


SPHERE_DENSITY = 1.2e-4  # per u³


def neurodecon(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw NeuroDecon's phantom: sparse balls and tubes.

    One ball per 65 536 u³ (published: 512 per 32 × 1024 × 1024 voxels), of radius U(1, 4) u and
    brightness U(0.5, 1), which are added. Tubes of radius 1 … 6 u fill 2 % of the volume; other
    than the published ones they curve, branch, and vary in radius and brightness (0.3 … 1).
    """
    tubes = winding_tubes(grid, share=0.02, radii=(1.0, 6.0), rng=rng)
    balls = [
        ball(
            rng.uniform(0, grid.box_um),
            rng.uniform(1, 4) * grid.unit_um,
            brightness=rng.uniform(0.5, 1),
        )
        for _ in range(grid.count(512 / (32 * 1024 * 1024)))
    ]
    volume = draw_tubes(tubes, shape=grid.shape, voxel_size_um=grid.voxel_size_um)
    volume += draw_ellipsoids(balls, grid, overlap="sum")
    return volume
