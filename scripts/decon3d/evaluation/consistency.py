"""The consistency of a restoration with its raw image, voxel by voxel, in units of the noise.

The restored volume is blurred again by the PSF and compared with the raw data:

    z = k ⊗ (g - α Hx - β) / √(c Σ k² σ² + (k ⊗ e)²),    e² = (ε α Hx)² + (u L)²

g are the raw counts, x the restored ones, H the blur; k is a Gaussian as wide as the PSF, and c
what the noise's correlation adds to the variance of a sum (`noise.Noise.excess`). α and β are the
same for a whole volume. ε is the error that the PSF is allowed, u the share of a voxel's light that
comes from where nothing was restored (beyond the volume's faces, voxels without data), and L the
brightest light around it, which may be there as well. Hx is of the light above the background,
which no PSF can misplace. Light that is completely absent from the data has z = -1 / ε at most.

z < 0 where the restoration has light that the data contradict (invented), z > 0 where the data have
light that the restoration lacks (missed). The map cannot see anything that the blur removes (see
`not_verifiable`) or that is below ε of bright surroundings. A consistent restoration need not be
true; a slightly sharpened raw image is consistent, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d, maximum_filter

from decon3d.blocks.geometry import triple
from decon3d.classical.operators import Blur, Shape
from decon3d.evaluation.noise import Noise
from decon3d.optics.psf import Psf, fwhm_um, half_width

FloatArray = NDArray[np.float32]

EPSILON = 0.05
"""Relative error of the re-blurred light that is attributed to the PSF."""
THRESHOLD = 5.0
"""|z| from which a voxel is flagged: by chance alone, one in two million."""
STEP = 32
"""Values of z are rounded to 1 / STEP, which reduces the size on disk to a fifth."""
LEAST_SEEN = 0.1
"""Share of a voxel's light that must come from restored voxels for Hx to be scaled up to it."""
SIGMA = (8 * np.log(2)) ** -0.5
"""Standard deviation of a Gaussian of full width at half maximum 1."""
FIT_VOXELS = 200_000
"""Largest number of voxels of each sample in the fit of α and β."""
FIT_SEEN = 0.1
"""Largest share of unseen light in the fit."""
HUBER = 3.0
"""Deviation, in units of the expected one, above which voxels get less weight in the fit."""
ALPHA_ERROR = 0.1
"""Largest standard error at which a fitted α is used."""
BYTES_PER_VOXEL = 60.0
"""Memory per voxel of a padded block; measured, see the bench."""


@dataclass(frozen=True)
class Scale:
    """The model of the raw counts: background + α · (blurred light above background) + β."""

    alpha: float
    beta: float
    """In counts."""
    fitted: bool
    """False if the sample has too little light for α, which is then 1."""


class Checker:
    """Computes the consistency of blocks.

    Parameters
    ----------
    psf
        The channel's, for all methods.
    noise
        Of the raw counts.
    background
        Mean counts of an empty place, camera offset included.
    epsilon
        Relative error that the PSF is allowed.
    threads
        Threads of the transforms.

    Attributes
    ----------
    reach
        Voxels (Z, Y, X) over which k smooths.
    halo
        Voxels (Z, Y, X) around a voxel on which its z depends.
    kernels
        k along Z, Y, X; each sums to 1.
    """

    def __init__(
        self,
        *,
        psf: Psf,
        noise: Noise,
        background: float,
        epsilon: float = EPSILON,
        threads: int = 1,
    ) -> None:
        self.psf = psf
        self.noise = noise
        self.background = background
        self.epsilon = epsilon
        self.kernels = smoothing_kernels(psf)
        self.excess = noise.excess(self.kernels)
        self._half = half_width(psf)
        self.reach = triple(len(k) // 2 for k in self.kernels)
        self.halo = triple(h + r for h, r in zip(self._half, self.reach, strict=True))
        self._threads = threads
        self._blur: Blur | None = None

    def blurred(
        self, restored: NDArray[Any], seen: NDArray[np.bool_]
    ) -> tuple[FloatArray, FloatArray | None]:
        """Blur the light above the background again.

        Parameters
        ----------
        restored
            Counts (Z, Y, X), the PSF's half-width more on each side than the result.
        seen
            Where they have data; other voxels are ignored.

        Returns
        -------
        light, unseen
            Blurred counts above background, scaled up where a part of the light is missing; and the
            share of each voxel's light from unseen voxels (None = none anywhere).
        """
        light = np.where(seen, restored - np.float32(self.background), np.float32(0))
        shape = triple(n - 2 * h for n, h in zip(light.shape, self._half, strict=True))
        model = self._model(shape)
        blurred = model.forward(light.astype(np.float32, copy=False))
        if seen.all():
            return blurred, None
        share = np.clip(model.forward(seen.astype(np.float32)), LEAST_SEEN, 1)
        blurred /= share
        return blurred, 1 - share

    def _model(self, shape: Shape) -> Blur:
        if self._blur is None or self._blur.shape != shape:
            self._blur = Blur(shape, psf=self.psf.data, threads=self._threads)
        return self._blur

    def _around(self, raw: NDArray[Any], seen: NDArray[np.bool_]) -> FloatArray:
        """Find the brightest light around each voxel; unseen objects may be as bright."""
        light = np.where(seen, raw - np.float32(self.background), np.float32(0))
        for axis, kernel in enumerate(self.kernels):
            light = convolve1d(light, kernel, axis=axis, mode="nearest")
        # Within the halo only, so that the result does not depend on the tiling.
        size = [2 * (h - r) + 1 for h, r in zip(self._half, self.reach, strict=True)]
        return maximum_filter(light, size=size, mode="nearest")

    def predicted(self, light: FloatArray, scale: Scale) -> FloatArray:
        """Return the counts that re-blurred light should have given."""
        return np.float32(scale.alpha) * light + np.float32(scale.beta + self.background)

    def z(self, raw: NDArray[Any], restored: NDArray[Any], scale: Scale) -> FloatArray:
        """Compare a block with its raw counts.

        Parameters
        ----------
        raw, restored
            Counts (Z, Y, X) of the same region, with `halo` around the result; NaN in `raw` is no
            data, or beyond the volume.

        Returns
        -------
        array (Z, Y, X)
            z of the block without its halo, rounded to 1 / 32; NaN where the raw image has no data.
        """
        seen = ~np.isnan(raw)
        light, unseen = self.blurred(restored, seen)
        inner = tuple(slice(h, n - h) for h, n in zip(self._half, raw.shape, strict=True))
        counts, valid = raw[inner].astype(np.float32, copy=False), seen[inner]
        whole = bool(valid.all())
        model = self.predicted(light, scale)
        # Data and model together give the expected counts. The model alone would cover invented
        # light by its own shot noise; the data alone would overrate their own dark outliers.
        variance = self.noise.variance((counts + model) / 2)
        difference = counts - model
        if not whole:
            variance[~valid] = 0
            difference = np.where(valid, difference, np.float32(0))
        doubt = np.abs(light, out=light)
        doubt *= np.float32(abs(scale.alpha))
        if unseen is None:
            doubt *= np.float32(self.epsilon)
        else:
            around = np.maximum(self._around(raw, seen)[inner], doubt)
            doubt = np.hypot(np.float32(self.epsilon) * doubt, unseen * around)
            doubt[~valid] = 0
        squares = [np.square(k) for k in self.kernels]
        total = np.float32(self.excess) * smooth(variance, squares)
        total += np.square(smooth(doubt, self.kernels))
        result = smooth(difference, self.kernels)
        result /= np.sqrt(np.maximum(total, np.float32(1e-12)))
        result *= STEP
        np.rint(result, out=result)
        result /= STEP
        if not whole:
            kept = tuple(slice(r, n - r) for r, n in zip(self.reach, valid.shape, strict=True))
            result[~valid[kept]] = np.nan
        return result

    def fit(self, samples: Sequence[tuple[FloatArray, FloatArray]]) -> Scale:
        """Find α and β of a volume.

        Weighted least squares, in which voxels that deviate by more than three times the expected
        deviation get less weight (Huber 1964), so that invented light does not bias the scale.

        Parameters
        ----------
        samples
            From `voxels`, for some regions of the volume.
        """
        light, counts = (np.concatenate([s[i] for s in samples]) for i in range(2))
        if not light.size:
            return Scale(1.0, 0.0, False)
        above = counts - self.background
        alpha, beta, error = 1.0, float(np.median(above - light)), np.inf
        for _ in range(5):
            model = alpha * light + beta
            variance = self.noise.variance(model + self.background)
            variance = variance + np.square(self.epsilon * alpha * light)
            deviation = np.abs(above - model) / np.sqrt(variance)
            weight = np.minimum(1, HUBER / np.maximum(deviation, 1e-6)) / variance
            centre_light, centre = (float(np.average(v, weights=weight)) for v in (light, above))
            spread = float(np.sum(weight * np.square(light - centre_light), dtype=np.float64))
            if not spread > 0:
                break
            error = 1 / sqrt(spread)
            slope = np.sum(weight * (light - centre_light) * (above - centre), dtype=np.float64)
            alpha = float(slope) / spread
            beta = centre - alpha * centre_light
            if not (alpha > 0 and error < ALPHA_ERROR):
                break
        if alpha > 0 and error < ALPHA_ERROR:
            return Scale(alpha, beta, True)
        return Scale(1.0, float(np.median(above - light)), False)

    def voxels(self, raw: NDArray[Any], restored: NDArray[Any]) -> tuple[FloatArray, FloatArray]:
        """Choose voxels of a region for `fit`: their re-blurred light and raw counts.

        Parameters
        ----------
        raw, restored
            Counts (Z, Y, X), with the PSF's half-width around the region; NaN in `raw` is no data.
        """
        seen = ~np.isnan(raw)
        light, unseen = self.blurred(restored, seen)
        inner = tuple(slice(h, n - h) for h, n in zip(self._half, raw.shape, strict=True))
        used = seen[inner]
        if unseen is not None and (used & (unseen < FIT_SEEN)).any():
            used = used & (unseen < FIT_SEEN)
        step = max(1, int(np.count_nonzero(used)) // FIT_VOXELS)
        return light[used][::step], raw[inner][used][::step].astype(np.float32)

    def whole(
        self, raw: NDArray[Any], restored: NDArray[Any], scale: Scale | None = None
    ) -> tuple[FloatArray, Scale]:
        """Compare a whole volume (Z, Y, X) in memory; NaN in `raw` is no data."""
        around = [(h, h) for h in self._half]
        if scale is None:
            scale = self.fit([self.voxels(beyond(raw, around), beyond(restored, around))])
        wide = [(h, h) for h in self.halo]
        return self.z(beyond(raw, wide), beyond(restored, wide), scale), scale


def width_voxels(psf: Psf) -> tuple[float, float, float]:
    """Return the PSF's full widths at half maximum (Z, Y, X), in voxels."""
    widths = fwhm_um(psf.data, psf.voxel_size_um)
    return triple(w / v for w, v in zip(widths, psf.voxel_size_um, strict=True))


def smoothing_kernels(psf: Psf) -> list[FloatArray]:
    """Make k: a Gaussian as wide as the PSF along Z, Y, X, no longer than the PSF."""
    kernels = []
    for width, half in zip(width_voxels(psf), half_width(psf), strict=True):
        sigma = max(SIGMA * width, 0.5)
        radius = min(ceil(3 * sigma), half)
        kernel = np.exp(-0.5 * np.square(np.arange(-radius, radius + 1) / sigma))
        kernels.append((kernel / kernel.sum()).astype(np.float32))
    return kernels


def smooth(values: FloatArray, kernels: Sequence[FloatArray]) -> FloatArray:
    """Convolve along Z, Y, X; the result is smaller by the kernels' half-widths on each side."""
    for axis, kernel in enumerate(kernels):
        reach = len(kernel) // 2
        values = convolve1d(values, kernel, axis=axis, mode="nearest")
        kept: list[slice] = [slice(None)] * 3
        kept[axis] = slice(reach, values.shape[axis] - reach)
        values = values[tuple(kept)]
    return values


def beyond(values: NDArray[Any], around: Sequence[tuple[int, int]]) -> FloatArray:
    """Surround a block (Z, Y, X) by voxels without data."""
    counts: FloatArray = values.astype(np.float32, copy=False)
    return np.pad(counts, around, constant_values=np.nan) if np.any(around) else counts
