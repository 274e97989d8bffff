"""Recipe of curved, branching tubes."""

import numpy as np
from numpy.typing import NDArray

from decon3d.phantoms.grids import Grid, Volume
from decon3d.phantoms.objects import Tube, draw_tubes

STEP = 2.0  # u between the points of a tube's axis
BEND = 20.0  # u between the knots of its direction


def tubules(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw curved, branching tubes, as microtubules and mitochondria are.

    Diameters are 1 … 6 u; see `winding_tubes`. They fill 2 % of the volume.
    """
    tubes = winding_tubes(grid, share=0.02, radii=(0.5, 3.0), rng=rng)
    return draw_tubes(tubes, shape=grid.shape, voxel_size_um=grid.voxel_size_um)


def winding_tubes(
    grid: Grid, *, share: float, radii: tuple[float, float], rng: np.random.Generator
) -> list[Tube]:
    """Draw tubes until their axes fill a share of the volume, or there are two of them.

    Each is 40 … 160 u long with a radius in `radii` (u; log-uniform per tube, ± 30 % along it)
    and a brightness of 0.3 … 1 that varies along it; every third one starts on an earlier tube.

    Parameters
    ----------
    grid
        The box and its unit u.
    share
        Share of the box's volume.
    radii
        Smallest and largest radius, in u.
    rng
        Random generator.
    """
    tubes: list[Tube] = []
    filled = 0.0
    while len(tubes) < 2 or filled < share * grid.box_um.prod():
        start = rng.uniform(0, grid.box_um)
        if tubes and rng.random() < 1 / 3:
            start = rng.choice(tubes[rng.integers(len(tubes))].points_um)
        tube = _winding_tube(start, unit=grid.unit_um, radii=radii, rng=rng)
        inside = ((tube.points_um > 0) & (tube.points_um < grid.box_um)).all(axis=1)
        filled += float(np.sum(np.pi * tube.radii_um[inside] ** 2)) * STEP * grid.unit_um
        tubes.append(tube)
    return tubes


def _winding_tube(
    start_um: NDArray[np.float64],
    *,
    unit: float,
    radii: tuple[float, float],
    rng: np.random.Generator,
) -> Tube:
    """Draw a tube whose axis passes through `start_um` and bends smoothly."""
    from scipy.interpolate import PchipInterpolator  # as in `optics.psf`

    length = rng.uniform(40, 160)
    at = np.arange(0, length, STEP)
    knots = np.arange(0, length + BEND, BEND)

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return PchipInterpolator(knots, values)(at)  # stays within the knots' values

    heading = rng.normal(size=3)
    heading /= np.linalg.norm(heading)
    direction = smooth(heading + 0.45 * rng.normal(size=(len(knots), 3)))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    path = np.cumsum(direction, axis=0) * STEP * unit
    path += start_um - path[rng.integers(len(path))]
    radius = np.exp(rng.uniform(*np.log(radii)))
    along = np.clip(radius * smooth(rng.uniform(0.7, 1.3, len(knots))), *radii)
    return Tube(path, along * unit, smooth(rng.uniform(0.3, 1.0, len(knots))))
