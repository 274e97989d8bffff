"""Images of known objects by known cameras, to hold what is measured in them against."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, gaussian_filter

from decon3d.optics.psf import Psf
from decon3d.phantoms.imaging import blur, brightest_mean, margins
from decon3d.phantoms.poisson import poisson
from decon3d.phantoms.recipes import make_object
from support.gaussians import gaussian_psf

VOXEL_UM = (0.2, 0.1, 0.1)


@dataclass(frozen=True)
class Device:
    """A camera; `correlation` is the share of the next voxel along X, as deskewing mixes them."""

    gain: float
    offset: float
    read_noise: float
    bits: int | None = None
    correlation: float = 0.0

    @property
    def left(self) -> float:
        """Share of the noise variance that mixing leaves."""
        return self.correlation**2 + (1 - self.correlation) ** 2

    @property
    def slope(self) -> float:
        """Variance of the counts per count of light."""
        return self.gain * self.left

    @property
    def dark_level(self) -> float:
        """Counts at which the variance would be 0."""
        return self.offset - self.gain * self.read_noise**2

    def expose(
        self, photons: NDArray[np.floating], rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Take an image of expected photons, in counts."""
        noise = rng.normal(0, self.read_noise, photons.shape)
        counts = self.gain * (poisson(photons.astype(np.float32), rng) + noise) + self.offset
        if self.correlation:
            counts = correlate1d(counts, [self.correlation, 1 - self.correlation, 0.0], axis=2)
        if self.bits is not None:
            counts = np.clip(np.rint(counts), 0, 2**self.bits - 1)
        return counts.astype(np.float32)


def long_psf(sigma: float) -> Psf:
    """Return a Gaussian PSF of `sigma` voxels along Y and X, 1.5 times as long along Z."""
    widths = (1.5 * sigma, sigma, sigma)
    return Psf(gaussian_psf([2 * int(3 * w) + 3 for w in widths], widths), VOXEL_UM)


def expected_photons(
    kind: str,
    *,
    psf: Psf,
    photons: float,
    background: float,
    rng: np.random.Generator,
    shape: tuple[int, int, int] = (32, 96, 96),
    inside: bool = False,
) -> NDArray[np.float32]:
    """Blur an object of a recipe, or `smooth`; its brightest 0.1 % have `photons`.

    Parameters
    ----------
    inside
        Whether the object ends before the faces, so that all of its light is in the image.
    """
    around = margins(psf.data)
    z, y, x = (n + 2 * m for n, m in zip(shape, around, strict=True))
    if kind == "smooth":
        field = gaussian_filter(rng.normal(size=(z, y, x)), (3, 6, 6))
        structure = np.square(field - field.min()).astype(np.float32)
    else:
        structure = make_object(kind, shape=(z, y, x), voxel_size_um=VOXEL_UM, rng=rng)
    if inside:
        for axis, margin in enumerate(around):
            place = np.arange(structure.shape[axis])
            beyond = np.minimum(place, place[::-1]) < 2 * margin
            structure[tuple(beyond if a == axis else slice(None) for a in range(3))] = 0
    light = blur(structure, psf=psf.data)
    return light * np.float32(photons / brightest_mean(light)) + np.float32(background)
