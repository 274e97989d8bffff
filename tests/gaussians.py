"""Gaussian PSFs for tests."""

import numpy as np


def gaussian_psf(shape=(7, 9, 9), sigma=(1.5, 1.2, 1.2)):
    """Return a Gaussian (Z Y X) of odd shape and sum 1, float32; `sigma` in voxels."""
    psf = np.ones(shape)
    for axis, (n, s) in enumerate(zip(shape, sigma, strict=True)):
        line = np.exp(-((np.arange(n) - n // 2) ** 2) / (2 * s**2))
        psf *= np.expand_dims(line, tuple({0, 1, 2} - {axis}))
    return (psf / psf.sum()).astype(np.float32)
