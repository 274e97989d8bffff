"""Find the beads of a stack: where they lie to a part of a voxel, how bright and wide they are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from decon3d.optics.arrays import Array, Shape, Triple, spread, triple
from decon3d.optics.ball import FWHM_OF_SIGMA

Stack = NDArray[np.float32]

DETECTION = 8.0
"""Height over the noise, both after the filter, from which a maximum is listed."""
_REACH = 1.2  # half-width of the fitted window, in FWHM
_FURTHEST = 0.75  # distance, in FWHM, that a fit may move from the maximum it started at


@dataclass(frozen=True)
class Candidate:
    """A maximum of the filtered stack, with the Gaussian that fits the stack there.

    Attributes
    ----------
    position
        Centre in voxels (Z, Y, X), voxel centres at integers.
    height
        Counts above the local background.
    fwhm_um
        Widths (Z, Y, X) of the Gaussian, in µm; None where none fits.
    signal_to_noise
        Height of the filtered maximum over the noise of the filtered stack.
    """

    position: Triple
    height: float
    fwhm_um: Triple | None
    signal_to_noise: float


def find_candidates(
    stack: Stack, *, voxel_size_um: Triple, expected_fwhm_um: Triple, most: int | None = None
) -> list[Candidate]:
    """List the maxima of a stack that are about as large as a bead's image.

    Parameters
    ----------
    stack
        Counts, axes Z Y X, float32.
    voxel_size_um, expected_fwhm_um
        Voxel size and expected width of a bead's image (Z, Y, X), in µm.
    most
        Only so many of the highest maxima are fitted; the others have no width. None = all are.

    Returns
    -------
    list of Candidate
        The brightest first.

    Notes
    -----
    The filter is the Gaussian of the expected width minus one twice as wide: nearly the matched
    filter for a bead on a background that varies slowly. Its noise is the median absolute
    deviation over the whole stack, of which beads are a small part.
    """
    width = [f / v for f, v in zip(expected_fwhm_um, voxel_size_um, strict=True)]
    sigma = [w / FWHM_OF_SIGMA for w in width]
    filtered = ndimage.gaussian_filter(stack, sigma, mode="nearest", truncate=3)
    filtered -= ndimage.gaussian_filter(stack, [2 * s for s in sigma], mode="nearest", truncate=3)
    noise = spread(filtered)
    size = [2 * max(round(w / 2), 1) + 1 for w in width]
    maxima = filtered == ndimage.maximum_filter(filtered, size=size, mode="nearest")
    # A noise-free stack has noise 0: there a thousandth of the highest maximum is the limit.
    maxima &= filtered > max(DETECTION * noise, 1e-3 * float(filtered.max()))
    labels, count = ndimage.label(maxima, np.ones((3, 3, 3)))  # a saturated top is one maximum
    places = [
        (round(z), round(y), round(x))
        for z, y, x in ndimage.center_of_mass(maxima, labels, range(1, count + 1))
    ]
    places.sort(key=lambda place: -filtered[place])
    found = []
    for i, place in enumerate(places):
        ratio = float(filtered[place]) / noise if noise > 0 else np.inf
        if most is not None and i >= most:
            found.append(Candidate(triple(place), float(stack[place]), None, ratio))
        else:
            found.append(_fitted(stack, place, width, voxel_size_um, ratio))
    return sorted(found, key=lambda c: -c.height)


def median_fwhm_um(candidates: list[Candidate]) -> Triple | None:
    """Take the median width (Z, Y, X) of the brighter half of the candidates that were fitted."""
    widths = [c.fwhm_um for c in candidates if c.fwhm_um is not None]
    if not widths:
        return None
    return triple(np.median(widths[: (len(widths) + 1) // 2], axis=0))


def _fitted(
    stack: Stack, peak: Shape, width: list[float], voxel: Triple, ratio: float
) -> Candidate:
    """Fit a Gaussian with its axes along Z, Y, X and an even background around a maximum."""
    window = tuple(
        slice(max(p - int(np.ceil(_REACH * w)), 0), p + int(np.ceil(_REACH * w)) + 1)
        for p, w in zip(peak, width, strict=True)
    )
    values = stack[window].astype(np.float64)
    grids = [w.start + np.arange(n) for w, n in zip(window, values.shape, strict=True)]
    base = float(np.percentile(values, 20))
    top = float(stack[peak]) - base

    def profiles(p: Array) -> list[Array]:
        return [
            np.exp(-((g - c) ** 2) / (2 * s**2))
            for g, c, s in zip(grids, p[1:4], p[4:7], strict=True)
        ]

    def residual(p: Array) -> Array:
        z, y, x = profiles(p)
        model = p[0] * z[:, None, None] * (y[:, None] * x) + p[7]
        return (model - values).ravel()

    fallback = Candidate(triple(peak), top, None, ratio)
    if values.size < 16:
        return fallback
    start = [max(top, 1e-6), *peak, *(w / FWHM_OF_SIGMA for w in width), base]
    fit = optimize.least_squares(residual, start, method="lm", max_nfev=400)
    centre = triple(fit.x[1:4])
    sigma = np.abs(fit.x[4:7])
    moved = np.abs(np.subtract(centre, peak)) / np.maximum(width, 2)
    if not fit.success or fit.x[0] <= 0 or moved.max() > _FURTHEST or sigma.max() > 10 * max(width):
        return fallback
    fwhm_um = triple(FWHM_OF_SIGMA * s * v for s, v in zip(sigma, voxel, strict=True))
    return Candidate(centre, float(fit.x[0]), fwhm_um, ratio)
