"""Image formation: an object through a PSF onto a camera. Axis order Z Y X."""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from decon3d import settings
from decon3d.errors import UserError
from decon3d.phantoms.objects import Shape, Volume, VoxelSize
from decon3d.phantoms.recipes import make_object

ASSUMED_OFFSET = 100.0
ASSUMED_GAIN = 1.0
ASSUMED_READ_NOISE = 1.0

BRIGHTEST = 0.001
"""Share of the voxels whose mean is the dose of photons."""


@dataclass(frozen=True)
class Camera:
    """A camera in numbers: counts = gain · (photons + N(0, read_noise²)) + offset."""

    offset: float = ASSUMED_OFFSET
    gain: float = ASSUMED_GAIN
    read_noise: float = ASSUMED_READ_NOISE

    @classmethod
    def of(cls, camera: settings.Camera) -> "Camera":
        """Take a config's camera; what it leaves open is assumed as this module says."""
        return cls(
            offset=ASSUMED_OFFSET if camera.offset is None else camera.offset,
            gain=ASSUMED_GAIN if camera.gain is None else camera.gain,
            read_noise=ASSUMED_READ_NOISE if camera.read_noise is None else camera.read_noise,
        )

    def counts(self, photons: NDArray[np.floating]) -> Volume:
        """Convert photons to counts without noise, float32."""
        counts = photons.astype(np.float32)
        counts *= np.float32(self.gain)
        counts += np.float32(self.offset)
        return counts

    def expose(self, photons: NDArray[np.floating], rng: np.random.Generator) -> Volume:
        """Draw one image of `photons` (expected, ≥ 0): Poisson and read noise, counts, float32."""
        drawn = rng.standard_normal(photons.shape, dtype=np.float32)
        drawn *= np.float32(self.read_noise)
        drawn += rng.poisson(photons).astype(np.float32)
        return self.counts(drawn)


@dataclass(frozen=True, eq=False)
class Exposure:
    """An object and its images, all in counts, (Z, Y, X) float32."""

    object: Volume
    """gain · (s · object + background) + offset, so that image = object ⊗ PSF + noise."""
    images: tuple[Volume, ...]
    """Independent noise draws of one expected image."""


def margins(psf: Volume) -> Shape:
    """Return the voxels (Z, Y, X) that an object must reach beyond each face: the half-widths."""
    if psf.ndim != 3 or any(length % 2 == 0 for length in psf.shape):
        raise ValueError(f"a PSF has three odd lengths (Z, Y, X), not {psf.shape}")
    z, y, x = psf.shape
    return z // 2, y // 2, x // 2


def blur(volume: Volume, *, psf: Volume) -> Volume:
    """Convolve with a PSF where no voxel from beyond the volume is needed.

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
        what wraps lies in the part cut off. Values that rounding made negative are 0.
    """
    if any(length < width for length, width in zip(volume.shape, psf.shape, strict=True)):
        raise ValueError(f"a volume of {volume.shape} is smaller than the PSF's {psf.shape}")
    size = [scipy.fft.next_fast_len(length, real=True) for length in volume.shape]
    spectrum = scipy.fft.rfftn(volume.astype(np.float32, copy=False), size)
    spectrum *= scipy.fft.rfftn(psf.astype(np.float32, copy=False), size)
    full = scipy.fft.irfftn(spectrum, size, overwrite_x=True)
    valid = tuple(
        slice(width - 1, length) for length, width in zip(volume.shape, psf.shape, strict=True)
    )
    return np.maximum(full[valid], np.float32(0))  # a contiguous copy: `full` is freed


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
    camera: Camera,
    rng: np.random.Generator,
    draws: int = 1,
) -> Exposure:
    """Image an object: μ = s · (object ⊗ PSF) + background, Poisson and read noise, counts.

    The scale s is such that the brightest 0.1 % of the voxels of the *blurred* object, in the
    part that is kept and without the background, have a mean of `photons`: it is the light that
    the camera sees there that sets the noise.

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
        Photons of an even background.
    camera
        What becomes of the photons.
    rng
        Source of the noise.
    draws
        Independent images of the same object; the first does not depend on their number.

    Returns
    -------
    Exposure
        Object and images in counts, the margins cut off.

    Raises
    ------
    UserError
        If the image would be dark.
    ValueError
        If the PSF has an even length or another sum than 1, or does not fit into the object.
    """
    if abs(float(psf.sum(dtype=np.float64)) - 1) > 1e-3:
        raise ValueError(f"a PSF has the sum 1, not {psf.sum(dtype=np.float64):g}")
    inner = tuple(
        slice(margin, length - margin)
        for margin, length in zip(margins(psf), structure.shape, strict=True)
    )
    expected = blur(structure, psf=psf)
    brightest = brightest_mean(expected)
    if not brightest > 0:
        raise UserError(
            "the phantom has no light in a field of "
            f"{' × '.join(map(str, expected.shape))} voxels: give it a larger shape"
        )
    scale, background = np.float32(photons / brightest), np.float32(background_photons)
    expected *= scale
    expected += background
    truth = scale * structure[inner] + background
    return Exposure(
        object=camera.counts(truth),
        images=tuple(camera.expose(expected, rng) for _ in range(draws)),
    )


def simulate(
    recipe: str,
    *,
    shape: Shape,
    psf: Volume,
    voxel_size_um: VoxelSize,
    photons: float,
    background_photons: float,
    camera: Camera,
    rng: np.random.Generator,
    draws: int = 1,
) -> Exposure:
    """Draw an object of `recipe` with its margins and image it; `shape` (Z, Y, X) is the image's.

    See `make_object` and `form_image` for the rest.
    """
    z, y, x = (n + 2 * margin for n, margin in zip(shape, margins(psf), strict=True))
    structure = make_object(recipe, shape=(z, y, x), voxel_size_um=voxel_size_um, rng=rng)
    return form_image(
        structure,
        psf=psf,
        photons=photons,
        background_photons=background_photons,
        camera=camera,
        rng=rng,
        draws=draws,
    )
