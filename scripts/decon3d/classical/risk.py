"""The error of an estimate, predicted from the image alone: Stein's unbiased risk.

For an image g = Hx* + b + noise and any estimate x(g),

    E|Hx - Hx*|² = E[|Hx|² - 2 ⟨Hx, g - b⟩ + 2 Σ cov(Hx, g)] + a constant,

and the covariance, what the estimate took over from the noise, follows from a second run on the
image with a little more noise n of the same variance and correlation: δ Σ cov = ⟨n, H(x(g + δn) -
x(g))⟩ (Stein 1981; Ramani, Blu and Unser 2008). The variance of n is each voxel's own count: for
Poisson noise, a local mean biases the estimate (Hudson 1978; Luisier, Blu and Unser 2011), by 20 %
of the covariance on small beads. Unlike held-out photons, it uses the whole dose,
and correlated noise or excess noise of the camera does no harm if it was measured.

This is the error of the *blurred* estimate, which hardly sees fine structure or amplified noise.
So the Fourier components are divided by |OTF|² + ε (as in the generalised risk of Eldar 2009):
where the OTF is strong, it is the error of the object itself. Where it is weak, the image does not
tell; there the noise of the estimate, which the second run shows, counts as error, and what else
the estimate has (by positivity) counts as true to the share `TRUST`. With more light, the image
tells more: ε is `WEAK` over the photons of the brightest voxels.

`WEAK` and `TRUST` were fitted on simulated volumes of eight kinds; see `make validate
VALIDATE=iterations`. On average 0.13 dB are lost. A tenth of the volumes loses more than 0.3 dB:
mostly beads of about two voxels (up to 1.7 dB, 30 % too many iterations), since a sharper bead fits
the image as well, and bright nuclei in widefield (3,000 photons). No other `WEAK` or `TRUST`, and
no mean with a law of the dose, did better than 0.12 dB.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import FloatArray, unknown
from decon3d.classical.tuning import Subject
from decon3d.seeds import seeded
from decon3d.volumes.correlated_noise import noise_power
from decon3d.volumes.no_data import filled

WEAK = 3.0
"""|OTF|² at which half of the error is known from an image, times its brightest photons, …"""
WEAKEST, STRONGEST = 0.001, 0.01
"""… within these limits: from 300 to 3,000 photons."""
TRUST = 0.35
"""Share of the structure beyond the OTF that counts as true, among estimates of one method."""
TRUST_PRIOR = 0.2
"""The same where estimates of different λ are compared: with more, none at all looks best."""
BRIGHTEST = 99.9
"""Percentile of the brightest voxels."""
LONGER_PRIOR = 1.2
"""Factor on the iterations with the least predicted error, with a prior: on simulated volumes
they are that much too few with total variation (0.1 to 0.5 dB)."""
STEP = 0.1
"""δ: the noise that is added, in standard deviations of the noise."""
LEAST_VARIANCE = 0.05
"""Smallest variance of a voxel, in photons."""
WHITE = ((), (), ())


@dataclass(frozen=True)
class ImageNoise:
    """Noise of variance gain · (counts - dark_level)."""

    gain: float
    """Counts per photon."""
    dark_level: float
    """Counts at which the variance is 0."""
    correlation: Sequence[Sequence[float]] = WHITE
    """Of neighbours 1, 2, … voxels away along Z, Y, X."""

    def draw(self, image: NDArray[Any], rng: np.random.Generator) -> FloatArray:
        """Draw noise for an image (Z Y X, counts; NaN = no data), in counts, float32."""
        known = filled(image, self.dark_level).astype(np.float32)
        level = known - np.float32(self.dark_level)
        variance = np.maximum(level * np.float32(self.gain), LEAST_VARIANCE * self.gain**2)
        signs = 2 * rng.integers(0, 2, image.shape).astype(np.float32) - 1
        return np.sqrt(variance) * coloured(signs, self.correlation)


def coloured(white: FloatArray, correlation: Sequence[Sequence[float]]) -> FloatArray:
    """Filter white noise (Z Y X) such that it has a correlation, by lag along Z, Y and X."""
    for axis, curve in enumerate(correlation):
        if any(curve):
            size = white.shape[axis]
            power = np.maximum(noise_power(curve, size), 0)
            root = np.sqrt(power / power.mean())[: size // 2 + 1]
            shape = [1, 1, 1]
            shape[axis] = len(root)
            spectrum = np.fft.rfft(white, axis=axis) * root.reshape(shape)
            white = np.fft.irfft(spectrum, size, axis=axis).astype(np.float32)
    return white


def risk_subjects(
    sample: Sequence[NDArray[Any]],
    *,
    recipe: Recipe,
    noise: ImageNoise,
    seed: int,
    trust: float = TRUST,
) -> list[Subject]:
    """Make blocks of the data subjects of a search: the score is negative predicted error.

    Parameters
    ----------
    sample
        Blocks of counts (Z Y X); NaN = no data.
    recipe
        Of the restoration.
    noise
        Of the blocks.
    seed
        Of the added noise.
    trust
        `TRUST` or `TRUST_PRIOR`.

    Returns
    -------
    list of Subject
        The mean of their scores is minus the predicted squared error, up to a constant, relative
        to the squared counts above the background.
    """
    light = [
        np.sum(np.square(filled(block, recipe.background) - recipe.background, dtype=np.float64))
        for block in sample
    ]
    unit = max(float(np.mean(light)), 1e-30)
    brightest = max(float(np.nanpercentile(block, BRIGHTEST)) for block in sample)
    photons = max((brightest - recipe.background) / noise.gain, 1.0)
    weak = float(np.clip(WEAK / photons, WEAKEST, STRONGEST))
    subjects = []
    for i, block in enumerate(sample):
        own = replace(recipe, saturation=recipe.largest(block))
        left_out = unknown(block, own.saturation)
        added = noise.draw(block, seeded(seed + i))
        if left_out is not None:
            added[left_out] = 0
        probe = block.astype(np.float32) + np.float32(STEP) * added
        subjects.append(
            Subject((block, probe), own, _Risk(block, left_out, added, own, unit, weak, trust))
        )
    return subjects


class _Risk:
    """Scores the estimates of an image and of the same image with added noise."""

    def __init__(
        self,
        image: NDArray[Any],
        left_out: NDArray[np.bool_] | None,
        added: FloatArray,
        recipe: Recipe,
        unit: float,
        weak: float,
        trust: float,
    ) -> None:
        above = filled(image, recipe.background).astype(np.float32) - np.float32(recipe.background)
        if left_out is not None:
            above[left_out] = 0
        self._left_out, self._added, self._above = left_out, added, above
        self._unit, self._weak, self._trust = unit, weak, trust
        self._spectra: tuple[Any, ...] | None = None

    def __call__(self, estimates: Sequence[FloatArray], model: Blur) -> float:
        strong, weak, above, added = self._of(model)
        image, probe = (model.forward(cast(FloatArray, e.base)) for e in estimates)
        probe -= image
        probe /= np.float32(STEP)
        if self._left_out is not None:
            image[self._left_out] = probe[self._left_out] = 0
        seen, change = model.spectrum(image), model.spectrum(probe)
        error = _power(seen) - 2 * _product(seen, above) + 2 * _product(change, added)
        inside = model.spectrum(np.ascontiguousarray(estimates[0]))
        noise = model.spectrum((estimates[1] - estimates[0]) / np.float32(STEP))
        beyond = (1 + self._trust) * _power(noise) - self._trust * _power(inside)
        total = np.vdot(strong, error) + np.vdot(weak, beyond)
        return -float(total) / self._unit

    def _of(self, model: Blur) -> tuple[Any, ...]:
        """Make the spectra that are the same for all estimates: weights, image, added noise."""
        if self._spectra is None:
            power = model.power
            # By Parseval: twice the half of the spectrum that is not stored.
            share = np.full(power.shape[2], 2.0 / prod(model.lengths))
            share[0] /= 2
            if model.lengths[2] % 2 == 0:
                share[-1] /= 2
            strong = (share / (power + self._weak)).astype(np.float32)
            weak = np.float32(self._weak) * strong
            self._spectra = strong, weak, model.spectrum(self._above), model.spectrum(self._added)
        return self._spectra


def _power(spectrum: NDArray[np.complex64]) -> FloatArray:
    return spectrum.real**2 + spectrum.imag**2


def _product(one: NDArray[np.complex64], other: NDArray[np.complex64]) -> FloatArray:
    return one.real * other.real + one.imag * other.imag
