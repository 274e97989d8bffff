"""Beads restored with the PSF from beads: their counts and places, by an independent model."""

import numpy as np
import pytest
import tifffile
from debye import debye_psf, seen_ball
from scipy import ndimage

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.optics.build import make_psf
from decon3d.settings import Channel, Optics

VOXEL = (0.15, 0.06, 0.06)
DIAMETER = 0.15
"""Of the beads, in µm. Points narrower than a voxel snap to the grid by up to 0.06 voxel (see
`richardson_lucy`)."""
COLOURS = {"na": 1.2, "index": 1.333, "emission_um": 0.525, "excitation_um": 0.488}
OPTICS = Optics(
    modality="confocal", numerical_aperture=1.2, immersion_index=1.333, model="scalar",
    pinhole_au=0.01,
)  # fmt: skip
SHAPE = (41, 88, 132)
REACH = (50, 80, 80)
"""Voxels around a bead within which it is drawn: 99 % of its light."""
BACKGROUND = 20.0


@pytest.fixture(scope="module")
def field():
    """Six free beads, and one whose middle lies three voxels inside a face; counts by truth."""
    rng = np.random.default_rng(0)
    places = [
        [20 + rng.uniform(-1, 1), 22 + 44 * row + rng.uniform(-2, 2), 22 + 44 * column + rng.uniform(-2, 2)]
        for row in range(2)
        for column in range(3)
    ]  # fmt: skip
    places.append([20.3, 44.2, 128.4])
    counts = rng.uniform(0.7, 1.3, len(places)) * 2e6
    whole = debye_psf([2 * n + 1 for n in REACH], VOXEL, **COLOURS).sum()
    image = np.full(SHAPE, BACKGROUND)
    for place, count in zip(places, counts, strict=True):
        middle = np.round(place).astype(int)
        centre = tuple(np.subtract(place, middle))
        point = debye_psf([2 * n + 1 for n in REACH], VOXEL, centre=centre, **COLOURS)
        bead = seen_ball(point, VOXEL, diameter_um=DIAMETER)
        there = tuple(
            slice(max(m - n, 0), min(m + n + 1, size))
            for m, n, size in zip(middle, REACH, SHAPE, strict=True)
        )
        here = tuple(
            slice(t.start - m + n, t.stop - m + n)
            for t, m, n in zip(there, middle, REACH, strict=True)
        )
        image[there] += count / whole * bead[here]
    return np.array(places), counts, rng.poisson(image).astype(np.float32)


def test_counts_and_places_come_back(field, tmp_path) -> None:
    """The PSF lacks the light beyond 12 widths, 1.2 %, half of which stays as haze."""
    places, counts, image = field
    path = tmp_path / "beads.tif"
    tifffile.imwrite(path, image, photometric="minisblack")
    beads = {
        "source": "beads", "path": str(path), "bead_diameter_um": DIAMETER,
        "voxel_size_um": VOXEL,
    }  # fmt: skip
    channel = Channel(emission_um=0.525, excitation_um=0.488, psf=beads)
    psf = make_psf(optics=OPTICS, channel=channel, voxel_size_um=VOXEL, key="psf")
    assert psf.record["beads"]["used"] == 6
    assert 0.03 < psf.record["support"]["share_from_theory"] < 0.09
    restored = richardson_lucy(
        image,
        model=Blur(SHAPE, psf=psf.data),
        background=BACKGROUND,
        iterations=40,
        initial=float(image.mean() - BACKGROUND),
        start="data",
    )
    smooth = ndimage.gaussian_filter(restored, 1)
    maxima = (smooth == ndimage.maximum_filter(smooth, 9)) & (smooth > 0.01 * smooth.max())
    assert maxima.sum() == len(places)  # none lost, none added
    for place, count in zip(places, counts, strict=True):
        window = tuple(
            slice(max(round(p) - n, 0), round(p) + n + 1)
            for p, n in zip(place, (6, 8, 8), strict=True)
        )
        light = restored[window]
        assert light.sum() == pytest.approx(count, rel=0.01)
        core = tuple(slice(round(p) - 2, round(p) + 3) for p in place)
        found = np.add(ndimage.center_of_mass(restored[core]), [c.start for c in core])
        assert found == pytest.approx(place, abs=0.03)
