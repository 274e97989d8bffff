"""Compare a measured PSF with theory; warn about odd ones and reject contradictory ones."""

from typing import Any

import numpy as np

from decon3d.errors import UserError
from decon3d.optics.arrays import Array, Floats, padded
from decon3d.optics.mismatch import find_mismatch
from decon3d.optics.psf import Psf, fwhm_um

NARROWER_THAN_LIGHT = 0.7
"""A measured width below this share of the theoretical one is an error."""
SUSPICIOUSLY_NARROW = 0.92
"""A measured width below this share of the theoretical one is worth a warning."""
SUSPICIOUSLY_WIDE = 2.0
"""The same above this multiple."""
ODD_PROPORTIONS = (0.8, 1.2)
"""Axial over lateral width, relative to the theory's, beyond which Z and X, Y contradict each
other. A bead of 0.2 µm widens the lateral width more, by up to 1.2 at NA 1.4; nothing but
aberrations and a wrong step widens the axial one alone."""
UNEVEN = 1.07
"""Width along Y over that along X, or the inverse, that no round spot has."""
ASYMMETRIC = 0.05
"""Share of the light on the axis that a mirrored PSF has elsewhere, from which a side counts."""


def compare_with_theory(
    measured: Psf,
    theory: Floats,
    *,
    what: str,
    to_check: str,
    key: str,
    accept_mismatch: bool = False,
) -> dict[str, Any]:
    """Compare a measured PSF with the theoretical one.

    Parameters
    ----------
    measured
        On the image's voxel grid.
    theory
        The theoretical PSF on the same voxel size; axes Z Y X, odd sizes, centred.
    what
        What to call the measurement: "the bead in bead.tif".
    to_check
        Config keys that may be wrong where its width is.
    key
        Config key of the PSF, for messages.
    accept_mismatch
        Confirms a PSF that contradicts theory; the contradiction becomes a warning.

    Returns
    -------
    dict
        `theory_fwhm_um`, `fwhm_to_theory`, `axial_asymmetry`, `distance_from_theory` (the share of
        the light that lies elsewhere), and `warnings`, those of the measurement included.

    Raises
    ------
    UserError
        If a width is one that light cannot have, or if a wrong step along Z, exchanged axes or a
        second bead explain the PSF far better than a right file (`mismatch.find_mismatch`).
    """
    found = fwhm_um(measured.data, measured.voxel_size_um)
    expected = fwhm_um(theory, measured.voxel_size_um)
    ratios = [f / e for f, e in zip(found, expected, strict=True)]
    warnings = list(measured.record["warnings"])
    mismatch = find_mismatch(
        measured.data,
        theory,
        voxel_size_um=measured.voxel_size_um,
        file_voxel_size_um=measured.record["file"]["voxel_size_um"],
    )
    confirm = f"{key}.accept_mismatch: true"
    if mismatch is not None:
        text = f"{what} contradicts the dataset's optics: {mismatch.text} (check {to_check})"
        if not accept_mismatch:
            raise UserError(f"{key}: {text}; if the PSF is right, set {confirm}")
        warnings.append(text)
    steps = measured.record["file"]["voxel_size_um"]
    for axis, ratio, width, limit, step in zip("ZYX", ratios, found, expected, steps, strict=True):
        text = f"{what} is {width:.3g} µm wide along {axis}, but {limit:.3g} µm in theory"
        if ratio < NARROWER_THAN_LIGHT and not accept_mismatch:
            raise UserError(
                f"{key}: {text}; light cannot be focused so tightly; voxels of {step / ratio:.3g} "
                f"µm along {axis} instead of {step:g} would match; check {to_check}, the dataset's "
                f"optics and emission_um, or confirm it with {confirm}"
            )
        if ratio < SUSPICIOUSLY_NARROW:
            warnings.append(
                f"{text}; light cannot be focused so tightly, so the file's voxel size or the "
                f"optics are wrong; check {to_check}"
            )
        if ratio > SUSPICIOUSLY_WIDE:
            warnings.append(
                f"{text}; possible causes are aberrations, a large bead, or a wrong voxel size of "
                "the file"
            )
    warnings += _proportions(ratios, measured, what, to_check)
    asymmetry, leaning = _axial_asymmetry(measured.data, theory, what)
    return {
        "theory_fwhm_um": [round(width, 5) for width in expected],
        "fwhm_to_theory": [round(ratio, 4) for ratio in ratios],
        "axial_asymmetry": round(asymmetry, 4),
        "distance_from_theory": round(_distance(measured.data, theory), 4),
        "warnings": [*warnings, *leaning],
    }


def _proportions(ratios: list[float], measured: Psf, what: str, to_check: str) -> list[str]:
    """Warn where the widths along the axes contradict each other."""
    z, y, x = ratios
    found = []
    odd = z / np.sqrt(y * x)
    if not ODD_PROPORTIONS[0] < odd < ODD_PROPORTIONS[1]:
        file_voxel = measured.record["file"]["voxel_size_um"]
        found.append(
            f"{what} is {odd:.2f} times as long along Z, relative to its width, as in theory; "
            f"possible causes are a wrong voxel size of the file ({file_voxel[0] / odd:.3g} µm "
            f"along Z instead of {file_voxel[0]:g} would match; check {to_check}), two beads in "
            "one, or aberrations"
        )
    uneven = y / x
    if max(uneven, 1 / uneven) > UNEVEN:
        found.append(
            f"{what} is {uneven:.2f} times as wide along Y as along X; possible causes are unequal "
            f"voxel sizes (check {to_check}), two touching beads, or astigmatism"
        )
    return found


def _axial_asymmetry(measured: Floats, theory: Floats, what: str) -> tuple[float, list[str]]:
    """Measure how the light on the axis leans to one side; positive: to larger Z.

    Returns
    -------
    tuple
        The share that a mirrored PSF has elsewhere, with the sign of the side with the longer
        tail, and warnings.
    """
    half = min(measured.shape[0], theory.shape[0]) // 2
    odd, seen = _odd_part(measured, half)
    expected, predicted = _odd_part(theory, half)
    if abs(seen) < ASYMMETRIC:
        return seen, []
    text = f"the light of {what} is asymmetric along Z ({seen:+.0%} of it, + = to larger Z)"
    if abs(predicted) < ASYMMETRIC:
        return seen, [
            f"{text}, which these optics do not explain (sample_index, depth_um, aberrations); "
            "check that the planes of bead and images have the same direction"
        ]
    if float(odd @ expected) < 0:
        return seen, [
            f"{text}, but {predicted:+.0%} in theory, so the file may be mirrored along Z; reverse "
            "its planes if it was recorded in the other direction"
        ]
    return seen, []


def _odd_part(data: Floats, half: int) -> tuple[Array, float]:
    """Odd part of the profile on the axis, and its share of the light with a sign."""
    z, y, x = (n // 2 for n in data.shape)
    profile = data[z - half : z + half + 1, y, x].astype(np.float64)
    odd = (profile - profile[::-1]) / 2
    places = np.arange(-half, half + 1)
    return odd, float(np.abs(odd).sum() / profile.sum() * np.sign(odd @ places))


def _distance(a: Floats, b: Floats) -> float:
    """Half the sum of |a - b| of two centred PSFs: the share of the light that lies elsewhere."""
    return float(np.abs(padded(a, b.shape) - padded(b, a.shape)).sum() / 2)
