"""Bead stacks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from run import Row, seconds
from scipy import ndimage

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.optics.beads import psf_from_beads
from decon3d.optics.build import make_psf
from decon3d.settings import Channel, Optics
from support.debye import debye_psf, seen_ball

VOXEL = (0.2, 0.065, 0.065)


def rows() -> Iterator[Row]:
    rng = np.random.default_rng(0)
    stack = np.zeros((41, 512, 512))
    stack[20, 25:500:48, 25:500:48] = 1
    stack = ndimage.gaussian_filter(stack, (1.5, 1.7, 1.7))
    counts = rng.poisson(1000 * stack / stack.max() + 20).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "beads.tif"
        tifffile.imwrite(path, counts)

        def make():
            return psf_from_beads(
                path,
                bead_diameter_um=0.1,
                voxel_size_um=VOXEL,
                target_voxel_size_um=VOXEL,
                expected_fwhm_um=(0.6, 0.24, 0.24),
            )

        yield Row("bead stack 41 × 512 × 512, 100 beads → PSF and pair", seconds(make, runs=3), "s")
        yield Row("  beads used of 100", make().record["beads"]["used"], "", 90, at_least=True)
    yield from restored_beads("confocal", {"excitation_um": 0.488})
    yield from restored_beads("widefield", {})


def restored_beads(modality: str, light: dict[str, float]) -> Iterator[Row]:
    """52 beads of an independent model for the PSF, and the same 52 restored with it.

    With four more whose middles lie 3 voxels inside a face. A widefield PSF's light has no end: a
    bead's counts are those within the frame of the restoring PSF.
    """
    rng = np.random.default_rng(0)
    voxel, step, reach, diameter = (0.15, 0.06, 0.06), 48, (50, 80, 80), 0.15
    colours = {"na": 1.2, "index": 1.333, "emission_um": 0.525, **light}
    image = np.full((41, 4 * step, 13 * step), 20.0)
    places = [
        np.array([20, (row + 0.5) * step, (column + 0.5) * step]) + rng.uniform(-1.5, 1.5, 3)
        for row in range(4)
        for column in range(13)
    ]
    ends = np.array(image.shape) - 4
    places += [np.array([20.2, y, x]) for y, x in ((3.3, 96.4), (ends[1], 240.3))]
    places += [np.array([19.7, y, x]) for y, x in ((48.2, 3.1), (96.4, ends[2] + 0.2))]
    counts = rng.uniform(0.7, 1.3, len(places)) * 2e6
    size = [2 * n + 1 for n in reach]
    whole = debye_psf(size, voxel, **colours)
    for place, count in zip(places, counts, strict=True):
        middle = np.round(place).astype(int)
        point = debye_psf(size, voxel, centre=tuple(place - middle), **colours)
        bead = seen_ball(point, voxel, diameter_um=diameter)
        there = tuple(
            slice(max(m - n, 0), min(m + n + 1, k))
            for m, n, k in zip(middle, reach, image.shape, strict=True)
        )
        here = tuple(
            slice(t.start - m + n, t.stop - m + n)
            for t, m, n in zip(there, middle, reach, strict=True)
        )
        image[there] += count / whole.sum() * bead[here]
    noisy = rng.poisson(image).astype(np.float32)
    optics = Optics(
        modality=modality, numerical_aperture=1.2, immersion_index=1.333, pinhole_au=0.01
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "beads.tif"
        tifffile.imwrite(path, noisy, photometric="minisblack")
        beads = {
            "source": "beads",
            "path": str(path),
            "bead_diameter_um": diameter,
            "voxel_size_um": voxel,
        }
        channel = Channel(emission_um=0.525, excitation_um=0.488, psf=beads)
        psf = make_psf(optics=optics, channel=channel, voxel_size_um=voxel, key="psf")
    if modality == "widefield":
        frame = tuple(
            slice((n - m) // 2, (n + m) // 2)
            for n, m in zip(whole.shape, psf.data.shape, strict=True)
        )
        counts *= whole[frame].sum() / whole.sum()
    restored = richardson_lucy(
        noisy,
        model=Blur(noisy.shape, psf=psf.data, threads=2),
        background=20.0,
        iterations=40,
        initial=float(noisy.mean() - 20),
        start="data",
    )
    light_kept, misplaced = [], []
    for place, count in zip(places, counts, strict=True):
        near = tuple(
            slice(max(round(p) - n, 0), round(p) + n + 1)
            for p, n in zip(place, (6, 8, 8), strict=True)
        )
        # Wider than the restored bead: a window of 5 voxels cuts the side of a bead between two
        # voxels, and puts its centroid up to 0.03 voxel nearer to the closest voxel.
        core = tuple(slice(max(round(p) - 3, 0), round(p) + 4) for p in place)
        found = np.add(ndimage.center_of_mass(restored[core]), [c.start for c in core])
        light_kept.append(float(restored[near].sum()) / count)
        misplaced.append(float(np.abs(found - place).max()))
    smooth = ndimage.gaussian_filter(restored, 1)
    peaks = (smooth == ndimage.maximum_filter(smooth, 9)) & (smooth > 0.01 * smooth.max())
    kept, cut = np.array(light_kept[:-4]), np.array(light_kept[-4:])
    yield Row(
        f"  52 {modality} beads, PSF from them: counts off by, mean", abs(kept.mean() - 1), "", 0.01
    )
    yield Row("    spread of the counts, relative", float(kept.std() / kept.mean()), "", 0.01)
    yield Row("    four at faces: counts off by, mean", abs(cut.mean() - 1), "", 0.01)
    yield Row("    farthest misplaced, voxels", max(misplaced[:-4]), "", 0.03)
    yield Row("    four at faces: farthest misplaced, voxels", max(misplaced[-4:]), "", 0.03)
    yield Row("    beads lost or added", abs(int(peaks.sum()) - len(places)), "", 0)
