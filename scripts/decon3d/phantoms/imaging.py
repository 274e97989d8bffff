"""Image formation: an object through a PSF onto a camera. Axis order Z Y X."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.errors import UserError
from decon3d.optics.arrays import triple
from decon3d.optics.psf import fwhm_um
from decon3d.phantoms.grids import Shape, Volume, VoxelSize, average
from decon3d.phantoms.poisson import poisson
from decon3d.phantoms.recipes import SHARPER_THAN_IMAGE, make_object
from decon3d.phantoms.user_objects import OwnObject
from decon3d.volumes.camera import (
    ASSUMED_GAIN,
    ASSUMED_OFFSET,
    ASSUMED_READ_NOISE,
    Camera,
)
from decon3d.volumes.correlated_noise import noise_power

BRIGHTEST = 0.001
"""Share of the voxels whose mean is the dose of photons."""

TRIES = 20
"""Objects drawn before an empty field is an error."""
FAINT = 0.1
"""A field whose brightest voxel is below this share of the object's, margins included, is empty."""


@dataclass(frozen=True)
class SimulatedCamera:
    """A camera that takes simulated images: counts = gain · (photons + N(0, read_noise²)) + offset.

    Its parameters are those of a `volumes.camera.Camera`, and the correlation of the noise.

    Attributes
    ----------
    offset
        Counts of a dark image.
    gain
        Counts per photon.
    read_noise
        Photons.
    bits
        Images are whole counts from 0 to 2^bits - 1; None = neither rounded nor clipped.
    correlation
        Correlation of the noise of neighbours 1, 2, … voxels away along Z, Y, X; empty = white
        noise.
    """

    offset: float = ASSUMED_OFFSET
    gain: float = ASSUMED_GAIN
    read_noise: float = ASSUMED_READ_NOISE
    bits: int | None = None
    correlation: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(cls, camera: Camera) -> "SimulatedCamera":
        """Simulate a camera with white noise."""
        return cls(camera.offset, camera.gain, camera.read_noise, camera.bits)

    @property
    def most_photons(self) -> float:
        """Photons that fill the converter."""
        return np.inf if self.bits is None else (2**self.bits - 1 - self.offset) / self.gain

    def check_range(self, photons: float) -> None:
        """Reject a dose whose counts exceed this camera's range.

        Raises
        ------
        UserError
            If the converter is full before `photons` (background included) are counted.
        """
        counts = self.gain * photons + self.offset
        if self.bits is not None and counts > 2**self.bits - 1:
            raise UserError(
                f"{photons:g} photons give {counts:.0f} counts, but a camera of {self.bits} bits "
                f"ends at {2**self.bits - 1}; lower camera.gain or the photons, or raise "
                "camera.bits"
            )

    def counts(self, photons: NDArray[np.floating]) -> Volume:
        """Convert photons to counts without noise, float32."""
        counts = photons.astype(np.float32)
        counts *= np.float32(self.gain)
        counts += np.float32(self.offset)
        return counts

    def expose(self, photons: NDArray[np.floating], rng: np.random.Generator) -> Volume:
        """Draw one image of `photons` (expected, ≥ 0): Poisson and read noise, counts, float32."""
        counts = self.unrounded(photons, rng)
        if self.bits is not None:
            np.clip(np.rint(counts, out=counts), 0, 2**self.bits - 1, out=counts)
        return counts

    def unrounded(self, photons: NDArray[np.floating], rng: np.random.Generator) -> Volume:
        """Draw one image as `expose` does, before the converter rounds and clips it."""
        counts = rng.standard_normal(photons.shape, dtype=np.float32)
        counts *= np.float32(self.read_noise)
        counts += poisson(photons.astype(np.float32, copy=False), rng)
        if self.correlation:
            counts = photons + correlated(counts - photons, self.correlation)
        counts *= np.float32(self.gain)
        counts += np.float32(self.offset)
        return counts


def correlated(white: Volume, correlation: tuple[tuple[float, ...], ...]) -> Volume:
    """Correlate white noise between neighbours and keep its variance.

    Parameters
    ----------
    white
        Noise (Z, Y, X) whose variance changes little from voxel to voxel.
    correlation
        Of neighbours 1, 2, … voxels away along Z, Y, X; of a diagonal the product.

    Returns
    -------
    array of float32, (Z, Y, X)
        Circular: opposite faces are neighbours.
    """
    spectrum = scipy.fft.rfftn(white.astype(np.float32, copy=False))
    for axis, (curve, size) in enumerate(zip(correlation, white.shape, strict=True)):
        power = np.maximum(noise_power(curve, size), 0)
        root = np.sqrt(power / power.mean()).astype(np.float32)[: spectrum.shape[axis]]
        spectrum *= np.expand_dims(root, [a for a in range(white.ndim) if a != axis])
    noise: Volume = scipy.fft.irfftn(spectrum, white.shape).astype(np.float32, copy=False)
    return noise


@dataclass(frozen=True, eq=False)
class Exposure:
    """An object and its images, all in counts, (Z, Y, X) float32.

    Attributes
    ----------
    object
        gain · (s · object + background) + offset, so that image = object ⊗ PSF + noise.
    images
        Independent noise draws of one expected image.
    """

    object: Volume
    images: tuple[Volume, ...]


def margins(psf: Volume) -> Shape:
    """Return the margin (Z, Y, X) of an object beyond each face, in voxels: the PSF's half-widths.

    A widefield PSF has no end along z; `optics.theory` defines where it is cut. A PSF and margin
    twice as large would add about as much light again, but with little structure (measured at NA
    1.2 in six fields of `rln_mixed`: 0.6 to 1.4 times the mean, 0.06 to 0.26 times the standard
    deviation): it is part of the background.
    """
    if psf.ndim != 3 or any(length % 2 == 0 for length in psf.shape):
        raise ValueError(f"a PSF must have three odd sizes (Z, Y, X), not {psf.shape}")
    z, y, x = psf.shape
    return z // 2, y // 2, x // 2


def blur(volume: Volume, *, psf: Volume) -> Volume:
    """Convolve with a PSF where no voxel beyond the volume is needed.

    Parameters
    ----------
    volume
        (Z, Y, X), at least as long as the PSF on every axis.
    psf
        (Z, Y, X), odd lengths, sum 1, centred.

    Returns
    -------
    array of float32, (Z, Y, X)
        Smaller than `volume` by `margins(psf)` at each face. The transforms are circular, but
        wrapped values are in the part that is cut off. Negative values from rounding are set to 0.
    """
    if any(length < width for length, width in zip(volume.shape, psf.shape, strict=True)):
        raise ValueError(f"a volume of {volume.shape} is smaller than the PSF's {psf.shape}")
    size = [scipy.fft.next_fast_len(length, real=True) for length in volume.shape]
    z, y, x = (slice(w - 1, n) for w, n in zip(psf.shape, volume.shape, strict=True))
    spectrum = scipy.fft.rfftn(volume.astype(np.float32, copy=False), size)
    spectrum *= _transfer(psf.astype(np.float32, copy=False).tobytes(), psf.shape, tuple(size))
    # Axis by axis, the result is cut early, which saves a third of the time.
    spectrum = scipy.fft.ifft(spectrum, axis=0, overwrite_x=True)[z]
    spectrum = scipy.fft.ifft(spectrum, axis=1)[:, y]
    full = scipy.fft.irfft(spectrum, size[2], axis=2)[:, :, x]
    return np.maximum(full, np.float32(0))  # a contiguous copy


@lru_cache(maxsize=1)
def _transfer(psf: bytes, shape: Shape, size: Shape) -> NDArray[np.complex64]:
    """Transform a PSF (float32), cached for the next volume; padded axis by axis."""
    kernel = scipy.fft.rfft(np.frombuffer(psf, np.float32).reshape(shape), size[2], axis=2)
    kernel = scipy.fft.fft(kernel, size[1], axis=1, overwrite_x=True)
    transfer: NDArray[np.complex64] = scipy.fft.fft(kernel, size[0], axis=0, overwrite_x=True)
    return transfer


def brightest_mean(volume: Volume) -> float:
    """Average the brightest 0.1 % of the voxels (at least one)."""
    count = max(1, round(BRIGHTEST * volume.size))
    top = np.partition(volume, volume.size - count, axis=None)[volume.size - count :]
    return float(top.mean(dtype=np.float64))


def form_image(
    structure: Volume,
    *,
    psf: Volume,
    photons: float,
    background_photons: float,
    camera: SimulatedCamera,
    rng: np.random.Generator,
    draws: int = 1,
    finer: Shape = (1, 1, 1),
) -> Exposure:
    """Image an object: μ = s · (object ⊗ PSF) + background, Poisson and read noise, counts.

    The scale s is such that the brightest 0.1 % of the voxels of the *blurred* object, in the
    part that is kept and without the background, have a mean of `photons`, since the light at the
    camera determines the noise.

    Parameters
    ----------
    structure
        Object without background, ≥ 0, (Z, Y, X), reaching `margins(psf)` beyond each face of
        the image: light from outside the field of view is part of the image.
    psf
        (Z, Y, X) float32, odd lengths, sum 1, centred.
    photons
        The dose.
    background_photons
        Photons of a uniform background.
    camera
        The camera.
    rng
        Source of the noise.
    draws
        Independent images of the same object; the first does not depend on their number.
    finer
        Voxels of the object and the PSF per voxel of the image (Z, Y, X), odd along Z. A pixel of
        the camera averages over its area, and a plane of the image lies in the middle of its
        object planes. The object of the result is averaged over the image's voxels.

    Returns
    -------
    Exposure
        Object and images in counts, without the margins.

    Raises
    ------
    UserError
        If the image would have no light.
    ValueError
        If the PSF has an even length or another sum than 1, or does not fit into the object, or
        `finer` is even along Z.
    """
    if finer[0] % 2 == 0:
        raise ValueError(f"an odd number of object planes per plane is needed, not {finer[0]}")
    if abs(float(psf.sum(dtype=np.float64)) - 1) > 1e-3:
        raise ValueError(f"a PSF has the sum 1, not {psf.sum(dtype=np.float64):g}")
    inner = tuple(
        slice(margin, length - margin)
        for margin, length in zip(margins(psf), structure.shape, strict=True)
    )
    expected = blur(structure, psf=psf)
    truth = structure[inner]
    if finer != (1, 1, 1):
        expected = average(expected[finer[0] // 2 :: finer[0]], (1, *finer[1:]))
        truth = average(truth, finer)
    brightest = brightest_mean(expected)
    if not brightest > 0:
        raise UserError(
            "the phantom has no light in a field of "
            f"{' × '.join(map(str, expected.shape))} voxels; give it a larger shape"
        )
    scale, background = np.float32(photons / brightest), np.float32(background_photons)
    expected *= scale
    expected += background
    truth = scale * truth + background
    return Exposure(
        object=camera.counts(truth),
        images=tuple(camera.expose(expected, rng) for _ in range(draws)),
    )


def truth_blur_um(psf: Volume, voxel_size_um: VoxelSize, sharper: float) -> VoxelSize:
    """Return the σ (Z, Y, X), in µm, that makes the image `sharper` times as blurred as the truth.

    The resolution test of Chen et al. (Nature Methods 2021) blurs one object twice, the input 2, 3
    or 4 times as much as the truth. Here the image is the truth ⊗ PSF, and variances add: a truth
    of width w has an image of width √(w² + w_PSF²) = sharper · w for w = w_PSF / √(sharper² - 1).

    Parameters
    ----------
    psf
        Axes Z Y X.
    voxel_size_um
        Its voxel size (Z, Y, X), in µm.
    sharper
        Width of the image over that of the truth, above 1.
    """
    shrink = (sharper**2 - 1) ** -0.5 / (8 * np.log(2)) ** 0.5
    return triple(width * shrink for width in fwhm_um(psf, voxel_size_um))


def simulate(
    recipe: str,
    *,
    shape: Shape,
    psf: Volume,
    voxel_size_um: VoxelSize,
    photons: float,
    background_photons: float,
    camera: SimulatedCamera,
    rng: np.random.Generator,
    draws: int = 1,
    unit_um: float | None = None,
    own: Mapping[str, OwnObject] | None = None,
    finer: Shape = (1, 1, 1),
    change: Callable[[Volume, np.random.Generator], Volume] | None = None,
) -> Exposure:
    """Draw an object of `recipe` with its margins and image it; `shape` (Z, Y, X) is the image's.

    An object that leaves the field empty is drawn again. With `finer`, the PSF and its voxel size
    are those of the object's grid. `change` changes the drawn object. See `make_object` and
    `form_image` for the rest.

    Raises
    ------
    UserError
        If `TRIES` objects in a row leave the field empty, or as `make_object` and `form_image`.
    """
    around = margins(psf)
    fine = [n * f for n, f in zip(shape, finer, strict=True)]
    z, y, x = (n + 2 * margin for n, margin in zip(fine, around, strict=True))
    inner = tuple(slice(m, m + n) for m, n in zip(around, fine, strict=True))
    for _ in range(TRIES):
        structure = make_object(
            recipe, shape=(z, y, x), voxel_size_um=voxel_size_um, rng=rng, unit_um=unit_um, own=own
        )
        if structure[inner].max() > FAINT * structure.max():
            break
    else:
        raise UserError(
            f"the recipe {recipe!r} gave {TRIES} empty phantoms in a row in a field of "
            f"{' × '.join(map(str, shape))} voxels (Z, Y, X); give phantoms a larger shape"
        )
    if recipe in SHARPER_THAN_IMAGE:
        sigma = truth_blur_um(psf, voxel_size_um, SHARPER_THAN_IMAGE[recipe])
        structure = gaussian_filter(structure, np.divide(sigma, voxel_size_um), mode="nearest")
    if change is not None:
        structure = change(structure, rng)
    return form_image(
        structure,
        psf=psf,
        photons=photons,
        background_photons=background_photons,
        camera=camera,
        rng=rng,
        draws=draws,
        finer=finer,
    )
