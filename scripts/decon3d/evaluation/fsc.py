"""Fourier shell correlation: down to which detail two images of independent noise agree.

Saxton & Baumeister 1982, J. Microsc. 127, 127; for light microscopy Koho et al. 2019, Nature
Communications 10, 3103, whose threshold of 1/7 is used. The two images are two noise draws of one
phantom, or the two halves of an image's photons; both are restored. Shells are cut into a lateral
and an axial part, since a microscope's resolution differs.

**What a prior or a network puts into both restorations alike counts as agreement**, so this bounds
noise, not truth. A correlation within *one* restored image is no resolution and not offered.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from decon3d.volumes.apodization import GAP, fade, fade_missing

THRESHOLD = 1 / 7
SECTOR = np.pi / 6
"""Half angle around the axis (axial) or around the plane (lateral), in physical frequencies."""
TAPER = 0.25
"""Share of each axis over which an image fades at either end; more would smear its spectrum."""
LEAST = 8
"""Frequencies that a shell needs."""

Array = NDArray[np.float64]
Direction = Literal["lateral", "axial"]
DIRECTIONS: dict[str, Direction] = {"xy": "lateral", "z": "axial"}
"""Directions, by the name of the region in the tables."""


def fsc_resolution_um(
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    voxel_size_um: tuple[float, float, float],
    direction: Direction,
) -> float:
    """Find the length at which two images cease to agree.

    Parameters
    ----------
    first, second
        Z Y X, the same shape; noise independent. NaN = no data.
    voxel_size_um
        Voxel size (Z, Y, X), in µm.
    direction
        `lateral`: frequencies within 30° of the plane; `axial`: within 30° of the Z axis.

    Returns
    -------
    float
        1 / frequency where two shells in a row first lie below 1/7, in µm, interpolated; twice the
        voxel size where they agree up to the Nyquist frequency; NaN where they never do, or where
        there are too few voxels.
    """
    frequency, correlation = shells(first, second, voxel_size_um=voxel_size_um, direction=direction)
    low = correlation < THRESHOLD
    ends = np.flatnonzero(low & np.append(low[1:], True))  # a single low shell is chance
    if not len(low) or (ends.size and ends[0] == 0):
        return float("nan")
    if not ends.size:
        return 2 * (voxel_size_um[0] if direction == "axial" else max(voxel_size_um[1:]))
    k = ends[0]
    share = (correlation[k - 1] - THRESHOLD) / (correlation[k - 1] - correlation[k])
    return float(1 / (frequency[k - 1] + share * (frequency[k] - frequency[k - 1])))


def shells(
    first: NDArray[Any],
    second: NDArray[Any],
    *,
    voxel_size_um: tuple[float, float, float],
    direction: Direction,
) -> tuple[Array, Array]:
    """Correlate two images shell by shell.

    Returns
    -------
    frequency, correlation
        Mean frequency (1/µm) of each shell, from the lowest but zero to Nyquist, and Re Σ F₁F₂* /
        √(Σ|F₁|² Σ|F₂|²) in it. Shells are one frequency step of the direction's axis wide.
    """
    known = np.isfinite(first) & np.isfinite(second)
    if not known.any():
        return np.empty(0), np.empty(0)
    gaps = fade_missing(known, [n * GAP for n in known.shape])
    spectra = [_spectrum(image, known, gaps) for image in (first, second)]
    z, y, x = (
        np.abs(np.fft.fftfreq(n, d)) if axis < 2 else np.fft.rfftfreq(n, d)
        for axis, (n, d) in enumerate(zip(first.shape, voxel_size_um, strict=True))
    )
    axial, lateral = z[:, None, None], np.hypot(y[:, None], x)[None]
    radius = np.hypot(axial, lateral)
    if direction == "axial":
        chosen = lateral <= np.tan(SECTOR) * axial
        step, limit = 1 / (first.shape[0] * voxel_size_um[0]), 1 / (2 * voxel_size_um[0])
    else:
        chosen = axial <= np.tan(SECTOR) * lateral
        sizes = [n * d for n, d in zip(first.shape[1:], voxel_size_um[1:], strict=True)]
        step, limit = 1 / min(sizes), 1 / (2 * max(voxel_size_um[1:]))
    chosen = chosen & (radius > 0) & (radius <= limit)
    index = np.rint(radius[chosen] / step).astype(int)
    weight = np.broadcast_to(np.where(x > 0, 2.0, 1.0), radius.shape)[chosen]
    f, g = (spectrum[chosen] for spectrum in spectra)
    both, one, other, count, sums = (
        np.bincount(index, weight * values)
        for values in (np.real(f * g.conj()), np.abs(f) ** 2, np.abs(g) ** 2, 1.0, radius[chosen])
    )
    enough = (count >= LEAST) & (one * other > 0)
    return sums[enough] / count[enough], both[enough] / np.sqrt(one[enough] * other[enough])


def _spectrum(image: NDArray[Any], known: NDArray[np.bool_], gaps: Array) -> NDArray[np.complex128]:
    """Transform an image, less its mean, faded at its faces and towards its gaps."""
    mean = float(np.mean(image[known], dtype=np.float64))
    values = np.where(known, np.asarray(image, np.float64) - mean, 0) * gaps
    for axis, n in enumerate(image.shape):
        values = values * np.expand_dims(fade(n, n * TAPER), [a for a in range(3) if a != axis])
    return fft.rfftn(values)
