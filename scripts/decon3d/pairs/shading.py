"""Uneven brightness between a raw volume and its truth: bleaching, and another flat field.

Each exposure bleaches the stack plane by plane, and two light paths illuminate the field
differently. The ratio of the two volumes' light then varies smoothly: along Z by bleaching, over Y
and X by the flat fields. A polynomial of second degree along each axis is fitted to it; terms that
are not significant are left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decon3d.pairs.registration import Volume

TERMS = ("z", "y", "x", "zz", "yy", "xx")
CERTAIN = 5.0
"""Standard errors above which a term is significant."""
LEVELS = 33
"""Levels that are tried."""
LEAST = 0.02
"""Smallest range of the ratio that is corrected, relative to its mean."""
RANGE = (0.2, 5.0)
"""Of the ratio, relative to the middle of the volume."""


@dataclass(frozen=True)
class Shading:
    """Light of the raw volume over that of the truth, relative to the middle of the volume.

    Attributes
    ----------
    terms
        Coefficients by term; coordinates run from -1 to 1 along each axis.
    level
        Counts of the truth without light: its camera's offset.
    """

    terms: dict[str, float]
    level: float

    def ratio(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the ratio at each voxel (Z, Y, X)."""
        total = 1 + sum(c * _term(name, shape) for name, c in self.terms.items())
        return np.clip(np.broadcast_to(total, shape), *RANGE)

    def applied(self, truth: Volume) -> Volume:
        """Give a truth (Z Y X, counts) the bleaching and flat field of the raw volume."""
        light = (truth - np.float32(self.level)) * self.ratio(truth.shape).astype(np.float32)
        return light + np.float32(self.level)


def find_shading(
    raw: NDArray[np.floating],
    truth: NDArray[np.floating],
    known: NDArray[np.bool_],
    *,
    highest: float,
    correlated: float,
) -> Shading | None:
    """Fit raw ≈ slope · ratio · (truth - level) + offset by least squares, the level included.

    Parameters
    ----------
    raw, truth
        Axes Z Y X, counts, registered and equally blurred.
    known
        Where both have data (Z Y X).
    highest
        The level is 0 to this many counts: the truth's background, which may be haze.
    correlated
        Voxels over which the blur correlates the noise.

    Returns
    -------
    Shading or None
        None if the ratio does not vary significantly.
    """
    names: tuple[str, ...] = TERMS
    a, b = (v[known].astype(np.float64) for v in (raw, truth))
    places = {n: np.broadcast_to(_term(n, raw.shape), raw.shape)[known] for n in names}
    scale = float(b.std())
    while names and scale > 0:
        shapes = [np.ones(b.size), *(places[n] for n in names)]
        design = np.stack([*(b * t for t in shapes), *shapes], axis=1)
        gram, right = design.T @ design, design.T @ a
        fits = [
            _fit(gram, right, float(a @ a), len(shapes), level)
            for level in np.linspace(0, highest, LEVELS)
        ]
        rest, found, inverse, level = min(fits, key=lambda fit: fit[0])
        if not found[0] > 0:
            return None
        free = max(b.size / correlated - len(found) - 1, 1.0)
        errors = np.sqrt(np.maximum(np.diag(inverse), 0) * max(rest, 0.0) / free)
        sure = np.abs(found[1:-1]) / np.maximum(errors[1:-1], 1e-30)
        if sure.min() >= CERTAIN:
            terms = {n: float(c / found[0]) for n, c in zip(names, found[1:-1], strict=True)}
            shading = Shading(terms, level)
            return shading if np.ptp(shading.ratio(raw.shape)) >= LEAST else None
        names = tuple(n for i, n in enumerate(names) if i != int(sure.argmin()))
    return None


def _fit(
    gram: NDArray[np.float64], right: NDArray[np.float64], square: float, count: int, level: float
) -> tuple[float, NDArray[np.float64], NDArray[np.float64], float]:
    """Solve for the ratio's terms and the offset at one level.

    Returns
    -------
    rest, coefficients, inverse, level
        Sum of squared residuals; the coefficients of slope, terms and offset; the inverse of
        their normal matrix; the level.
    """
    mix = np.zeros((2 * count, count + 1))  # from (truth - level) · shape to its two columns
    mix[:count, :count] = np.eye(count)
    mix[count:, :count] = -level * np.eye(count)
    mix[count, count] = 1
    normal, wanted = mix.T @ gram @ mix, mix.T @ right
    inverse = np.asarray(np.linalg.pinv(normal, hermitian=True), np.float64)
    found = inverse @ wanted
    return square - float(found @ wanted), found, inverse, float(level)


def _term(name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    axis = "zyx".index(name[0])
    line = np.linspace(-1, 1, shape[axis]) if shape[axis] > 1 else np.zeros(1)
    return (line ** len(name)).reshape([-1 if a == axis else 1 for a in range(len(shape))])
