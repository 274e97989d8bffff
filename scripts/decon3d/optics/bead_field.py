"""How beads differ over the field, and how far a PSF is from symmetry."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from decon3d.optics.arrays import Floats, Triple
from decon3d.optics.bead_detection import Candidate
from decon3d.optics.psf import fwhm_um

REGION = 3
"""Beads that a half of the field needs for its widths to be compared."""
UNEVEN_FIELD = 0.1
"""Relative difference of widths between halves of the field from which a warning is written."""


def field_variation(beads: Sequence[Candidate], shape: Sequence[int]) -> list[dict[str, Any]]:
    """Compare the beads' widths between the halves of the field.

    Parameters
    ----------
    beads
        Used beads.
    shape
        Of the stack (Z, Y, X), in voxels.

    Returns
    -------
    list of dict
        Per axis with at least `REGION` beads in both halves: `axis`, `beads` and `fwhm_um` (the
        median Z, Y, X) of the first and the second half, and of the width that differs most
        relative to its uncertainty: `width` (its axis), `change` (second half over first, less 1)
        and `uncertainty` (one standard error).
    """
    found = []
    fitted = [b for b in beads if b.fwhm_um is not None]
    places = np.array([b.position for b in fitted]).reshape(-1, 3)
    widths = np.array([b.fwhm_um for b in fitted]).reshape(-1, 3)
    for axis, name in enumerate("ZYX"):
        first = places[:, axis] < (shape[axis] - 1) / 2
        halves = [widths[first], widths[~first]]
        if min(len(h) for h in halves) < REGION:
            continue
        low, high = (np.median(h, axis=0) for h in halves)
        # a median's standard error is 1.25 times the mean's
        errors = [1.25 * h.std(axis=0, ddof=1) / np.sqrt(len(h)) for h in halves]
        change = high / low - 1
        error = np.maximum(np.hypot(*errors) / low, 1e-6)
        most = int(np.argmax(np.abs(change) / error))
        found.append(
            {
                "axis": name,
                "beads": [len(h) for h in halves],
                "fwhm_um": [[round(float(w), 5) for w in h] for h in (low, high)],
                "width": "ZYX"[most],
                "change": round(float(change[most]), 4),
                "uncertainty": round(float(error[most]), 4),
            }
        )
    return found


def uneven_field(field: list[dict[str, Any]]) -> list[str]:
    """List the warnings about widths that differ over the field, from `field_variation`."""
    return [
        f"the PSF differs over the field: beads in the second half along {half['axis']} are "
        f"{half['change']:+.0%} wide along {half['width']} compared with the first half; one PSF "
        "for the whole field is an average"
        for half in field
        if abs(half["change"]) > max(UNEVEN_FIELD, 3 * half["uncertainty"])
    ]


def asymmetry(psf: Floats, voxel_size_um: Triple) -> dict[str, Any]:
    """Measure how far a PSF (Z Y X, odd sizes) is from symmetry.

    Returns
    -------
    dict
        `mirrored`: half the sum of |h - its mirror image| along Z, Y, X; 0 = symmetric, 1 = no
        overlap. `tilt`: µm along Y and X that the light moves per µm along Z, by moments of what
        exceeds a tenth of the peak. `y_over_x`: ratio of the lateral widths.
    """
    h = np.asarray(psf, np.float64) / np.sum(psf, dtype=np.float64)
    bright = np.where(h > 0.1 * h.max(), h, 0)
    z, y, x = (
        (g - (bright * g).sum() / bright.sum()) * v
        for g, v in zip(np.indices(h.shape), voxel_size_um, strict=True)
    )
    spread = (bright * z * z).sum()
    widths = fwhm_um(h, voxel_size_um)
    return {
        "mirrored": [round(float(np.abs(h - np.flip(h, a)).sum() / 2), 4) for a in range(3)],
        "tilt": [
            round(float((bright * z * a).sum() / spread), 4) if spread else 0.0 for a in (y, x)
        ],
        "y_over_x": round(widths[1] / widths[2], 4),
    }
