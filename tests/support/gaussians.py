"""Gaussians for tests."""

import numpy as np
from scipy.special import erf


def gaussian_psf(shape=(7, 9, 9), sigma=(1.5, 1.2, 1.2)):
    """Return a Gaussian (Z Y X) of odd shape and sum 1, float32; `sigma` in voxels."""
    psf = np.ones(shape)
    for axis, (n, s) in enumerate(zip(shape, sigma, strict=True)):
        line = np.exp(-((np.arange(n) - n // 2) ** 2) / (2 * s**2))
        psf *= np.expand_dims(line, tuple({0, 1, 2} - {axis}))
    return (psf / psf.sum()).astype(np.float32)


def gaussian(shape, centre, sigma) -> np.ndarray:
    """A Gaussian of sum 1, integrated over voxels; centre and sigma in voxels."""
    profiles = []
    for n, c, s in zip(shape, centre, sigma, strict=True):
        edges = (np.arange(n + 1) - 0.5 - c) / (s * np.sqrt(2))
        profiles.append(np.diff(erf(edges)) / 2)
    return np.einsum("z,y,x->zyx", *profiles)
