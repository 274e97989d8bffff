"""The share of a restoration that cannot be verified: energy outside the microscope's pass band.

The transfer function (OTF) is the Fourier transform of the PSF. Structure at frequencies where it
is nearly 0 leaves no trace in the raw image. A restoration's content there comes from its
assumptions or its training alone. It need not be wrong: sharp edges are an example.
"""

from collections.abc import Iterable
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from decon3d.optics.psf import Psf
from decon3d.volumes.apodization import GAP, fade_missing

CONTRAST = 0.01
"""A frequency counts as passed from this |OTF|."""
FLOOR = 3.0
"""A measured PSF's own noise hides the end of its OTF: below so many times the median |OTF| of the
highest frequencies (all axes beyond 80 % of the sampling's limit), nothing counts as passed."""
MOST_FLOOR = 0.05
"""Highest value of that floor, since a coarse grid has signal up to its highest frequencies."""


class Support:
    """The frequencies that a PSF passes, on the grid of any block.

    Attributes
    ----------
    contrast
        |OTF| from which on a frequency counts as passed.
    """

    def __init__(self, psf: Psf) -> None:
        self._psf = np.asarray(psf.data, np.float32)
        self._voxel_size_um = psf.voxel_size_um
        padded = tuple(max(n, 32) if n > 1 else 1 for n in self._psf.shape)
        high = np.ones((1, 1, 1), bool)
        for axis, n in enumerate(padded):
            beyond = np.abs(np.fft.fftfreq(n)) > 0.4 if n > 1 else np.ones(1, bool)
            high = high & np.expand_dims(beyond, [a for a in range(3) if a != axis])
        otf = np.abs(fft.fftn(folded(self._psf, padded)))
        self.contrast = max(CONTRAST, min(FLOOR * float(np.median(otf[high])), MOST_FLOOR))
        self.passed = lru_cache(maxsize=4)(self._passed)

    def finest_um(self, shape: tuple[int, int, int]) -> tuple[float, float]:
        """Return the shortest periods that are passed, along Z and in the plane, in µm.

        Parameters
        ----------
        shape
            Voxels (Z, Y, X) of the grid of frequencies. Infinite along an axis of one voxel.
        """
        planes, rows, columns = np.nonzero(self.passed(shape))
        voxels = self._voxel_size_um
        highest = [
            float(np.abs(np.fft.fftfreq(n, v))[places].max())
            for n, v, places in zip(shape, voxels, (planes, rows, columns), strict=True)
        ]
        along_z, in_plane = highest[0], max(highest[1:])
        return (1 / along_z if along_z else np.inf), (1 / in_plane if in_plane else np.inf)

    def _passed(self, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
        otf = np.abs(fft.rfftn(folded(self._psf, shape)))
        return otf >= self.contrast * float(self._psf.sum())


def folded(psf: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Add up a PSF's periodic copies: its transform at the frequencies of a grid, exactly."""
    for axis, n in enumerate(shape):
        size = psf.shape[axis]
        pad = [(0, 0)] * 3
        pad[axis] = (0, ceil(size / n) * n - size)
        parts = np.split(np.pad(psf, pad), ceil(size / n), axis=axis)
        psf = np.sum(parts, axis=0)
    return psf


def energy_outside(values: NDArray[np.floating], support: Support) -> tuple[float, float]:
    """Return a block's energy outside the OTF's support, and its energy in all.

    Parameters
    ----------
    values
        Restored counts (Z, Y, X); NaN = no data. The block's mean is taken off, and a Hann window
        (Z, Y, X) put on, so that its faces do not count as structure; nor do edges of places
        without data, towards which it fades, too.
    """
    window = np.ones((1, 1, 1))
    for axis, n in enumerate(values.shape):
        # A window of n + 2 without its zeros; a single plane keeps its weight.
        line = np.hanning(n + 2)[1:-1] if n > 1 else np.ones(1)
        window = window * np.expand_dims(line, [a for a in range(3) if a != axis])
    valid = ~np.isnan(values)
    if not valid.any():
        return 0.0, 0.0
    window = window * fade_missing(valid, [n * GAP for n in values.shape])
    mean = np.average(np.where(valid, values, 0), weights=window)
    light = np.where(valid, values - mean, 0) * window
    spectrum = np.square(np.abs(fft.rfftn(light.astype(np.float32))), dtype=np.float64)
    half = np.full(spectrum.shape[2], 2.0)
    half[0] = 1.0
    if values.shape[2] % 2 == 0:
        half[-1] = 1.0
    spectrum *= half
    z, y, x = values.shape
    return float(spectrum[~support.passed((z, y, x))].sum()), float(spectrum.sum())


def not_verifiable(blocks: Iterable[NDArray[np.floating]], support: Support) -> float:
    """Return the share of some restored blocks' energy that lies outside the OTF's support.

    Energy is the squared deviation from each block's mean. NaN where there is none.
    """
    outside, total = 0.0, 0.0
    for block in blocks:
        one, whole = energy_outside(block, support)
        outside, total = outside + one, total + whole
    return outside / total if total > 0 else float("nan")
