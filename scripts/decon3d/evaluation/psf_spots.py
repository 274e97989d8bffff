"""Compare the widths of separate spots with the PSF's: small objects show its width.

In general, a PSF that is too narrow cannot be detected: a wide object and a narrow PSF make the
same image as a narrow object and a wide PSF. Known small objects allow a test: beads of a declared
diameter, or at least ten separate spots of one size. Spots of one size may be small spheres instead
of points. So without a declared diameter, the PSF counts as too narrow only if no sphere explains
the widths along Z and in the plane together.

All lengths are µm, axes Z Y X.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.evaluation.psf_sharpness import LEAST_SIZE, Interval
from decon3d.optics.ball import FWHM_OF_SIGMA, ideal_ball
from decon3d.optics.bead_detection import Candidate, find_candidates
from decon3d.optics.psf import Psf, fwhm_um
from decon3d.volumes.no_data import filled

Triple = tuple[float, float, float]

TOLERANCE = 1.1
"""Relative error of the width that is ignored."""
FEW = 10
"""Least number of separate spots."""
SEPARATE = 2.5
"""Least distance of spots from each other, in FWHM."""
FROM_FACE = 1.2
"""The same from the faces."""
BRIGHT = 15.0
"""Least height of a spot over the noise."""
MOST = 200
"""Brightest spots of a field that are measured."""
ALIKE = 0.15
"""Largest relative scatter of the widths of spots of one size."""
ROUND = 1.35
"""Largest ratio of a spot's widths along Y and X."""
COMMON = 0.3
"""Least share of the separate spots that are round."""


@dataclass(frozen=True)
class Spots:
    """Widths of separate spots of one size.

    Attributes
    ----------
    lateral
        Width in the plane, relative to the assumed PSF's.
    axial
        The same along Z.
    psf_um
        Widths of the PSF's own image of one, lateral and axial, by the same fit.
    bead_um
        Declared diameter, included in the PSF's width; None = unknown.
    """

    count: int
    lateral: Interval
    axial: Interval
    psf_um: tuple[float, float]
    bead_um: float | None

    @property
    def ratios(self) -> dict[str, Interval]:
        """Both widths, relative to the assumed PSF's, by name."""
        return {"lateral": self.lateral, "axial": self.axial}


def measure_spots(
    fields: Sequence[NDArray[Any]], *, psf: Psf, bead_um: float | None = None
) -> Spots | None:
    """Measure separate spots of one size, relative to the image that the PSF makes of one.

    Parameters
    ----------
    fields
        Counts (Z, Y, X); NaN = no data.
    psf
        The assumed one, on the same voxels.
    bead_um
        Diameter of the objects; None = points.

    Returns
    -------
    Spots or None
        None where there are fewer than ten, or where they are not round or not of one size.
    """
    expected = _image_of_one(psf, bead_um)
    if expected is None:
        return None
    good: list[Candidate] = []
    separate = 0
    for field in fields:
        if min(field.shape) < LEAST_SIZE or not np.isfinite(field).any():
            continue
        values = filled(field, float(np.nanmedian(field))).astype(np.float32)
        found = find_candidates(
            values, voxel_size_um=psf.voxel_size_um, expected_fwhm_um=expected, most=MOST
        )
        for spot in _separate(found, field.shape, psf.voxel_size_um, expected):
            separate += 1
            if spot.fwhm_um and 1 / ROUND < spot.fwhm_um[1] / spot.fwhm_um[2] < ROUND:
                good.append(spot)
    if len(good) < max(FEW, COMMON * separate):
        return None
    widths = np.array([spot.fwhm_um for spot in good])
    ratios = np.stack(
        [
            np.sqrt(widths[:, 1] * widths[:, 2] / (expected[1] * expected[2])),
            widths[:, 0] / expected[0],
        ]
    )
    middle = np.median(ratios, axis=1)
    scatter = 1.4826 * np.median(np.abs(ratios - middle[:, None]), axis=1)
    if (scatter > ALIKE * middle).any():
        return None
    # The standard error of a median is 1.25 times that of a mean.
    half = 1.96 * 1.25 * np.maximum(scatter, 0.01) / len(good) ** 0.5
    lateral, axial = (
        (float(m), float(m - h), float(m + h)) for m, h in zip(middle, half, strict=True)
    )
    own = (float(np.sqrt(expected[1] * expected[2])), float(expected[0]))
    return Spots(len(good), lateral, axial, own, bead_um)


def _image_of_one(psf: Psf, bead_um: float | None) -> Triple | None:
    """Fit the image of one bead or point as the spots are fitted; return its widths."""
    width = np.array(fwhm_um(psf.data, psf.voxel_size_um))
    image = psf.data.astype(np.float64)
    if bead_um:
        from scipy.signal import fftconvolve

        half = [int(np.ceil(bead_um / 2 / v)) + 1 for v in psf.voxel_size_um]
        z, y, x = (2 * h + 1 for h in half)
        ball = ideal_ball(diameter_um=bead_um, voxel_size_um=psf.voxel_size_um, shape=(z, y, x))
        image = fftconvolve(image, ball)
        width = np.hypot(width, FWHM_OF_SIGMA * bead_um / np.sqrt(20))
    widths: Triple = (float(width[0]), float(width[1]), float(width[2]))
    reach = [int(np.ceil(2 * w / v)) for w, v in zip(width, psf.voxel_size_um, strict=True)]
    image = np.pad(image, [(r, r) for r in reach])
    found = find_candidates(
        (1e3 * image / image.max()).astype(np.float32),
        voxel_size_um=psf.voxel_size_um,
        expected_fwhm_um=widths,
    )
    return found[0].fwhm_um if found else None


def _separate(
    found: Sequence[Candidate], shape: Sequence[int], voxel_size_um: Triple, width_um: Triple
) -> list[Candidate]:
    """Keep bright spots that stand alone and away from the faces."""
    if not found:
        return []
    from scipy.spatial import cKDTree  # slow to import

    scale = np.divide(voxel_size_um, width_um)
    places = np.array([spot.position for spot in found]) * scale
    distance = cKDTree(places).query(places, k=2)[0][:, 1] if len(found) > 1 else [np.inf]
    last = (np.array(shape) - 1) * scale - FROM_FACE
    inner = np.all((places > FROM_FACE) & (places < last), axis=1).tolist()
    least = sorted((spot.signal_to_noise for spot in found), reverse=True)[:MOST][-1]
    return [
        spot
        for spot, away, inside in zip(found, distance, inner, strict=True)
        if away > SEPARATE and inside and spot.signal_to_noise >= max(least, BRIGHT)
    ]


def wider_than(spots: Spots) -> tuple[str, ...]:
    """List the widths of spots that no sphere, or not the declared one, explains."""
    if spots.bead_um is not None:
        return tuple(name for name, ratio in spots.ratios.items() if ratio[1] > TOLERANCE)
    # A sphere adds the same to the squares of both widths.
    lateral, axial = spots.psf_um
    sphere = max(spots.lateral[2] ** 2 - 1, 0.0) * lateral**2
    return ("axial",) if spots.axial[1] > TOLERANCE * (1 + sphere / axial**2) ** 0.5 else ()
