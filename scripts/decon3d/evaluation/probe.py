"""Probes: simulated objects that show effects hidden in a number over all voxels.

Isolated beads give width and position. Isolated balls over a 20-fold range of brightness show
whether restored light is proportional to true light, on which channel ratios and traces depend. All
are imaged through the channel's own PSF and camera, with the seed's noise, the same for every
method.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import Region
from decon3d.optics.psf import Psf, fwhm_um
from decon3d.phantoms.ellipsoids import ball, draw_ellipsoids
from decon3d.phantoms.grids import Grid, Shape, Volume
from decon3d.phantoms.imaging import Exposure, SimulatedCamera, form_image, margins

CELLS = (2, 4, 4)
"""Cells (Z, Y, X), each with one object in its middle, off the voxels' centres at random."""
CELL_WIDTH = 5.0
"""Edge of a cell, in FWHM of the PSF …"""
CELL_VOXELS = (11, 31)
"""… but within these bounds, in voxels."""
BEAD_RADIUS = 1.0
BALL_RADIUS = 2.0
"""Radii, in smallest voxel edges."""
RANGE = 20.0
LEVELS = 8
BEADS, BALLS = 12, 16
"""Cells with beads and with balls; the others are empty, which gives the background."""
LOST = 2.0
"""A bead whose peak is farther than this from its true position, in FWHM of the PSF, is lost."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Simulated objects in cells.

    Attributes
    ----------
    radius
        Of each cell's object, in smallest voxel edges; 0 = the cell is empty.
    brightness
        By cell, relative.
    background
        Counts of an empty place.
    """

    exposure: Exposure
    cells: list[Region]
    radius: NDArray[np.float64]
    brightness: NDArray[np.float64]
    background: float
    psf: Psf

    @cached_property
    def true_light(self) -> NDArray[np.float64]:
        """Counts above the background, by cell."""
        return light(self.exposure.object, self)


def make_probe(
    psf: Psf,
    *,
    photons: float,
    background_photons: float,
    camera: SimulatedCamera,
    rng: np.random.Generator,
) -> Probe:
    """Simulate one object per cell: equal beads, and balls of 8 levels of brightness; some empty.

    Parameters
    ----------
    psf
        Of the channel.
    photons, background_photons
        As in `form_image`.
    camera
        The camera.
    rng
        Of places and noise.
    """
    count = int(np.prod(CELLS))
    levels = np.resize(np.geomspace(1, RANGE, LEVELS), BALLS)
    # A bead has half of the light of the brightest ball.
    bead = RANGE / 2 * (BALL_RADIUS / BEAD_RADIUS) ** 3
    kinds = [(BEAD_RADIUS, bead)] * BEADS + [(BALL_RADIUS, float(v)) for v in levels]
    kinds += [(0.0, 0.0)] * (count - len(kinds))
    kinds = [kinds[i] for i in rng.permutation(count)]
    voxel = np.array(psf.voxel_size_um)
    edges = [
        ceil(min(max(CELL_WIDTH * width / v, CELL_VOXELS[0]), CELL_VOXELS[1]))
        for width, v in zip(fwhm_um(psf.data, psf.voxel_size_um), voxel, strict=True)
    ]
    edges = [edge + 1 - edge % 2 for edge in edges]  # odd, so that a cell has a middle voxel
    around = margins(psf.data)
    z, y, x = (n * e + 2 * m for n, e, m in zip(CELLS, edges, around, strict=True))
    shape: Shape = (z, y, x)
    cells: list[Region] = []
    balls = []
    for place, (radius, value) in zip(np.ndindex(CELLS), kinds, strict=True):
        first = [int(p * e) for p, e in zip(place, edges, strict=True)]
        a, b, c = (slice(n, n + e) for n, e in zip(first, edges, strict=True))
        cells.append((a, b, c))
        middle = np.add(first, np.add(edges, rng.uniform(-1, 1, 3)) / 2) + around
        if radius:
            balls.append(ball(middle * voxel, radius * float(voxel.min()), brightness=value))
    grid = Grid(shape, psf.voxel_size_um, float(voxel.min()))
    exposure = form_image(
        draw_ellipsoids(balls, grid, overlap="sum"),
        psf=psf.data,
        photons=photons,
        background_photons=background_photons,
        camera=camera,
        rng=rng,
    )
    background = float(camera.counts(np.array([background_photons]))[0])
    radii, brightness = np.array(kinds).T
    return Probe(exposure, cells, radii, brightness, background, psf)


def light(volume: NDArray[np.floating], probe: Probe) -> NDArray[np.float64]:
    """Sum the counts above the background of every cell of a volume (Z Y X)."""
    return np.array(
        [float(np.sum(volume[cell] - probe.background, dtype=np.float64)) for cell in probe.cells]
    )


@dataclass(frozen=True)
class Proportion:
    """Restored against true light per object.

    Attributes
    ----------
    slope
        Of the light itself, by least squares with an intercept.
    exponent
        Of its logarithm; NaN where a level of brightness has no light above the empty cells'.
    """

    slope: float
    exponent: float


def proportion(restored: Volume, probe: Probe) -> Proportion:
    """Compare restored with true light over the cells with balls and the empty ones (Z Y X)."""
    found, true = light(restored, probe), probe.true_light
    balls, empty = probe.radius == BALL_RADIUS, probe.radius == 0
    slope = np.polyfit(true[balls | empty], found[balls | empty], 1)[0]
    above = found - found[empty].mean()
    of_level = [balls & (probe.brightness == v) for v in np.unique(probe.brightness[balls])]
    means = np.array([[values[cells].mean() for values in (true, above)] for cells in of_level])
    exponent = float("nan")
    if (means > 0).all():
        true_log, found_log = np.log(means).T
        exponent = float(np.polyfit(true_log, found_log, 1)[0])
    return Proportion(float(slope), exponent)


@dataclass(frozen=True)
class BeadImage:
    """Medians (width) and means (shift) over the beads that are found.

    Attributes
    ----------
    fwhm_um
        Z, Y, X.
    shift_um
        Mean displacement from the true positions (Z, Y, X).
    """

    fwhm_um: tuple[float, float, float]
    shift_um: tuple[float, float, float]
    found: int


def bead_image(volume: Volume, probe: Probe) -> BeadImage:
    """Measure the beads of a probe in a volume (Z Y X, counts): restored, or the image itself.

    Widths are of the profiles through the peak, above the cell's median. Places are centroids of
    what is above half of the peak, against those of the true object.
    """
    widths, shifts = [], []
    voxel = probe.psf.voxel_size_um
    reach = [LOST * w / v for w, v in zip(fwhm_um(probe.psf.data, voxel), voxel, strict=True)]
    for cell, radius in zip(probe.cells, probe.radius, strict=True):
        if radius != BEAD_RADIUS:
            continue
        crop, true = (
            np.asarray(values[cell], np.float64) for values in (volume, probe.exposure.object)
        )
        crop = crop - np.median(crop)
        place = _centroid(true - probe.background)
        peak = np.unravel_index(int(crop.argmax()), crop.shape)
        if np.any(np.abs(np.subtract(peak, place)) > np.maximum(reach, 1.5)):
            continue
        try:
            widths.append(fwhm_um(crop, probe.psf.voxel_size_um))
        except ValueError:  # the profile never falls to half
            continue
        shifts.append((_centroid(crop) - place) * probe.psf.voxel_size_um)
    if not widths:
        nothing = (float("nan"),) * 3
        return BeadImage(nothing, nothing, 0)  # type: ignore[arg-type]
    z, y, x = np.median(widths, axis=0).tolist()
    dz, dy, dx = np.mean(shifts, axis=0).tolist()
    return BeadImage((z, y, x), (dz, dy, dx), len(widths))


def _centroid(crop: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centroid, in voxels, of what is above half of the peak."""
    weight = np.clip(crop - crop.max() / 2, 0, None)
    grids = np.meshgrid(*map(np.arange, crop.shape), indexing="ij", sparse=True)
    return np.array([float(np.sum(weight * g) / weight.sum()) for g in grids])
