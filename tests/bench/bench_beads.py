"""Bead stacks."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from run import Row, seconds
from scipy import ndimage

from decon3d.optics.beads import psf_from_beads

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
                path, bead_diameter_um=0.1, voxel_size_um=VOXEL, target_voxel_size_um=VOXEL,
                expected_fwhm_um=(0.6, 0.24, 0.24),
            )  # fmt: skip

        yield Row("bead stack 41 × 512 × 512, 100 beads → PSF and pair", seconds(make, runs=3), "s")
        yield Row("  beads used of 100", make().record["beads"]["used"], "", 90, at_least=True)
