"""Predict the error of any restoration inside the microscope's pass band from the image alone.

Held-out photons judge a method at half of the dose, where smooth results are better. Stein's
unbiased risk needs no split: for an image g with noise, and its restoration x above the background,

    E|Hx - Hx*|² = E[|Hx|² - 2 ⟨Hx, g - b⟩ + 2 Σ cov(Hx, g)] + a constant,

and the covariance follows from a second restoration of the image with a little more noise (Stein
1981; Ramani, Blu and Unser 2008). Every Fourier component is divided by |OTF|² + `WEAK`, so that it
is the error of the object itself where the OTF is strong (Eldar 2009), as in `classical.risk`.
Frequencies outside the OTF are excluded, since an image has no information on them.

The restoration is scaled by the factor with the least predicted error, as the PSNR that ranks
methods is measured after the best match of brightness. A prior may reduce the contrast of small
bright objects and still have their shape right. Lost light is checked separately.

The constant is the same for all methods on the same block, so only differences are meaningful.
Their standard error follows from the known noise, not from the spread over places, since the few
bright places of an object dominate.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.operators import Blur
from decon3d.classical.risk import STEP, ImageNoise
from decon3d.evaluation.deviance import FloatArray, Restore
from decon3d.evaluation.not_verifiable import folded
from decon3d.optics.psf import Psf, half_width
from decon3d.seeds import seeded
from decon3d.volumes.apodization import fade, fade_missing
from decon3d.volumes.no_data import filled, missing

WEAK = 0.01
"""|OTF|² at which half of the error is known from the image."""
DRAWS = 2
"""Draws of the noise that is added: each is one more restoration."""
REPLICAS = 16
"""Images with other noise that the prediction is repeated for, to first order."""


def predicted_error(
    block: NDArray[Any],
    *,
    restore: Restore,
    psf: Psf,
    noise: ImageNoise,
    background: float,
    seed: int,
) -> tuple[float, ...]:
    """Predict the squared error of a restoration of a block, up to a constant, with its spread.

    Parameters
    ----------
    block
        Counts (Z Y X); NaN = no data.
    restore
        The restoration.
    psf
        The channel's.
    noise
        Of the block.
    background
        Counts of empty places.
    seed
        Of the added noise.

    Returns
    -------
    tuple of float
        The prediction as it would be with other noise in the block, `REPLICAS` times; after the
        best match of brightness, relative to the mean squared light of the block. The differences
        between two methods are paired: their mean is the block's estimate, and their standard
        deviation is its standard error. Empty where the block has no light, or where the PSF
        reaches farther than a third of the block from a face: light from beyond would then count as
        error.
    """
    if any(h > n // 3 for h, n in zip(half_width(psf), block.shape, strict=True) if n > 1):
        return ()
    absent = missing(block)
    image = filled(block, background).astype(np.float32)
    draws = [noise.draw(block, seeded(seed + i)) for i in range(DRAWS + REPLICAS)]
    if absent is not None:
        for draw in draws:
            draw[absent] = 0

    def estimate(values: NDArray[Any]) -> FloatArray:
        restored = filled(restore(values), background).astype(np.float32)
        restored -= np.float32(background)
        return restored

    plain = estimate(block)
    z, y, x = block.shape
    model = Blur((z, y, x), psf=psf.data)
    half = half_width(psf)
    inside = _window((z, y, x), half)
    if absent is not None:
        inside *= fade_missing(~absent, [max(2, h) for h in half]).astype(np.float32)

    def seen(values: FloatArray) -> FloatArray:
        wide = np.pad(values, [(h, h) for h in half], mode="edge")
        return inside * model.forward(wide)

    power = np.square(np.abs(np.fft.rfftn(folded(psf.data, (z, y, x))))).astype(np.float32)
    weight = 1 / (power + np.float32(WEAK))

    def weighted(values: FloatArray) -> FloatArray:
        spectrum = np.fft.rfftn(values, axes=(0, 1, 2)) * weight
        result: FloatArray = np.fft.irfftn(spectrum, s=(z, y, x), axes=(0, 1, 2)).astype(np.float32)
        return result

    light = inside * (image - np.float32(background))
    energy = float(np.mean(np.square(light, dtype=np.float64)))
    if not energy > 0:
        return ()
    blurred = seen(plain)
    pulled = weighted(blurred)
    power_of = max(_dot(pulled, blurred), np.finfo(float).tiny)
    taken = []
    for draw in draws[:DRAWS]:
        change = estimate(block.astype(np.float32) + np.float32(STEP) * draw) - plain
        change /= np.float32(STEP)
        taken.append(_dot(weighted(seen(change)), inside * draw))
    other = np.array([_dot(pulled, inside * draw) for draw in draws[DRAWS:]])
    # The covariance with the noise needs few draws; their spread is that of their mean.
    spread = (np.array(taken) - np.mean(taken)) / (DRAWS - 1) ** 0.5
    # The least of a² |Hx|² - 2 a ⟨Hx, Hx*⟩ over all factors a ≥ 0 is -⟨Hx, Hx*⟩² / |Hx|².
    right = _dot(pulled, light) - np.mean(taken) - np.resize(spread, REPLICAS)
    right += other - other.mean()
    total = -np.square(np.maximum(right, 0)) / power_of
    return tuple((total / (energy * block.size)).tolist())


def _dot(one: FloatArray, other: FloatArray) -> float:
    return float(np.sum(one * other, dtype=np.float64))


def _window(shape: tuple[int, int, int], rim: tuple[int, int, int]) -> FloatArray:
    """Make weights (Z Y X) that rise from 0 at the faces to 1 within `rim` voxels of them."""
    window = np.ones(shape, np.float32)
    for axis, (size, width) in enumerate(zip(shape, rim, strict=True)):
        if size == 1:
            continue
        line = fade(size, max(width, 1))
        window *= np.expand_dims(line, [a for a in range(3) if a != axis]).astype(np.float32)
    return window
