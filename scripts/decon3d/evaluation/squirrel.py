"""SQUIRREL: similarity of the re-blurred restoration and the raw image (Culley et al. 2018).

Culley et al., "Quantitative mapping and minimization of super-resolution optical imaging
artifacts", Nature Methods 15, 263: α · (restored ⊗ Gaussian) + β is fitted to the raw image; RSE is
the root mean square of what remains, RSP the Pearson correlation. Here in three dimensions, with
one σ along Z and one in the plane, where the paper has images and one σ.

**The raw image has RSP 1 and RSE 0 with itself**, and a network that does not change the image
nearly so; do not rank by it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from decon3d.blocks.geometry import Triple, centred
from decon3d.volumes.no_data import filled

LARGEST: Triple = (32, 128, 128)
"""Voxels (Z, Y, X) that are compared, in the middle of what is given."""
SEEN = 0.9
"""Share of a voxel's blurred light that must come from known voxels for it to be compared."""


@dataclass(frozen=True)
class Squirrel:
    """The fit of a restoration to its raw image.

    Attributes
    ----------
    rsp
        Pearson correlation of the two; NaN where one of them is flat.
    rse
        Root mean square difference, in counts.
    slope
        α.
    offset
        β, in counts.
    sigma
        σ along Z and in the plane, in voxels.
    """

    rsp: float
    rse: float
    slope: float
    offset: float
    sigma: tuple[float, float]


def squirrel(
    restored: NDArray[Any], raw: NDArray[Any], *, start: Sequence[float] = (1.0, 1.0)
) -> Squirrel:
    """Fit α, β and σ, and compare.

    Parameters
    ----------
    restored, raw
        Z Y X (one plane: 1 Y X), the same shape; NaN = no data. Of more than 32 × 128 × 128 voxels
        the middle is compared.
    start
        Where the search for σ starts (Z, plane), in voxels: the PSF's.

    Notes
    -----
    Both are taken as mirrored at their faces, so that the cosine transform makes the Gaussian a
    factor, and a step of the search costs no transform. For that search, missing voxels are taken
    as the mean; α, β, RSE and RSP are then of those voxels alone whose light, blurred, comes from
    known ones, and is divided by the share that does (normalised convolution).
    """
    middle = centred(raw.shape, LARGEST)
    known = np.isfinite(raw[middle]) & np.isfinite(restored[middle])
    if not known.any():
        return Squirrel(float("nan"), float("nan"), 0.0, float("nan"), (0.0, 0.0))
    images = [
        filled(np.where(known, image[middle], np.nan), float(np.mean(image[middle][known])))
        for image in (restored, raw)
    ]
    a, b = (fft.dctn(image.astype(np.float64), norm="ortho", workers=1) for image in images)
    means = [float(image.mean()) for image in images]
    a[0, 0, 0] = b[0, 0, 0] = 0.0  # the means belong to β
    product, square, power = a * b, a * a, float(np.sum(b * b))
    z, y, x = (
        np.square(np.pi * np.arange(n) / n).reshape([-1 if i == axis else 1 for i in range(3)])
        for axis, n in enumerate(raw[middle].shape)
    )

    def sums(sigma: Sequence[float]) -> tuple[float, float]:
        along, inside = (np.exp(-0.5 * s**2 * w) for s, w in ((sigma[0], z), (sigma[1], y)))
        inside_x = np.exp(-0.5 * sigma[1] ** 2 * x)
        first = np.einsum("zyx,z,y,x->", product, along.ravel(), inside.ravel(), inside_x.ravel())
        second = np.einsum(
            "zyx,z,y,x->", square, along.ravel() ** 2, inside.ravel() ** 2, inside_x.ravel() ** 2
        )
        return float(first), float(second)

    def loss(sigma: Sequence[float]) -> float:
        covariance, variance = sums(sigma)
        return -covariance / np.sqrt(variance * power) if variance * power > 0 else 0.0

    flat = raw[middle].shape[0] == 1
    bounds = [(0, 0) if flat else (0, 3 * max(start[0], 1)), (0, 3 * max(start[1], 1))]
    from scipy.optimize import minimize  # slow to import

    best = minimize(loss, [0 if flat else start[0], start[1]], bounds=bounds)
    nothing = Squirrel(float("nan"), float("nan"), 0.0, means[1], (0.0, 0.0))
    if not (sums(best.x)[1] > 0 and power > 0):
        return nothing
    sigma = (float(best.x[0]), float(best.x[1]))
    along, inside, inside_x = (
        np.exp(-0.5 * s**2 * w) for s, w in zip((*sigma, sigma[1]), (z, y, x), strict=True)
    )

    def blurred(spectrum: NDArray[np.float64]) -> NDArray[np.float64]:
        return fft.idctn(spectrum * along * inside * inside_x, norm="ortho", workers=1)

    light, image, used = blurred(a), images[1], known
    if not known.all():
        seen = blurred(fft.dctn(known.astype(np.float64), norm="ortho", workers=1))
        used = known & (seen >= min(SEEN, float(seen[known].max())))
        light = light / np.where(used, seen, 1)
    light, image = light[used], image[used].astype(np.float64)
    offsets = float(light.mean()), float(image.mean())
    light, image = light - offsets[0], image - offsets[1]
    covariance, variance, power = (
        float(np.vdot(*two)) for two in ((light, image), (light, light), (image, image))
    )
    if not (variance > 0 and power > 0):
        return nothing
    slope = covariance / variance
    return Squirrel(
        rsp=covariance / float(np.sqrt(variance * power)),
        rse=float(np.sqrt(np.mean(np.square(image - slope * light)))),
        slope=slope,
        offset=offsets[1] - slope * (offsets[0] + means[0]),
        sigma=sigma,
    )
