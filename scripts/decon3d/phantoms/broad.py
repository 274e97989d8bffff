"""The broad training mixture: random fields without typical structure, with known shapes."""

import numpy as np

from decon3d.phantoms.grids import Grid, Volume, average, random_field
from decon3d.phantoms.published import rln_mixed, spheres


def broad(grid: Grid, *, rng: np.random.Generator) -> Volume:
    """Draw one to three layers of random-field objects, sometimes with a published phantom.

    Made for generalisation: it has no typical shape. A layer is one of `_blobs`, `_filaments`
    and `_sheets`, has a contrast of 0.1 … 1 (log-uniform), and is confined to part of the volume
    by a coarser field. In every other volume `rln_mixed` or `spheres` is added, in every third a
    smooth haze of up to 10 % of the maximum.
    """
    # Not finer than the voxels' smallest edge: a smaller u would only cost time.
    fine, factors = grid.finer(max(grid.unit_um, min(grid.voxel_size_um)))
    volume = np.zeros(grid.shape, np.float32)
    for _ in range(rng.integers(1, 4)):
        draw = (_blobs, _filaments, _sheets)[rng.integers(3)]
        volume += average(_peak_one(draw(fine, rng) * _patches(fine, rng)), factors) * np.float32(
            np.exp(rng.uniform(np.log(0.1), 0))
        )
    if rng.random() < 1 / 2:
        published = (rln_mixed, spheres)[rng.integers(2)]
        volume += _peak_one(published(grid, rng=rng)) * np.float32(rng.uniform(0.3, 1))
    if rng.random() < 1 / 3:
        haze = np.clip(random_field(grid, 20 * grid.unit_um, rng) + 1, 0, None)
        volume += _peak_one(haze) * np.float32(rng.uniform(0, 0.1)) * volume.max()
    return volume


def _blobs(grid: Grid, rng: np.random.Generator) -> Volume:
    """Draw what exceeds a random level of a field of σ 1 … 4 u, raised to a power of 0.5 … 2."""
    field = random_field(grid, rng.uniform(1, 4) * grid.unit_um, rng)
    return np.clip(field - rng.uniform(0, 1.5), 0, None) ** np.float32(rng.uniform(0.5, 2))


def _filaments(grid: Grid, rng: np.random.Generator) -> Volume:
    """Draw filaments of σ 0.5 … 1.2 u where two fields of σ 3 … 8 u are both near zero."""
    width = rng.uniform(0.5, 1.2)
    return np.exp(-(_distance2(grid, rng) + _distance2(grid, rng)) / np.float32(2 * width**2))


def _sheets(grid: Grid, rng: np.random.Generator) -> Volume:
    """Draw sheets of σ 0.4 … 1 u where a field of σ 3 … 8 u is near zero."""
    return np.exp(-_distance2(grid, rng) / np.float32(2 * rng.uniform(0.4, 1) ** 2))


def _distance2(grid: Grid, rng: np.random.Generator) -> Volume:
    """Squared distance, in u², to where a field of σ 3 … 8 u is zero, by its mean slope."""
    sigma = rng.uniform(3, 8)
    # A field of such bumps has a gradient of √(3/2) / σ on average (root of the mean square).
    return (random_field(grid, sigma * grid.unit_um, rng) * np.float32(sigma * 1.5**-0.5)) ** 2


def _patches(grid: Grid, rng: np.random.Generator) -> Volume:
    """Draw a mask with soft edges: where a field of σ 5 … 14 u exceeds a random level."""
    field = random_field(grid, rng.uniform(5, 14) * grid.unit_um, rng)
    return np.clip(4 * (field - rng.uniform(-1, 0.8)), 0, 1)


def _peak_one(volume: Volume) -> Volume:
    """Scale to a maximum of 1, unless empty."""
    peak = volume.max()
    return volume / peak if peak > 0 else volume
