"""A simulated instrument that takes a low and a high exposure of one specimen, one after the other.

The stage drifts between the two, each has its own flat field, gain, offset and read noise, the
high one is taken first and bleaches the specimen, and both bleach on their way through the stack.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, shift


@dataclass(frozen=True)
class Instrument:
    """What differs between the two exposures."""

    drift: tuple[float, float, float] = (0.4, -1.3, 2.2)
    """Voxels (Z, Y, X) by which the specimen lies further in the high exposure."""
    bleached: float = 0.8
    """Light that the high exposure leaves to the low one."""
    bleaching: float = 0.25
    """Share that the low exposure loses from its first to its last plane; the high one half."""
    vignetting: float = 0.2
    """Share that the low exposure loses in the corners; the high one loses it along X."""

    def pair(self, light, *, photons, seed=0):
        """Take the exposures of a specimen (Z Y X, 0 … 1, with 4 voxels of margin).

        Returns
        -------
        low, high, factor
            Counts (uint16), and true ratio of the light of low to that of high, 1 in the middle.
        """
        rng = np.random.default_rng(seed)
        inner = (slice(4, -4),) * 3
        z, y, x = np.meshgrid(
            *(np.linspace(-1, 1, n - 8) for n in light.shape), indexing="ij", sparse=True
        )
        low_field = np.exp(np.log(1 - self.bleaching) * (z + 1) / 2)
        low_field = low_field * (1 - self.vignetting * (y**2 + x**2) / 2)
        high_field = np.exp(np.log(1 - self.bleaching / 2) * (z + 1) / 2)
        high_field = high_field * (1 + self.vignetting * x / 2)
        low = photons * self.bleached * light[inner] * low_field
        high = 20 * photons * shift(light, self.drift, order=3)[inner].clip(0) * high_field
        counts = [
            gain * (rng.poisson(values) + rng.normal(0, noise, values.shape)) + offset
            for values, gain, noise, offset in ((low, 2.2, 1.6, 100), (high, 0.5, 2.5, 50))
        ]
        images = [np.clip(np.rint(c), 0, 65535).astype(np.uint16) for c in counts]
        ratio = low_field / high_field
        middle = tuple(n // 2 for n in ratio.shape)
        return *images, ratio / ratio[middle]


def specimen(shape, seed=0):
    """Draw blurred spots (Z Y X, 0 … 1), with 4 voxels of margin beyond `shape`."""
    rng = np.random.default_rng(seed)
    light = gaussian_filter(rng.random([n + 8 for n in shape]) ** 20, (1, 1.5, 1.5))
    return light / light.max()
