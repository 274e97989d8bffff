"""Find the beads of a stack: where they lie to a part of a voxel, how bright and wide they are."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from decon3d.optics.arrays import Array, Shape, Triple, spread, triple
from decon3d.optics.ball import FWHM_OF_SIGMA

Stack = NDArray[np.float32]

DETECTION = 8.0
"""Height over the noise, both after the filter, from which a maximum is listed."""
_REACH = 1.2  # half-width of the fitted window, in FWHM
_MOST_STEPS = 60  # of a fit: beads take 10 to 40, other maxima may never converge
_CONVERGED = (1, 2, 3, 4)  # MINPACK's codes
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
    from scipy.optimize import leastsq  # slow to import

    window = tuple(
        slice(max(p - int(np.ceil(_REACH * w)), 0), p + int(np.ceil(_REACH * w)) + 1)
        for p, w in zip(peak, width, strict=True)
    )
    values = stack[window].astype(np.float64)
    base = float(np.percentile(values, 20))
    top = float(stack[peak]) - base
    fallback = Candidate(triple(peak), top, None, ratio)
    if values.size < 16:
        return fallback
    start = [max(top, 1e-6), *peak, *(w / FWHM_OF_SIGMA for w in width), base]
    gaussian = _Gaussian(values, [w.start for w in window])
    fit, *_, ended = leastsq(
        gaussian.residual,
        start,
        Dfun=gaussian.derivatives,
        col_deriv=True,
        full_output=True,
        maxfev=_MOST_STEPS,
    )
    centre = triple(fit[1:4])
    sigma = np.abs(fit[4:7])
    moved = np.abs(np.subtract(centre, peak)) / np.maximum(width, 2)
    if ended not in _CONVERGED or fit[0] <= 0 or moved.max() > _FURTHEST:
        return fallback
    if sigma.max() > 10 * max(width):
        return fallback
    fwhm_um = triple(FWHM_OF_SIGMA * s * v for s, v in zip(sigma, voxel, strict=True))
    return Candidate(centre, float(fit[0]), fwhm_um, ratio)


class _Gaussian:
    """A Gaussian with its axes along Z, Y, X on an even background, fitted to an array.

    Its parameters are the height, the centre (Z, Y, X) in voxels, σ (Z, Y, X) in voxels, and the
    background.

    Parameters
    ----------
    values
        Counts (Z, Y, X), float64.
    origin
        Index of the first voxel (Z, Y, X).
    """

    def __init__(self, values: Array, origin: Sequence[int]) -> None:
        self.values = values
        self.grids = [
            np.expand_dims(first + np.arange(n), [a for a in range(3) if a != axis])
            for axis, (first, n) in enumerate(zip(origin, values.shape, strict=True))
        ]

    def residual(self, p: Array) -> Array:
        """Return the Gaussian minus the values."""
        return np.asarray(p[0] * self._profile(p) + p[7] - self.values).ravel()

    def derivatives(self, p: Array) -> Array:
        """Return the derivatives of the residual, one row for each parameter."""
        result = np.ones((8, *self.values.shape))
        result[0] = self._profile(p)
        for axis, (grid, centre, sigma) in enumerate(zip(self.grids, p[1:4], p[4:7], strict=True)):
            away = (grid - centre) / sigma
            np.multiply(result[0], p[0] / sigma * away, out=result[1 + axis])
            np.multiply(result[1 + axis], away, out=result[4 + axis])
        return result.reshape(8, -1)

    def _profile(self, p: Array) -> Array:
        """Return the Gaussian of height 1 (Z, Y, X)."""
        z, y, x = (
            np.exp(-(((grid - centre) / sigma) ** 2) / 2)
            for grid, centre, sigma in zip(self.grids, p[1:4], p[4:7], strict=True)
        )
        return np.asarray(z * (y * x))
