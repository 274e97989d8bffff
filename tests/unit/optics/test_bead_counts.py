"""The PSF from beads of an independent model, and beads restored with it: counts and places."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.optics.build import make_psf
from decon3d.settings import Channel, Optics
from support.debye import debye_psf, seen_ball

DIAMETER = 0.15
"""Of the beads, in µm. Points narrower than a voxel snap to the grid by up to 0.06 voxel (see
`richardson_lucy`)."""
LENS = {"na": 1.2, "index": 1.333, "emission_um": 0.525}
LASER = {"excitation_um": 0.488}
BACKGROUND = 20.0
WHOLE = (101, 161, 161)
"""Frame within which a bead's light counts, in voxels."""


def drawn(shape, places, *, voxel, reach, laser):
    """Counts of beads at places, and their image; beads are drawn `reach` voxels far."""
    rng = np.random.default_rng(1)
    size = [2 * n + 1 for n in reach]
    counts = rng.uniform(0.7, 1.3, len(places)) * 2e6
    whole = debye_psf(WHOLE, voxel, **LENS, **laser).sum()
    image = np.full(shape, BACKGROUND)
    for place, count in zip(places, counts, strict=True):
        middle = np.round(place).astype(int)
        point = debye_psf(size, voxel, centre=tuple(place - middle), **LENS, **laser)
        bead = seen_ball(point, voxel, diameter_um=DIAMETER)
        starts = middle - reach
        there = tuple(
            slice(max(s, 0), min(s + n, k)) for s, n, k in zip(starts, size, shape, strict=True)
        )
        here = tuple(slice(t.start - s, t.stop - s) for t, s in zip(there, starts, strict=True))
        image[there] += count / whole * bead[here]
    return counts, rng.poisson(image).astype(np.float32)


def lattice(rows, columns, *, step, plane, jitter):
    rng = np.random.default_rng(0)
    return [
        np.array([plane, (row + 0.5) * step, (column + 0.5) * step])
        + rng.uniform(-1, 1, 3) * jitter
        for row in range(rows)
        for column in range(columns)
    ]


def psf_of(image, folder, *, modality, voxel):
    path = folder / "beads.tif"
    tifffile.imwrite(path, image, photometric="minisblack")
    beads = {
        "source": "beads",
        "path": str(path),
        "bead_diameter_um": DIAMETER,
        "voxel_size_um": voxel,
    }
    channel = Channel(emission_um=0.525, **LASER, psf=beads)
    optics = Optics(
        modality=modality, numerical_aperture=1.2, immersion_index=1.333, pinhole_au=0.01
    )
    return make_psf(optics=optics, channel=channel, voxel_size_um=voxel, key="psf")


def test_counts_and_places_come_back(tmp_path) -> None:
    """Six free confocal beads, and one whose middle lies three voxels inside a face.

    The PSF lacks 0.9 % of the light, beyond 14 widths; counts come out 0.5 to 0.8 % low.
    """
    voxel, shape = (0.15, 0.06, 0.06), (41, 88, 132)
    places = lattice(2, 3, step=44, plane=20, jitter=(1, 2, 2))
    places.append(np.array([20.3, 44.2, 128.4]))
    counts, image = drawn(shape, places, voxel=voxel, reach=(22, 50, 50), laser=LASER)
    psf = psf_of(image, tmp_path, modality="confocal", voxel=voxel)
    assert psf.record["beads"]["used"] == 6
    assert 0.03 < psf.record["support"]["share_from_theory"] < 0.09
    restored = richardson_lucy(
        image,
        model=Blur(shape, psf=psf.data),
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


def test_the_core_of_a_widefield_psf_holds_its_share_of_the_light(tmp_path) -> None:
    """Restored counts are off by what the core is. Light counts within the PSF's own frame."""
    voxel, shape, reach = (0.2, 0.08, 0.08), (41, 180, 180), (22, 110, 110)
    places = lattice(2, 2, step=90, plane=20, jitter=(1, 1, 1))
    _, image = drawn(shape, places, voxel=voxel, reach=reach, laser={})
    psf = psf_of(image, tmp_path, modality="widefield", voxel=voxel)
    assert psf.record["beads"]["used"] == 4
    true = debye_psf(psf.data.shape, voxel, **LENS)
    core = tuple(
        slice(n // 2 - k, n // 2 + k + 1) for n, k in zip(true.shape, (3, 6, 6), strict=True)
    )
    share = true[core].sum() / true.sum()
    assert psf.data[core].sum() == pytest.approx(share, rel=0.01)
