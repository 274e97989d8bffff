"""Recipes of tissue: the walls between cells, and nuclei."""

import numpy as np
from numpy.typing import NDArray

from decon3d.phantoms.ellipsoids import Ellipsoid, coverage, within
from decon3d.phantoms.grids import Grid, Volume, random_field


def membranes(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw the curved walls of a tissue of closed cells.

    Cells are 22 … 32 u apart (one distance per volume) and lie irregularly; walls are the
    bisectors of neighbouring cells' centres (Voronoi), in a space bent by a random field, and are
    1.2 … 2.4 u thick (one thickness per volume). Each cell has a brightness of 0.4 … 1, a wall
    the mean of its two cells'.
    """
    unit = grid.unit_um
    distance = rng.uniform(22, 32) * unit
    half = rng.uniform(0.6, 1.2) * unit
    # Two more beyond each face.
    cells = np.ceil(np.round(grid.box_um / distance, 6)).astype(int) + 4
    lattice = np.stack(np.meshgrid(*(np.arange(n) - 1.5 for n in cells), indexing="ij"), axis=-1)
    lattice += rng.uniform(-0.42, 0.42, lattice.shape)
    # Every other layer is moved by half a cell, else walls would line up across the volume.
    lattice[1::2, :, :, 1:] += 0.5
    centres = lattice.reshape(-1, 3) * distance
    bright = rng.uniform(0.4, 1, len(centres)).astype(np.float32)

    axes = np.meshgrid(*(grid.centres_um(a) for a in range(3)), indexing="ij")
    bent = [axes[a] + 3 * unit * random_field(grid, 10 * unit, rng) for a in range(3)]
    points = np.stack([a.ravel() for a in bent], axis=-1)
    from scipy.spatial import cKDTree  # slow to import

    distances, nearest = cKDTree(centres).query(points, k=2)
    across = centres[nearest[:, 1]] - centres[nearest[:, 0]]
    apart = np.linalg.norm(across, axis=1)
    from_wall = (distances[:, 1] ** 2 - distances[:, 0] ** 2) / (2 * apart)
    # Partial volume: how much of the voxel's extent across the wall lies in the wall.
    extent = np.abs(across) @ np.asarray(grid.voxel_size_um) / apart
    low, high = from_wall - extent / 2, from_wall + extent / 2
    share = np.clip(np.minimum(high, half) - np.maximum(low, -half), 0, None) / extent
    values = share * bright[nearest].mean(axis=1)
    return values.reshape(grid.shape).astype(np.float32)


def nuclei(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw nuclei: ellipsoids with a rim, a chromatin texture and dark nucleoli.

    Semi-axes are U(8, 14) u, any orientation; one nucleus per 12 000 u³ as far as there is room.
    Brightness is 0.4 … 1 per nucleus; chromatin varies by ± 35 % over 1.5 u, the outer tenth is
    brighter, and each nucleus has one to three nucleoli of radius 1.5 … 3.5 u that are nearly dark.
    """
    unit = grid.unit_um
    volume = np.zeros(grid.shape, np.float32)
    chromatin = np.clip(1 + 0.35 * random_field(grid, 1.5 * unit, rng), 0.2, None)
    placed: list[Ellipsoid] = []
    for _ in range(grid.count(1 / 12_000)):
        nucleus = _nucleus(grid, rng=rng)
        nucleoli = [_nucleolus(nucleus, unit=unit, rng=rng) for _ in range(rng.integers(1, 4))]
        if any(_touch(nucleus, other) for other in placed):
            continue
        placed.append(nucleus)
        window, share = coverage(nucleus, grid)
        body = share * chromatin[window]
        inner, core = coverage(nucleus.scaled(0.9), grid)
        rim = share.copy()
        rim[within(inner, window)] -= core
        body += 0.3 * rim
        for nucleolus in nucleoli:
            where, dark = coverage(nucleolus, grid)
            body[within(where, window)] *= 1 - 0.85 * dark
        np.maximum(volume[window], nucleus.brightness * body, out=volume[window])
    return volume


def _nucleus(grid: Grid, *, rng: np.random.Generator) -> Ellipsoid:
    from scipy.spatial.transform import Rotation  # slow to import

    turn = Rotation.random(random_state=rng).as_matrix()
    semi_axes = rng.uniform(8, 14, 3) * grid.unit_um
    return Ellipsoid(rng.uniform(0, grid.box_um), turn * semi_axes, rng.uniform(0.4, 1))


def _nucleolus(nucleus: Ellipsoid, *, unit: float, rng: np.random.Generator) -> Ellipsoid:
    """Draw a ball within the inner two thirds of a nucleus."""
    direction: NDArray[np.float64] = rng.normal(size=3)
    direction *= 0.55 * rng.random() ** (1 / 3) / np.linalg.norm(direction)
    radius = rng.uniform(1.5, 3.5) * unit
    return Ellipsoid(nucleus.centre_um + nucleus.axes_um @ direction, np.eye(3) * radius)


def _touch(one: Ellipsoid, other: Ellipsoid) -> bool:
    """Return whether two nuclei would overlap, by their extents along the line between them."""
    between = other.centre_um - one.centre_um
    length = float(np.linalg.norm(between))
    extents = [float(np.linalg.norm(e.axes_um.T @ between)) / length for e in (one, other)]
    return length < sum(extents)
