"""A camera whose pixels differ, as those of an sCMOS camera do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from decon3d.phantoms.grids import Volume
from decon3d.phantoms.imaging import SimulatedCamera
from decon3d.seeds import generator

LEAST_GAIN = 0.5
"""Smallest sensitivity of a pixel, relative to the mean."""


@dataclass(frozen=True)
class PatternedCamera(SimulatedCamera):
    """A simulated camera with a fixed pattern along Y and X, the same in every plane.

    Attributes
    ----------
    offset_spread
        Standard deviation of the pixels' offsets, in counts; half of the variance is shared by
        the pixels of a column.
    gain_spread
        Standard deviation of the pixels' sensitivities, relative to the mean.
    noisy
        Share of the pixels whose read noise is five times as large.
    pattern_seed
        Seed of the pattern.
    """

    offset_spread: float = 0.0
    gain_spread: float = 0.0
    noisy: float = 0.0
    pattern_seed: int = 0

    def unrounded(self, photons: NDArray[np.floating], rng: np.random.Generator) -> Volume:
        """Draw one image of `photons` (Z, Y, X; expected, ≥ 0) in counts, float32."""
        if not (self.offset_spread or self.gain_spread or self.noisy):
            return super().unrounded(photons, rng)
        _, y, x = photons.shape
        pattern = generator(self.pattern_seed, "pattern")
        columns = pattern.standard_normal(x, dtype=np.float32)
        pixels = pattern.standard_normal((y, x), dtype=np.float32)
        offset = np.float32(self.offset_spread * 0.5**0.5) * (columns + pixels)
        gain = 1 + np.float32(self.gain_spread) * pattern.standard_normal((y, x), dtype=np.float32)
        noisy = pattern.random((y, x), dtype=np.float32) < self.noisy
        counts = super().unrounded(photons * np.maximum(gain, np.float32(LEAST_GAIN)), rng)
        more = noisy * np.float32(self.gain * self.read_noise * 24**0.5)  # 5² = 1 + 24
        counts += offset + more * rng.standard_normal(photons.shape, dtype=np.float32)
        return counts
