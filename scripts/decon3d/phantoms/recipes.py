"""Recipes: functions that draw a whole object, by name.

A recipe takes a grid and a random generator, and returns a float32 object (Z, Y, X) without
background, all values ≥ 0, of any scale: the image formation scales it to a dose of photons and
adds the background. Sizes are multiples of the grid's unit u and partial volumes are used, so one
seed draws the same object in space on any voxels. Exceptions are `rln_mixed`, which is published in
voxels, and `broad`, which may contain it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import numpy as np

from decon3d.errors import UserError
from decon3d.phantoms.broad import broad
from decon3d.phantoms.cells import membranes, nuclei
from decon3d.phantoms.grids import Grid, Shape, Volume, VoxelSize
from decon3d.phantoms.mixture import mixture
from decon3d.phantoms.published import neurodecon, rln_mixed, spheres
from decon3d.phantoms.reticulum import er_network
from decon3d.phantoms.textures import haze, textured_nuclei
from decon3d.phantoms.tubes import tubules
from decon3d.phantoms.user_objects import OwnObject, draw_crop


class Recipe(Protocol):
    """The signature of a recipe."""

    def __call__(self, grid: Grid, *, rng: np.random.Generator) -> Volume:
        """Draw the object."""


RECIPES: dict[str, Recipe] = {
    "mixture": mixture,
    "rln_mixed": rln_mixed,
    "spheres": spheres,
    "spheres_2x": spheres,
    "spheres_3x": spheres,
    "spheres_4x": spheres,
    "neurodecon": neurodecon,
    "broad": broad,
    "tubules": tubules,
    "membranes": membranes,
    "nuclei": nuclei,
    "textured_nuclei": textured_nuclei,
    "haze": haze,
    "er_network": er_network,
}

SHARPER_THAN_IMAGE = {"spheres_2x": 2.0, "spheres_3x": 3.0, "spheres_4x": 4.0}
"""Recipes whose truth is itself blurred, by a Gaussian so wide that the image is this many times
as blurred as the truth (see `imaging.truth_blur_um`)."""

STRUCTURES: dict[str, frozenset[str]] = {
    "mixture": frozenset({"balls", "tubes", "nuclei", "haze"}),
    "rln_mixed": frozenset({"boxes", "balls"}),
    **dict.fromkeys(("spheres", *SHARPER_THAN_IMAGE), frozenset({"balls"})),
    "neurodecon": frozenset({"balls", "tubes"}),
    "broad": frozenset({"boxes", "balls", "fields"}),
    "tubules": frozenset({"tubes"}),
    "membranes": frozenset({"walls"}),
    "nuclei": frozenset({"nuclei"}),
    "textured_nuclei": frozenset({"nuclei"}),
    "haze": frozenset({"haze"}),
    "er_network": frozenset({"reticulum"}),
}
"""The structures of a recipe's objects. A network that was trained on all of them has seen the
recipe, even under another name."""

UNIT_LIMIT = 0.5
"""Smallest unit, in smallest voxel edges: the thinnest structures are one unit thick."""


def structures(recipe: str) -> frozenset[str]:
    """Return the structures of a recipe's objects; a user's object is its own structure."""
    return STRUCTURES.get(recipe, frozenset({recipe}))


def make_object(
    name: str,
    *,
    shape: Shape,
    voxel_size_um: VoxelSize,
    rng: np.random.Generator,
    unit_um: float | None = None,
    own: Mapping[str, OwnObject] | None = None,
) -> Volume:
    """Draw an object.

    Parameters
    ----------
    name
        Name of the recipe, or of one of the user's own objects.
    shape
        Voxels (Z, Y, X).
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    rng
        Random generator; the object depends on nothing else.
    unit_um
        The unit of all sizes, in µm; None = the smallest voxel edge.
    own
        The user's own objects by name.

    Returns
    -------
    array of float32, (Z, Y, X)
        Values ≥ 0, without background.

    Raises
    ------
    UserError
        If there is no such recipe, or the unit is below half a voxel.
    """
    own = own or {}
    drawers: dict[str, Recipe] = RECIPES | {n: partial(draw_crop, o) for n, o in own.items()}
    if name not in drawers:
        raise UserError(f"Unknown phantom recipe {name!r}; known: {', '.join(sorted(drawers))}")
    smallest = min(voxel_size_um)
    if unit_um is not None and unit_um < UNIT_LIMIT * smallest:
        raise UserError(
            f"phantoms.unit_um: structures of {unit_um:g} µm are too small for voxels of "
            f"{smallest:g} µm; give at least {UNIT_LIMIT * smallest:g} µm"
        )
    return drawers[name](Grid(shape, voxel_size_um, unit_um or smallest), rng=rng)
