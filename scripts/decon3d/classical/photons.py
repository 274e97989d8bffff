"""Counts as photons: the camera's scale, and splitting an image into two independent halves.

Two halves of one exposure, as if the light had been shared between two cameras, tell noise from
structure: what one half shows and the other denies is noise. Photons of a Poisson image are
shared binomially, and the halves are then independent. This needs photons, not counts, so the
camera's offset and gain must be known or estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, maximum_filter, uniform_filter
from scipy.special import ndtri

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.volumes.no_data import filled, missing

FloatArray = NDArray[np.float32]

BINS = 24
"""Groups of voxels of like brightness, in the fit of variance against mean."""
NEIGHBOURS = (3, 5, 5)
LEAST_VOXELS = 10_000
GAIN_ERROR = 0.2
"""Largest relative standard error at which an estimated gain is used."""
EXACT_PHOTONS = 64


@dataclass(frozen=True)
class PhotonScale:
    """photons = (counts - offset) / gain, such that their variance is their mean."""

    offset: float
    """Counts of a Poisson variable of mean 0: the dark level less the read noise's variance."""
    gain: float
    """Counts per photon."""
    gain_from: Literal["config", "data"]
    """Whether the gain was given or estimated."""

    def photons(self, counts: NDArray[np.generic]) -> FloatArray:
        """Convert counts to photons, float32; they may come out negative or fractional."""
        return (counts.astype(np.float32) - np.float32(self.offset)) / np.float32(self.gain)


def photon_scale(
    sample: Sequence[NDArray[np.generic]],
    *,
    offset: float | None,
    gain: float | None,
    read_noise: float | None,
) -> PhotonScale:
    """Find the scale of a camera.

    Read noise of r photons is counted as r² photons more, in the image and in the model alike,
    which gives the sum the variance of a Poisson variable (Snyder et al. 1995, J. Opt. Soc. Am. A
    12, 272). What is not given is estimated by `noise_law`, whose intercept covers both the offset
    and the read noise.

    Parameters
    ----------
    sample
        Blocks of counts (Z Y X).
    offset, gain, read_noise
        The camera's counts in the dark, counts per photon, and read noise in photons; None = not
        known.

    Raises
    ------
    UserError
        If the sample does not tell the gain.
    """
    if gain is not None and offset is not None:
        return PhotonScale(offset - gain * (read_noise or 0.0) ** 2, gain, "config")
    law = noise_law(sample)
    if gain is None:
        log.info(
            "camera.gain: %.3g ± %.2g counts per photon, estimated from variance against mean",
            law.gain, law.error,
        )  # fmt: skip
        if not 0 < law.error < GAIN_ERROR * law.gain:
            raise UserError(
                f"camera.gain: the data do not tell it ({law.gain:.3g} ± {law.error:.2g} counts "
                "per photon from variance against mean); photons must be known here: give "
                "camera.gain, in counts per photon, from the camera's data sheet"
            )
        if offset is None:
            return PhotonScale(-law.intercept / law.gain, law.gain, "data")
        # Without a known read noise, the fit of the variance at the dark level stands for it.
        excess = max(law.intercept + law.gain * offset, 0.0)
        noise = law.gain * read_noise**2 if read_noise is not None else excess / law.gain
        return PhotonScale(offset - noise, law.gain, "data")
    return PhotonScale(law.mean - law.variance / gain, gain, "config")


@dataclass(frozen=True)
class NoiseLaw:
    """variance = gain · counts + intercept, fitted to a sample of images."""

    gain: float
    error: float
    """Standard error of the gain."""
    intercept: float
    mean: float
    """Counts where the law is known best: mean over the groups, the dark ones weigh most."""
    variance: float
    """The noise variance there, in counts²."""


def noise_law(sample: Sequence[NDArray[np.generic]]) -> NoiseLaw:
    """Fit the noise variance against the mean of images (Z Y X, counts).

    The noise is what the second difference along Y of the second difference along X leaves of an
    image, in which a blurred object has next to nothing; groups of voxels are made by the mean of
    their 3 × 5 × 5 neighbours, which is uncorrelated with it and hardly noisy itself. This
    holds for white noise: resampled or deskewed data show too small a variance. Voxels beside one
    without data (NaN) are left out.

    Raises
    ------
    UserError
        If the sample is too small.
    """
    means, squares = [], []
    for block in sample:
        if min(block.shape[1:]) < 3:
            continue
        values = filled(block, 0.0).astype(np.float32)
        noise = values
        for axis in (1, 2):
            noise = correlate1d(noise, np.array([1.0, -2.0, 1.0]) / 6**0.5, axis=axis)
        absent = missing(block)
        seen = np.ones(block.shape, bool)
        if absent is not None:
            seen = ~np.asarray(maximum_filter(absent, NEIGHBOURS))
        seen[:, [0, -1]] = seen[:, :, [0, -1]] = False  # the differences need neighbours
        means.append(uniform_filter(values, NEIGHBOURS)[seen])
        squares.append(np.square(noise[seen]))
    level = np.concatenate(means) if means else np.empty(0, np.float32)
    square = np.concatenate(squares) if squares else np.empty(0, np.float32)
    if level.size < LEAST_VOXELS:
        raise UserError(
            f"camera.gain: {level.size} voxels are too few to estimate it from (those without "
            "data are left out); give it, and camera.offset, in the config"
        )
    order = np.argsort(level)
    mean, variance = (
        np.array([part.mean(dtype=np.float64) for part in np.array_split(values[order], BINS)])
        for values in (level, square)
    )
    # The groups' variances scatter in proportion to themselves.
    weight = 1 / np.maximum(variance, 1e-6 * variance.max() + 1e-12) ** 2
    centre = np.average(mean, weights=weight)
    middle = np.average(variance, weights=weight)
    spread = np.sum(weight * (mean - centre) ** 2)
    if not spread > 0:
        return NoiseLaw(0.0, np.inf, float(middle), float(centre), float(middle))
    gain = np.sum(weight * (mean - centre) * variance) / spread
    intercept = middle - gain * centre
    misfit = np.sum(weight * (variance - gain * mean - intercept) ** 2) / (BINS - 2)
    error = np.sqrt(misfit / spread)
    return NoiseLaw(float(gain), float(error), float(intercept), float(centre), float(middle))


def split_photons(
    counts: NDArray[np.generic], *, scale: PhotonScale, origin: tuple[int, int, int], seed: int
) -> tuple[FloatArray, FloatArray]:
    """Share an image's photons between two images that add up to it.

    Every photon goes to one or the other by a random bit. The bits are a hash of the seed and of
    the voxel's place in the *volume*, so that blocks that overlap are split alike, in any order.

    Parameters
    ----------
    counts
        Image or block (Z Y X), in counts; NaN (no data) stays NaN in both halves.
    scale
        The camera's.
    origin
        The block's first voxel in the volume (Z, Y, X); may be negative.
    seed
        Of the stream.

    Returns
    -------
    two arrays (Z Y X), float32, in counts
        With a dark level of half of `scale.offset` each; they sum to `counts`.
    """
    photons = np.nan_to_num(scale.photons(counts), nan=0.0)
    whole = np.maximum(np.rint(photons), 0)
    bits = _hash(counts.shape, origin, seed)
    few = np.minimum(whole, EXACT_PHOTONS).astype(np.uint64)
    mask = np.where(
        few == EXACT_PHOTONS, ~np.uint64(0), (np.uint64(1) << (few % EXACT_PHOTONS)) - np.uint64(1)
    )
    share = np.bitwise_count(bits & mask).astype(np.float32)
    many = whole > EXACT_PHOTONS
    if many.any():
        # Beyond 64 photons, the normal approximation is good to a hundredth of a photon.
        uniform = ((bits[many] >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
        n = whole[many]
        share[many] = np.clip(np.rint(n / 2 + np.sqrt(n) / 2 * ndtri(uniform)), 0, n)
    values = counts.astype(np.float32)
    one = values / 2 + np.float32(scale.gain) * (share - whole / 2)
    return one, values - one


def _hash(shape: tuple[int, ...], origin: tuple[int, int, int], seed: int) -> NDArray[np.uint64]:
    """64 random bits per voxel: the SplitMix64 finaliser (Steele et al. 2014) of its place."""
    place = np.zeros(shape, np.uint64)
    for axis, (n, start) in enumerate(zip(shape, origin, strict=True)):
        line = np.arange(start, start + n, dtype=np.int64).astype(np.uint64)
        place += np.expand_dims(
            line << np.uint64(21 * (2 - axis)), [a for a in range(3) if a != axis]
        )
    bits = place + np.uint64(seed)
    for shift, factor in (
        (30, 0x9E3779B97F4A7C15),
        (30, 0xBF58476D1CE4E5B9),
        (27, 0x94D049BB133111EB),
    ):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))
