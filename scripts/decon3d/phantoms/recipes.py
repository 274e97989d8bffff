"""Recipes: functions that draw a whole object, registered by name.

A recipe takes the shape in voxels (Z, Y, X), the voxel size in µm (Z, Y, X) and a random
generator, and returns a float32 object without background, all values ≥ 0, of any scale: the
image formation scales it to a dose of photons and adds the background.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter

from decon3d.errors import UserError
from decon3d.phantoms.objects import Shape, Tube, Volume, VoxelSize, draw_tubes, ellipsoid, stamp


class Recipe(Protocol):
    """What a recipe looks like."""

    def __call__(
        self, *, shape: Shape, voxel_size_um: VoxelSize, rng: np.random.Generator
    ) -> Volume:
        """Draw the object."""


RECIPES: dict[str, Recipe] = {}


def recipe(function: Recipe) -> Recipe:
    """Register a recipe under the function's name."""
    RECIPES[function.__name__] = function  # type: ignore[attr-defined]
    return function


def make_object(
    name: str, *, shape: Shape, voxel_size_um: VoxelSize, rng: np.random.Generator
) -> Volume:
    """Draw an object.

    Parameters
    ----------
    name
        Name of the recipe.
    shape
        Voxels (Z, Y, X).
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    rng
        Random generator; the object depends on nothing else.

    Returns
    -------
    array of float32, (Z, Y, X)
        Values ≥ 0, without background.

    Raises
    ------
    UserError
        If there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"{name!r} is no phantom recipe; known: {', '.join(sorted(RECIPES))}")
    return RECIPES[name](shape=shape, voxel_size_um=voxel_size_um, rng=rng)


@recipe
def rln_mixed(*, shape: Shape, voxel_size_um: VoxelSize, rng: np.random.Generator) -> Volume:
    """Draw the mixed phantom that RLN was trained on (Li et al., Nature Methods 2022).

    Per 128³ voxels 100 solid spheres, 100 ellipsoid shells, and 50 each of dots, lines along
    z, y and x, plates across z, y and x, and cuboids (other volumes in proportion, at least one
    of each), drawn in this order; later ones overwrite. Values are U(50, 850), then a Gaussian of
    σ 0.7 voxel. All sizes are in voxels, whatever the voxel size, as published. The published
    flat level of 30 is left out: it is background, which the image formation adds.
    """
    volume = np.zeros(shape, np.float32)
    share = volume.size / 128**3

    def copies(count: int) -> range:
        return range(max(1, round(count * share)))

    def centre() -> NDArray[np.float64]:
        return rng.uniform(-0.5, np.subtract(shape, 0.5))

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
    return gaussian_filter(volume, 0.7, mode="nearest")


RLN_BOXES = (
    (2, 2, 2),  # dot
    (10, 2, 2), (2, 10, 2), (2, 2, 10),  # lines along z, y, x
    (2, 10, 10), (10, 2, 10), (10, 10, 2),  # plates across z, y, x
    (6, 6, 6),  # cuboid
)  # fmt: skip
"""Longest edges (Z, Y, X) of RLN's boxes, in voxels; the shortest is 2."""


@recipe
def tubules(*, shape: Shape, voxel_size_um: VoxelSize, rng: np.random.Generator) -> Volume:
    """Draw curved, branching tubes; no training recipe of RLN's contains such a structure.

    The unit u is the smallest voxel edge. Tubes are 40 … 160 u long with diameters of 1 … 6 u
    (log-uniform per tube, ± 30 % along it) and a brightness of 0.3 … 1 that varies along them;
    every third one starts on an earlier tube. They are added until their axes fill 2 % of the
    volume, or there are two of them.
    """
    unit = min(voxel_size_um)
    box = np.multiply(shape, voxel_size_um)
    tubes: list[Tube] = []
    filled = 0.0
    while len(tubes) < 2 or filled < TUBE_SHARE * box.prod():
        start = rng.uniform(0, box)
        if tubes and rng.random() < 1 / 3:
            start = rng.choice(tubes[rng.integers(len(tubes))].points_um)
        tube = _winding_tube(start, unit=unit, rng=rng)
        inside = ((tube.points_um > 0) & (tube.points_um < box)).all(axis=1)
        filled += float(np.sum(np.pi * tube.radii_um[inside] ** 2)) * TUBE_STEP * unit
        tubes.append(tube)
    return draw_tubes(tubes, shape=shape, voxel_size_um=voxel_size_um)


TUBE_SHARE = 0.02
TUBE_STEP = 2.0  # u between the points of a tube's axis
TUBE_BEND = 20.0  # u between the knots of its direction


def _winding_tube(start_um: NDArray[np.float64], *, unit: float, rng: np.random.Generator) -> Tube:
    """Draw a tube whose axis passes through `start_um` and bends smoothly."""
    length = rng.uniform(40, 160)
    at = np.arange(0, length, TUBE_STEP)
    knots = np.arange(0, length + TUBE_BEND, TUBE_BEND)

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return PchipInterpolator(knots, values)(at)  # stays within the knots' values

    heading = rng.normal(size=3)
    heading /= np.linalg.norm(heading)
    direction = smooth(heading + 0.45 * rng.normal(size=(len(knots), 3)))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    path = np.cumsum(direction, axis=0) * TUBE_STEP * unit
    path += start_um - path[rng.integers(len(path))]
    radius = np.exp(rng.uniform(np.log(0.5), np.log(3.0)))
    radii = np.clip(radius * smooth(rng.uniform(0.7, 1.3, len(knots))), 0.5, 3.0)
    return Tube(path, radii * unit, smooth(rng.uniform(0.3, 1.0, len(knots))))
