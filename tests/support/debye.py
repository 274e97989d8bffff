"""PSFs by a quadrature of their own: Richards and Wolf's integrals, pixel by pixel, for tests."""

from functools import lru_cache

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.special import j0, j1

STEP_UM = 0.01
"""Radial step of the table."""


@lru_cache(maxsize=4)
def _pupil(rings: int, na: float, index: float, wavelength_um: float):
    """Axial frequencies, and the integrands of I₀, I₁ and I₂ on the axis' plane."""
    nodes, weights = np.polynomial.legendre.leggauss(300)
    edge = np.arcsin(na / index)
    theta, k = (nodes + 1) * edge / 2, 2 * np.pi * index / wavelength_um
    sine, cosine = np.sin(theta), np.cos(theta)
    x = k * np.outer(STEP_UM * np.arange(rings), sine)
    bessel = [j0(x), j1(x)]
    bessel.append(2 * bessel[1] / np.maximum(x, 1e-12) - bessel[0])
    bessel[2][0] = 0
    factors = (1 + cosine, np.sqrt(2) * sine, 1 - cosine)
    weight = np.sqrt(cosine) * sine * weights
    return k * cosine, np.concatenate(
        [b * f * weight for b, f in zip(bessel, factors, strict=True)]
    )


def radial(rings: int, z_um, *, na: float, index: float, wavelength_um: float) -> np.ndarray:
    """Return |I₀|² + 2 |I₁|² + |I₂|² (Richards and Wolf 1959), shape (rings, z)."""
    frequency, pupil = _pupil(rings, na, index, wavelength_um)
    waves = np.outer(frequency, z_um)
    light = (pupil @ np.cos(waves)) ** 2 + (pupil @ np.sin(waves)) ** 2
    return light.reshape(3, rings, -1).sum(axis=0)


def debye_psf(
    shape, voxel_um, *, na, index, emission_um, excitation_um=None, centre=(0.0, 0.0, 0.0), points=3
) -> np.ndarray:
    """Light per voxel around a point; axes Z Y X, not normalised.

    `centre`: the point's distance from the middle voxel, in voxels. Widefield, or with
    `excitation_um` a confocal microscope whose pinhole is closed. Voxels are means over
    `points`³ places.
    """
    offsets = (np.arange(points) - (points - 1) / 2) / points
    z, y, x = (
        (np.arange(n) - n // 2 - c) * v for n, c, v in zip(shape, centre, voxel_um, strict=True)
    )
    fine = (z[:, None] + offsets * voxel_um[0]).ravel()
    reach = np.hypot(*((n // 2 + 2) * v for n, v in zip(shape[1:], voxel_um[1:], strict=True)))
    r = STEP_UM * np.arange(int(reach / STEP_UM) + 1)
    table = radial(len(r), fine, na=na, index=index, wavelength_um=emission_um)
    if excitation_um is not None:
        table = table * radial(len(r), fine, na=na, index=index, wavelength_um=excitation_um)
    profile = CubicSpline(r, table.reshape(len(r), len(z), points).mean(axis=2))
    result = np.zeros((len(y), len(x), len(z)))
    for dy in offsets * voxel_um[1]:
        for dx in offsets * voxel_um[2]:
            result += profile(np.hypot.outer(y + dy, x + dx))
    return np.clip(np.moveaxis(result, -1, 0), 0, None) / points**2


def seen_ball(psf, voxel_um, *, diameter_um) -> np.ndarray:
    """Light per voxel around an even ball in place of the point; axes Z Y X."""
    sizes = [fft.next_fast_len(n + 8, real=True) for n in psf.shape]
    z, y, x = (np.fft.fftfreq(n, v) for n, v in zip(sizes, voxel_um, strict=True))
    u = (
        np.pi
        * diameter_um
        * np.sqrt(z[:, None, None] ** 2 + y[:, None] ** 2 + x[: sizes[2] // 2 + 1] ** 2)
    )
    u[0, 0, 0] = 1e-3
    seen = fft.irfftn(fft.rfftn(psf, sizes) * 3 * (np.sin(u) - u * np.cos(u)) / u**3, sizes)
    return np.clip(seen[tuple(slice(n) for n in psf.shape)], 0, None)
