"""Register one volume with another by translation, and test whether a translation is enough."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from decon3d.volumes.apodization import GAP, fade_missing
from decon3d.volumes.volume import Triple, triple

Volume = NDArray[np.float32]

UPSAMPLING = 20
"""Shifts are found to 1/20 of a voxel."""
PART_EDGE = 12
"""Voxels that a part needs along an axis for its own shift to be found."""
PART_DATA = 0.5
"""Share of a part's voxels that must have data for its own shift."""
LIKENESS = 0.5
"""Correlation of raw and truth (smoothed by a voxel) above which a part's shift is used."""


@dataclass(frozen=True)
class Registration:
    """The position of a moving volume relative to a fixed one.

    Attributes
    ----------
    shift
        Voxels (Z, Y, X) by which the moving volume has to be moved.
    drift_um
        Largest distance, in µm, between the shifts that two parts of the volume would need; None if
        no two parts have enough structure.
    """

    shift: Triple
    drift_um: float | None


def register(fixed: Volume, moving: Volume, *, voxel_size_um: Triple) -> Registration:
    """Find the shift between two volumes, and its variation over the volume.

    Cross-correlation (Guizar-Sicairos et al., Opt. Lett. 33, 156 (2008), in scikit-image) of the
    windowed volumes, unweighted, so that noise has no influence where there is no signal. First to
    whole voxels, then on the overlap to a fraction, so that the window does not bias the shift to
    0.

    Parameters
    ----------
    fixed, moving
        Axes Z Y X, same shape, any unit each; NaN = no data.
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    """
    shift = whole_and_fraction(fixed, moving)
    moved = translate(moving, shift)
    found = []
    for part in parts(fixed.shape):
        a, b = fixed[part], moved[part]
        if (np.isfinite(a) & np.isfinite(b)).mean() < PART_DATA:
            continue
        rest = whole_and_fraction(a, b)
        if likeness(a, translate(b, rest)) >= LIKENESS:
            found.append(np.multiply(rest, voxel_size_um))
    distances = [float(np.linalg.norm(a - b)) for a, b in combinations(found, 2)]
    return Registration(shift, max(distances, default=None))


def whole_and_fraction(fixed: Volume, moving: Volume) -> Triple:
    """Find the shift (Z, Y, X, voxels) that registers `moving` with `fixed`."""
    whole = _correlate(fixed, moving, 1).astype(int)
    a = fixed[tuple(_overlap(int(s)) for s in whole)]
    b = moving[tuple(_overlap(-int(s)) for s in whole)]
    return triple(whole + (_correlate(a, b, UPSAMPLING) if min(a.shape) else 0.0))


def translate(volume: Volume, shift: Triple) -> Volume:
    """Move a volume by a fraction of voxels (Z, Y, X): cubic spline, mirrored at the faces.

    Voxels that lie between ones without data (NaN) and others get none.
    """
    if not np.any(shift):
        return volume
    absent = np.isnan(volume)
    if not absent.any() or absent.all():
        return ndimage.shift(volume, shift, order=3, mode="mirror")
    nearest = ndimage.distance_transform_edt(absent, return_distances=False, return_indices=True)
    moved = ndimage.shift(volume[tuple(nearest)], shift, order=3, mode="mirror")
    touched = ndimage.shift(absent.astype(np.float32), shift, order=1, mode="mirror")
    moved[touched > 1e-3] = np.nan
    return moved


def without_small_holes(volume: Volume) -> Volume:
    """Fill holes of single voxels (NaN) with their nearest neighbour, for registration.

    Larger places without data stay NaN. Scattered NaN, as of dead pixels, would remove most of the
    volume from the correlation, which fades out around each.
    """
    absent = np.isnan(volume)
    small = absent & ~ndimage.binary_opening(absent, np.ones((2, 2, 2)))
    if not small.any() or absent.all():
        return volume
    nearest = ndimage.distance_transform_edt(absent, return_distances=False, return_indices=True)
    return np.where(small, volume[tuple(nearest)], volume)


def level(a: Volume, b: Volume) -> tuple[Volume, Volume]:
    """Replace voxels without data (NaN) in either volume by each volume's mean."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.all():
        return a, b
    if not known.any():
        return np.zeros_like(a), np.zeros_like(b)
    first, second = (np.where(known, v, v[known].mean(dtype=np.float64)) for v in (a, b))
    return first.astype(np.float32), second.astype(np.float32)


def covered(shape: tuple[int, ...], shift: Triple) -> tuple[slice, ...]:
    """Return the region that a moved volume still covers with its own voxels."""
    return tuple(
        slice(max(int(np.ceil(s)), 0), n - max(int(np.ceil(-s)), 0))
        for n, s in zip(shape, shift, strict=True)
    )


def parts(shape: tuple[int, ...]) -> list[tuple[slice, ...]]:
    """Divide a volume (Z, Y, X) into halves along Z and lateral quarters, if large enough."""

    def halves(n: int) -> list[slice]:
        return [slice(0, n // 2), slice(n // 2, n)] if n >= 2 * PART_EDGE else [slice(0, n)]

    z, y, x = shape
    whole = (slice(0, z), slice(0, y), slice(0, x))
    pieces = [(half, *whole[1:]) for half in halves(z)]
    pieces += [(whole[0], a, b) for a in halves(y) for b in halves(x)]
    return [piece for piece in pieces if piece != whole]


def likeness(a: Volume, b: Volume, sigma: Any = 1.0) -> float:
    """Correlate two volumes after a Gaussian blur of `sigma` voxels; 0 where one is constant."""
    smooth = [ndimage.gaussian_filter(v, sigma, mode="nearest").ravel() for v in level(a, b)]
    spread = [float(np.std(v, dtype=np.float64)) for v in smooth]
    return float(np.corrcoef(*smooth)[0, 1]) if min(spread) > 0 else 0.0


def _correlate(fixed: Volume, moving: Volume, upsampling: int) -> NDArray[np.float64]:
    from scipy.signal.windows import tukey  # here, since the two take most of a second
    from skimage.registration import phase_cross_correlation

    window = np.ones((), np.float32)
    for n in fixed.shape:
        window = window[..., None] * (tukey(n, 0.5) if n > 2 else np.ones(n)).astype(np.float32)
    known = np.isfinite(fixed) & np.isfinite(moving)
    if not known.all():
        window = window * fade_missing(known, [n * GAP for n in known.shape]).astype(np.float32)
    pair = [(volume - volume.mean()) * window for volume in level(fixed, moving)]
    shift, _, _ = phase_cross_correlation(*pair, upsample_factor=upsampling, normalization=None)
    return np.asarray(shift, np.float64)


def _overlap(shift: int) -> slice:
    return slice(max(shift, 0), min(shift, 0) or None)
