"""Counts as photons: the camera's scale, and splitting an image into two independent halves.

Two halves of one exposure, as if the light had been shared between two cameras, tell noise from
structure: what one half shows and the other denies is noise. Photons of a Poisson image are
shared binomially, and the halves are then independent. This needs photons, not counts, so the
camera's offset and gain must be known or estimated.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from decon3d.errors import UserError
from decon3d.volumes.camera import Camera, Source

FloatArray = NDArray[np.float32]

EXACT_PHOTONS = 64


@dataclass(frozen=True)
class PhotonScale:
    """photons = (counts - offset) / gain, such that their variance is their mean."""

    offset: float
    """Counts of a Poisson variable of mean 0: the dark level less the read noise's variance."""
    gain: float
    """Counts per photon."""
    gain_from: Source
    """Where the gain comes from."""

    def photons(self, counts: NDArray[np.generic]) -> FloatArray:
        """Convert counts to photons, float32; they may come out negative or fractional."""
        return (counts.astype(np.float32) - np.float32(self.offset)) / np.float32(self.gain)


def photon_scale(camera: Camera | None) -> PhotonScale:
    """Return the scale of a camera.

    Read noise of r photons is counted as r² photons more, in the image and in the model alike,
    which gives the sum the variance of a Poisson variable (Snyder et al. 1995, J. Opt. Soc. Am. A
    12, 272).

    Raises
    ------
    UserError
        If the gain is neither configured nor told by the data.
    """
    if camera is None or camera.gain_from == "assumed":
        raise UserError(
            "camera.gain is needed, but it cannot be measured in these data (variance against "
            "mean); give it in counts per photon, from the camera's data sheet"
        )
    return PhotonScale(camera.dark_level, camera.gain, camera.gain_from)


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
