"""Coarse to fine: Richardson-Lucy on binned data, then a few iterations on the full grid.

N iterations run on data binned 2 x 2 x 2, where one costs an eighth; then N / 3 to N / 2 on the
full grid, from the coarse estimate, interpolated linearly. They restore what the coarse grid cannot
hold, and their number grows with the share of the image's frequencies beyond it.

The sum of Poisson counts is Poisson, so binned counts have the same model, with the PSF that is
integrated over the voxels of the coarse grid, in the image and in the object alike.

The iterations on the full grid start with the momentum of iteration N / 2, and the first ones are
over-relaxed (`EXPONENTS`). The coarse grid holds the low frequencies already, and the eigenvalues
of high ones are small: longer steps are stable. Quality and noise are then those of N accelerated
iterations on the full grid. A back projector that amplifies high frequencies, conj(OTF) c / (1 +
(c - 1) |OTF|²), does not replace these iterations: with c = 4, it gains as much in two iterations
as these do in four, but diverges on bright points and lines after four.

With total variation, λ is the same per coarse voxel, which makes the coarse estimate smoother.

The coarse grid is aligned with the volume, not with the block: blocks fit together. A coarse voxel
that lies partly beyond the image counts by the part inside.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from decon3d.blocks.geometry import triple
from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import FloatArray, Observation, observe, steps
from decon3d.optics.psf import fwhm_um

NARROWEST = 1.5
"""Full width at half maximum of a PSF, in voxels, below which an axis is not binned."""
SEEN = 0.02
"""|OTF| above which a frequency counts as seen."""
EXPONENTS = (2.0, 2.0, 4 / 3, 4 / 3, 4 / 3, 4 / 3, 1.2)
"""Of the factors of the iterations on the full grid. With momentum, 4/3 is the limit of stability
for low frequencies: with it, 50 iterations diverge on bright points; with 3 at first, 20 do."""


def iterate_coarse_to_fine(
    image: NDArray[np.generic],
    *,
    model: Blur,
    iterations: Iterable[int],
    origin: tuple[int, int, int],
    background: float,
    initial: float,
    voxel_size_um: Sequence[float],
    tv_weight: float = 0.0,
    saturation: float | None = None,
) -> Iterator[tuple[int, FloatArray]]:
    """Yield (number of iterations, estimate after so many) for each of the given numbers.

    Parameters
    ----------
    image, model, background, initial, voxel_size_um, tv_weight, saturation
        As for `richardson_lucy`.
    iterations
        Ascending numbers N of iterations on the coarse grid, from 1.
    origin
        The image's first voxel in the volume (Z, Y, X).

    Raises
    ------
    UserError
        As `richardson_lucy` does.
    """
    fine = observe(image, background=background, initial=initial, saturation=saturation)
    del image  # arrays are deleted as soon as they are not needed: a block may fill the memory
    grid = CoarseGrid(model, origin)
    fixed: dict[str, Any] = {"background": background, "initial": initial, "even_noise": True}
    coarse_voxel = [size * n for size, n in zip(voxel_size_um, grid.bins, strict=True)]
    coarse_steps = steps(
        grid.observation(fine),
        model=grid.model,
        start="data",
        tv_weight=tv_weight,
        voxel_size_um=coarse_voxel,
        **fixed,
    )
    share, numbers = grid.full_share, tuple(iterations)
    for number in numbers:
        estimate = next(estimate for done, estimate in coarse_steps if done == number)
        start = grid.refined(cast(FloatArray, estimate.base))
        if number == numbers[-1]:
            del coarse_steps, estimate, grid
        fine_steps = steps(
            fine,
            model=model,
            start=start,
            done=number // 2,
            exponents=EXPONENTS,
            tv_weight=tv_weight,
            voxel_size_um=voxel_size_um,
            **fixed,
        )
        last = max(1, round(share * number))
        *_, (_, result) = islice(fine_steps, last)
        del fine_steps, start  # whoever looks at the estimate needs the memory
        if number == numbers[-1]:
            del fine
        yield number, result


class CoarseGrid:
    """The grid of the coarse iterations for one image.

    Parameters
    ----------
    fine
        Model of the image.
    origin
        The image's first voxel in the volume (Z, Y, X).

    Attributes
    ----------
    bins
        Voxels of the image per voxel of the grid along Z, Y, X: 2, or 1 where the PSF is narrow.
    full_share
        Iterations on the full grid per iteration on this one.
    model
        Model of the binned image.
    """

    def __init__(self, fine: Blur, origin: tuple[int, int, int]) -> None:
        self.bins = bins_of(fine.psf)
        self.full_share = 1 / 3 + lost_share(fine.psf, self.bins) / 4
        self._fine = fine
        # Voxels of the image's first coarse voxel that lie before the image.
        self._before = [start % n for start, n in zip(origin, self.bins, strict=True)]
        shape = triple(
            -(-(before + size) // n)
            for before, size, n in zip(self._before, fine.shape, self.bins, strict=True)
        )
        self.model = Blur(
            shape,
            psf=binned_psf(fine.psf, self.bins),
            threads=fine.slabs.threads,
            device=fine.device,
        )

    def observation(self, fine: Observation) -> Observation:
        """Bin what is observed."""
        whole = self._fine.shape
        seen = self._mean(np.ones(whole, np.float32) if fine.seen is None else fine.seen)
        return Observation(
            counts=self._mean(fine.counts),
            seen=None if np.all(seen == 1) else seen,
            full=None if fine.full is None else self._mean(fine.full.astype(np.float32)) > 0,
        )

    def _mean(self, values: FloatArray) -> FloatArray:
        """Average values (Z Y X) over coarse voxels, with 0 beyond the image."""
        for axis, (n, before, size) in enumerate(
            zip(self.bins, self._before, self.model.shape, strict=True)
        ):
            if n == 1:
                continue
            beyond = [(0, 0)] * 3
            beyond[axis] = (before, n * size - before - values.shape[axis])
            padded = np.pad(values, beyond)
            values = _every_second(padded, axis, 0) + _every_second(padded, axis, 1)
            values *= np.float32(0.5)
        return values

    def refined(self, estimate: FloatArray) -> FloatArray:
        """Interpolate an estimate on the coarse domain linearly on the image's domain."""
        fine, xp = self._fine, self._fine.device.xp
        for axis, n in enumerate(self.bins):
            margin = n * self.model.inside[axis].start + self._before[axis]
            start = margin - fine.inside[axis].start
            if n == 2:
                estimate = _doubled(estimate, axis, xp)
            at = [slice(None)] * 3
            at[axis] = slice(start, start + fine.object_shape[axis])
            estimate = estimate[tuple(at)]
        return estimate.copy()


def _every_second(values: FloatArray, axis: int, first: int) -> FloatArray:
    at = [slice(None)] * 3
    at[axis] = slice(first, None, 2)
    return values[tuple(at)]


def _doubled(values: FloatArray, axis: int, xp: Any) -> FloatArray:
    """Interpolate linearly between centres of voxels twice as long; the outermost are repeated."""
    shape = list(values.shape)
    shape[axis] *= 2
    result: FloatArray = xp.empty(shape, np.float32)
    first, second = _every_second(result, axis, 0), _every_second(result, axis, 1)
    first[...] = values
    second[...] = values
    first *= np.float32(0.75)
    second *= np.float32(0.75)
    values = values * np.float32(0.25)
    behind, ahead = [slice(None)] * 3, [slice(None)] * 3
    behind[axis], ahead[axis] = slice(None, -1), slice(1, None)
    edge_low, edge_high = [slice(None)] * 3, [slice(None)] * 3
    edge_low[axis], edge_high[axis] = slice(0, 1), slice(-1, None)
    first[tuple(ahead)] += values[tuple(behind)]
    first[tuple(edge_low)] += values[tuple(edge_low)]
    second[tuple(behind)] += values[tuple(ahead)]
    second[tuple(edge_high)] += values[tuple(edge_high)]
    return result


def bins_of(psf: FloatArray) -> list[int]:
    """Return the voxels per coarse voxel along Z, Y, X: 2, or 1 where the PSF is narrow."""
    widths = fwhm_um(psf, (1.0, 1.0, 1.0))
    return [
        2 if size > 1 and width >= NARROWEST else 1
        for size, width in zip(psf.shape, widths, strict=True)
    ]


def lost_share(psf: FloatArray, bins: Sequence[int]) -> float:
    """Return the share of the frequencies in the image that the coarse grid does not hold."""
    lengths = [2 * n + 1 for n in psf.shape]
    held = np.ones((1, 1, 1), bool)
    for axis, (length, n) in enumerate(zip(lengths, bins, strict=True)):
        frequencies = fft.rfftfreq(length) if axis == 2 else fft.fftfreq(length)
        line = np.abs(frequencies) <= 0.5 / n
        held = held & np.expand_dims(line, [a for a in range(3) if a != axis])
    seen = np.abs(fft.rfftn(psf.astype(np.float64), lengths)) > SEEN
    counted = np.where(np.arange(seen.shape[2]) > 0, 2, 1)  # half of the spectrum is not stored
    return float((counted * (seen & ~held)).sum() / (counted * seen).sum())


def binned_psf(psf: FloatArray, bins: Sequence[int]) -> FloatArray:
    """Return the PSF between coarse voxels: light spread evenly over one, averaged over another.

    Parameters
    ----------
    psf
        Axes Z Y X, odd sizes, sum 1.
    bins
        1 or 2 along Z, Y, X.

    Returns
    -------
    array (Z Y X), float32
        Odd sizes, sum 1.
    """
    for axis, n in enumerate(bins):
        if n == 1:
            continue
        half = psf.shape[axis] // 2
        coarse_half = half // 2 + 1
        # Two voxels of light seen by two voxels: weights 1/2, 1, 1/2 at distances -1, 0, 1.
        beyond = [(0, 0)] * 3
        beyond[axis] = (2 * coarse_half + 1 - half,) * 2
        padded = np.pad(psf, beyond)
        length = padded.shape[axis]
        before, centre, after = (
            np.take(padded, range(first, length - 2 + first, 2), axis=axis) for first in (0, 1, 2)
        )
        psf = centre + np.float32(0.5) * (before + after)
    return psf
