"""PSFs by a quadrature of their own: the scalar Debye integral, pixel by pixel, for tests."""

import numpy as np
from scipy import fft
from scipy.interpolate import CubicSpline
from scipy.special import j0

STEP_UM = 0.01
"""Radial step of the table."""


def radial(r_um, z_um, *, na: float, index: float, wavelength_um: float) -> np.ndarray:
    """|∫ √cosθ sinθ J₀(k r sinθ) exp(i k z cosθ) dθ|², shape (r, z)."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    edge = np.arcsin(na / index)
    theta, k = (nodes + 1) * edge / 2, 2 * np.pi * index / wavelength_um
    pupil = np.sqrt(np.cos(theta)) * np.sin(theta) * weights * edge / 2
    bessel = j0(k * np.outer(r_um, np.sin(theta))) * pupil
    return np.abs(bessel @ np.exp(1j * k * np.outer(np.cos(theta), z_um))) ** 2


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
    reach = np.hypot(np.abs(y).max() + voxel_um[1], np.abs(x).max() + voxel_um[2])
    r = np.arange(0, reach + STEP_UM, STEP_UM)
    table = radial(r, fine, na=na, index=index, wavelength_um=emission_um)
    if excitation_um is not None:
        table = table * radial(r, fine, na=na, index=index, wavelength_um=excitation_um)
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
