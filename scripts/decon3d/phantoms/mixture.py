"""The default phantom: flat, thin, point-like and smooth objects in every volume."""

from collections.abc import Callable

import numpy as np

from decon3d.phantoms.ellipsoids import Ellipsoid, ball, coverage, draw_ellipsoids, within
from decon3d.phantoms.grids import Grid, Volume
from decon3d.phantoms.objects import draw_tubes
from decon3d.phantoms.textures import haze, textured_nuclei
from decon3d.phantoms.tubes import winding_tubes

FAINTEST = 0.15
"""Level of the faintest kind of object, relative to the brightest."""
HAZE = (0.01, 0.1)
"""Mean of the haze, relative to the brightest object, log-uniform. The blur dims objects, not
the haze: in the image it is a few times as strong."""
SPARSEST = 0.2
"""Share of the objects that the sparsest volumes have of each kind."""
FLAT_DENSITY = 4e-5  # per u³, of either kind


def mixture(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw all kinds of objects in one volume, so that no single kind decides the ranking.

    Solid and hollow ellipsoids (piecewise flat), curved tubes, points, and textured nuclei with
    soft rims are drawn in one volume and added. The brightest kind has a level of 1, the others
    of 0.15 … 1 (log-uniform); tubes are twice and points four times as bright, since the blur
    dims them most. Of each kind there are 0.2 … 1 times as many as stated below (log-uniform).
    Haze is added everywhere.
    """
    levels = np.exp(rng.uniform(np.log(FAINTEST), 0, len(KINDS)))
    levels /= levels.max()
    volume = np.zeros(grid.shape, np.float32)
    for (draw, gain), level in zip(KINDS, levels, strict=True):
        density = float(np.exp(rng.uniform(np.log(SPARSEST), 0)))
        volume += draw(grid, rng=rng, density=density) * np.float32(gain * level)
    veil = haze(grid, rng=rng)
    veil *= np.float32(np.exp(rng.uniform(*np.log(HAZE)))) / veil.mean()
    volume += veil
    return volume


def _flat(grid: Grid, *, rng: np.random.Generator, density: float) -> Volume:
    """Draw balls and hollow ellipsoids of uniform brightness 0.3 … 1 with sharp edges.

    Half of them are solid balls of radius 2 … 7 u; half are ellipsoids with semi-axes of 4 … 9 u
    and a wall 0.15 … 0.4 of that thick. Together they fill a few percent of the volume.
    """
    unit = grid.unit_um
    balls = [
        ball(rng.uniform(0, grid.box_um), rng.uniform(2, 7) * unit, brightness=rng.uniform(0.3, 1))
        for _ in range(grid.count(density * FLAT_DENSITY))
    ]
    volume = draw_ellipsoids(balls, grid, overlap="brighter")
    for _ in range(grid.count(density * FLAT_DENSITY)):
        axes = np.diag(rng.uniform(4, 9, 3) * unit)
        outer = Ellipsoid(rng.uniform(0, grid.box_um), axes, rng.uniform(0.3, 1))
        window, wall = coverage(outer, grid)
        inner, core = coverage(outer.scaled(1 - rng.uniform(0.15, 0.4)), grid)
        wall[within(inner, window)] -= core
        part = volume[window]
        np.maximum(part, np.float32(outer.brightness) * np.maximum(wall, 0), out=part)
    return volume


def _thin(grid: Grid, *, rng: np.random.Generator, density: float) -> Volume:
    """Draw curved tubes of radius 0.5 … 2 u that fill 0.6 % of the volume."""
    tubes = winding_tubes(grid, share=0.006 * density, radii=(0.5, 2.0), rng=rng)
    return draw_tubes(tubes, shape=grid.shape, voxel_size_um=grid.voxel_size_um)


def _points(grid: Grid, *, rng: np.random.Generator, density: float) -> Volume:
    """Draw balls of radius 0.7 … 1.3 u and brightness 0.2 … 1 (log-uniform), one per 6 000 u³."""
    points = [
        ball(
            rng.uniform(0, grid.box_um),
            rng.uniform(0.7, 1.3) * grid.unit_um,
            brightness=np.exp(rng.uniform(np.log(0.2), 0)),
        )
        for _ in range(grid.count(density / 6000))
    ]
    return draw_ellipsoids(points, grid, overlap="sum")


KINDS: tuple[tuple[Callable[..., Volume], float], ...] = (
    (_flat, 1),
    (_thin, 2),
    (_points, 4),
    (textured_nuclei, 0.5),
)
"""The kinds of objects, and the factor on their brightness if they are the brightest kind."""
