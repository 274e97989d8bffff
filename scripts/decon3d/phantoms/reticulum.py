"""Recipe of the endoplasmic reticulum: a network of thin tubes with sheets in some meshes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from decon3d.phantoms.grids import Grid, Volume
from decon3d.phantoms.objects import Tube, draw_tubes

Surface = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From places (Y, X), in µm, to heights along Z."""
PIECES = 4  # of a tube between two junctions
SHEET_SHARE = 0.08  # of the meshes


def er_network(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw layers of polygonal networks of thin tubes that meet in threes, with some sheets.

    Layers are 18 u apart and undulate; meshes are 10 … 16 u wide (one width per volume), the
    tubes slightly bent, of one radius (0.8 … 1.2 u) and of brightness 0.5 … 1; one mesh in twelve
    is filled by a sheet as thick as a tube, and neighbouring layers are joined by tubes.
    """
    from scipy.spatial import Voronoi  # slow to import

    unit = grid.unit_um
    radius = rng.uniform(0.8, 1.2) * unit
    width = rng.uniform(10, 16) * unit
    layers = max(1, round(float(grid.box_um[0] / unit) / 18))
    volume = np.zeros(grid.shape, np.float32)
    tubes: list[Tube] = []
    junctions: NDArray[np.float64] | None = None
    for layer in range(layers):
        level = (layer + rng.uniform(0.3, 0.7)) / layers * grid.box_um[0]
        height = _surface(level, unit, rng)
        sites = _sites(grid, width, rng)
        diagram = Voronoi(sites)
        points = np.column_stack([height(diagram.vertices), diagram.vertices])
        for first, second in diagram.ridge_vertices:
            if first >= 0:  # -1: an edge to infinity, far outside
                tubes.append(_strand(points[first], points[second], radius, unit, rng))
        filled = rng.random(len(sites)) < SHEET_SHARE
        np.maximum(volume, _sheets(grid, sites, filled, height, radius), out=volume)
        inside = ((points >= 0) & (points <= grid.box_um)).all(axis=1)
        if junctions is not None and len(junctions) and inside.any():
            for point in points[inside][rng.random(inside.sum()) < 0.1]:
                below = junctions[np.linalg.norm(junctions - point, axis=1).argmin()]
                tubes.append(_strand(below, point, radius, unit, rng))
        junctions = points[inside]
    drawn = draw_tubes(tubes, shape=grid.shape, voxel_size_um=grid.voxel_size_um)
    return np.maximum(volume, drawn, out=volume)


def _surface(level: float, unit: float, rng: np.random.Generator) -> Surface:
    """Draw a height z(y, x), in µm: a level and six plane waves of 60 … 120 u, 2 u high each."""
    angles, lengths = rng.uniform(0, 2 * np.pi, 6), rng.uniform(60, 120, 6) * unit
    waves = 2 * np.pi / lengths * np.stack([np.cos(angles), np.sin(angles)])
    phases = rng.uniform(0, 2 * np.pi, 6)
    return lambda yx: level + 2 * unit * np.sin(yx @ waves + phases).sum(axis=-1)


def _sites(grid: Grid, width: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Scatter the centres of meshes (Y, X), two rows beyond the box: a jittered lattice."""
    rows, columns = (int(np.ceil(round(float(b / width), 6))) + 4 for b in grid.box_um[1:])
    y, x = np.meshgrid(np.arange(rows) - 1.5, np.arange(columns) - 1.5, indexing="ij")
    x[1::2] += 0.5
    lattice = np.stack([y, x], axis=-1)
    return ((lattice + rng.uniform(-0.4, 0.4, lattice.shape)) * width).reshape(-1, 2)


def _strand(
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    radius: float,
    unit: float,
    rng: np.random.Generator,
) -> Tube:
    """Join two junctions by a slightly bent tube."""
    at = np.linspace(0, 1, PIECES + 1)[:, None]
    bend = rng.normal(size=3) * min(0.8 * unit, 0.15 * float(np.linalg.norm(end - start)))
    points = start + (end - start) * at + bend * np.sin(np.pi * at)
    return Tube(points, np.full(PIECES + 1, radius), np.full(PIECES + 1, rng.uniform(0.5, 1)))


def _sheets(
    grid: Grid,
    sites: NDArray[np.float64],
    filled: NDArray[np.bool_],
    height: Surface,
    half: float,
) -> Volume:
    """Fill meshes by sheets of a thickness of 2 · `half` around the surface, brightness 0.7."""
    from scipy.spatial import cKDTree  # slow to import

    split, (_, fy, fx) = grid.finer(min(grid.voxel_size_um) / 2)
    yx = np.stack(np.meshgrid(split.centres_um(1), split.centres_um(2), indexing="ij"), axis=-1)
    mask = filled[cKDTree(sites).query(yx.reshape(-1, 2))[1]].astype(np.float64)
    mask = mask.reshape(grid.shape[1], fy, grid.shape[2], fx).mean(axis=(1, 3))
    middle = np.stack(np.meshgrid(grid.centres_um(1), grid.centres_um(2), indexing="ij"), axis=-1)
    from_surface = grid.centres_um(0)[:, None, None] - height(middle)
    dz = grid.voxel_size_um[0]
    low, high = from_surface - dz / 2, from_surface + dz / 2
    share = np.clip(np.minimum(high, half) - np.maximum(low, -half), 0, None) / dz
    return (0.7 * share * mask).astype(np.float32)
