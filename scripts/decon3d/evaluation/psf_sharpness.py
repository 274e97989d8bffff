"""Test whether an image is sharper than a PSF allows, so that the PSF is too wide.

An image that is sharper than the PSF cannot be object ⊗ PSF for any object, since objects are not
negative. The test (`sharper_than`) follows from Farkas' lemma. A pattern c with Hᵀc ≥ 0 has ⟨c, Hx⟩
≥ 0 for every object x ≥ 0, so that a significantly negative ⟨c, image⟩ refutes H. One half of the
photons gives the pattern: it is restored with a narrower PSF, and the expected image of that is
approximated by H as well as possible. At the optimum, the relative difference is such a pattern
(the Kuhn-Tucker conditions of Richardson-Lucy). The other half is tested. The same test of a PSF
that is 1.25 times as wide gives the scale: a right PSF has a small share of that sharpness. A PSF
that is not refuted need not be right: in volumes of 20 × 56 × 56 voxels of fine structure, 21 of 48
PSFs that were 25 % too wide were refuted (of widefield ones 1 of 12), and none of 100 right ones.

All lengths are µm, axes Z Y X.

Power depends on the number of photons: in four such volumes, half of what the workflow tests, 17 of
24 were refuted (of widefield ones 3 of 6), and none of 18 right ones of fine structure.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import centred
from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import unknown
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.resampling import resample
from decon3d.volumes.no_data import filled

FloatArray = NDArray[np.float32]
Interval = tuple[float, float, float]
"""Estimate, lower and upper end of its 95 % interval."""

ERROR = 1.25
"""Relative error of the width that the tests are made for."""
CORE = 2.2
"""Half-width of the part of the PSF that is tested, in FWHM. What lies beyond is smooth, and an
object of the same core can have it."""
BLOCK = (32, 64, 64)
"""Most voxels (Z, Y, X) of a block that are tested."""
ALTERNATIVE_STEPS = 8
"""Iterations of the narrower PSF: more of them fit the noise."""
PATTERN_STEPS = 150
"""Iterations towards the pattern c; after 40, Hᵀc ≥ 0 is too inexact at 2,000 photons."""
ROUGH_STEPS = 40
"""Iterations towards a first, rough pattern. It errs on the side of refuting the PSF, so a block
that it finds significantly less sharp needs no exact one."""
SIGNIFICANT = 2.5
"""Standard errors of the sharpness from which it counts."""
LEAST_SHARE = 0.15
"""… and the least share of the sharpness against a PSF 1.25 times as wide, both by the noise. In
20 × 56 × 56 voxels, right PSFs had up to 0.13, since Hᵀc ≥ 0 is not exact, and 25 % too wide ones
from 0.16 on."""
GROWTH = 1.74
"""Sharpness grows with this power of the logarithm of the PSF's width over the true one."""
CELL = (4, 8, 8)
"""Voxels (Z, Y, X) over which the scatter of the sharpness is measured."""
LEAST_SIZE = 5
"""Planes, rows and columns below which a block is left out."""


@dataclass(frozen=True)
class Sharpness:
    """The excess sharpness of an image relative to a PSF.

    Attributes
    ----------
    excess
        -⟨c, image⟩, summed over blocks.
    noise
        Its standard error by the noise of the photons.
    scatter
        Its standard error by the scatter between places: one hot pixel is no evidence.
    """

    excess: float
    noise: float
    scatter: float

    @property
    def by_noise(self) -> float:
        """Standard errors of the noise."""
        return self.excess / self.noise if self.noise > 0 else 0.0

    @property
    def significance(self) -> float:
        """Standard errors, of the larger kind."""
        worst = max(self.noise, self.scatter)
        return self.excess / worst if worst > 0 else 0.0


Halves = tuple[FloatArray, FloatArray, NDArray[np.bool_] | None]


def sharper_than(halves: Sequence[Halves], *, psf: Psf, threads: int = 1) -> Sharpness:
    """Measure by how much images are sharper than a PSF allows.

    Parameters
    ----------
    halves
        Of each block: two independent images in photons (Z, Y, X), and where there are no data. The
        first makes the pattern, the second is judged. The reverse would add little: it shares
        most of its noise with this.
    psf
        The tested one.
    threads
        CPU threads.

    Returns
    -------
    Sharpness
        Not positive, except for noise, if the images are some object ⊗ PSF.
    """
    narrower = stretched(psf, 1 / ERROR, 1 / ERROR)
    excess, variance, scatter = 0.0, 0.0, 0.0
    for first, second, absent in halves:
        z, y, x = first.shape
        model, sharp = (Blur((z, y, x), psf=p.data, threads=threads) for p in (psf, narrower))
        for pattern, nearest in _patterns(first, model, sharp, absent):
            lack = float(np.sum(pattern * second, dtype=np.float64))
            noise = float(np.sum(np.square(pattern) * second, dtype=np.float64))
            # ⟨c, nearest⟩ is 0 in sum, but not in each cell.
            cells = _by_cell(pattern * (second - nearest))
            if lack >= SIGNIFICANT * noise**0.5:  # less sharp, even by the rough pattern
                break
        excess -= lack
        variance += noise
        scatter += cells.size * float(cells.var())
    return Sharpness(float(excess), float(variance**0.5), float(scatter**0.5))


def _patterns(
    image: FloatArray, model: Blur, sharp: Blur, absent: NDArray[np.bool_] | None
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Yield c, what a sharper image lacks relative to the model's nearest one, and the latter.

    The first is rough, the second is exact.
    """
    goal = sharp.forward(_after(ALTERNATIVE_STEPS, _estimates(image, sharp, absent)))
    estimates = _estimates(goal, model, absent)
    for steps in (ROUGH_STEPS, PATTERN_STEPS - ROUGH_STEPS):
        nearest = model.forward(_after(steps, estimates))
        pattern = 1 - goal / np.maximum(nearest, np.float32(1e-6) * max(float(goal.mean()), 1e-6))
        if absent is not None:
            pattern[absent] = 0
        yield np.asarray(pattern, np.float32), nearest


def _after(steps: int, estimates: Iterator[FloatArray]) -> FloatArray:
    """Return the estimate after so many further steps."""
    return next(islice(estimates, steps - 1, None))


def _estimates(
    image: FloatArray, model: Blur, absent: NDArray[np.bool_] | None
) -> Iterator[FloatArray]:
    """Restore an image without a background by Richardson-Lucy with momentum, without end.

    An even background is an even object here; it need not be known.
    """
    present = np.ones_like(image) if absent is None else (~absent).astype(np.float32)
    weights: FloatArray = model.weights_for(None if absent is None else present)
    mean = float((image * present).mean()) / max(float(present.mean()), 1e-6)
    least = np.float32(max(1e-6 * mean, 1e-12))
    estimate: FloatArray = np.full(model.object_shape, np.float32(max(mean, 1e-6)))
    before = estimate
    for k in count(1):
        momentum = np.float32((k - 1) / (k + 2))
        ahead = np.maximum(estimate + momentum * (estimate - before), least)
        ratio = present * image / np.maximum(model.forward(ahead), least)
        change = model.adjoint(ratio.astype(np.float32, copy=False))
        before, estimate = estimate, np.asarray(ahead * weights * change, np.float32)
        yield estimate


def halves_of(
    block: NDArray[Any],
    dark_level: float,
    gain: float,
    saturation: float | None,
    rng: np.random.Generator,
) -> Halves:
    """Share the photons of the middle of a block between two images."""
    block = block[centred(block.shape, BLOCK)]
    absent = unknown(block, saturation)
    counts = filled(block, dark_level).astype(np.float64)
    photons = np.maximum(np.rint((counts - dark_level) / gain), 0).astype(np.int64)
    first = rng.binomial(photons, 0.5)
    return first.astype(np.float32), (photons - first).astype(np.float32), absent


def _by_cell(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sum (Z, Y, X) over cells; the last ones may be smaller."""
    result = values.astype(np.float64)
    for axis, size in enumerate(CELL):
        result = np.add.reduceat(result, np.arange(0, result.shape[axis], size), axis=axis)
    return result


def stretched(psf: Psf, axial: float, lateral: float) -> Psf:
    """Return a PSF that is so many times as wide along Z and in the plane."""
    z, y, x = psf.voxel_size_um
    data = resample(
        psf.data.astype(np.float64),
        voxel_size_um=(z * axial, y * lateral, x * lateral),
        target_voxel_size_um=psf.voxel_size_um,
    )
    return normalised_psf(np.clip(data, 0, None), psf.voxel_size_um, {})


def core_of(psf: Psf) -> Psf:
    """Cut out the part within `CORE` widths of the centre."""
    middle = [
        (n // 2, min(n // 2, int(np.ceil(CORE * width / voxel))))
        for n, width, voxel in zip(
            psf.data.shape, fwhm_um(psf.data, psf.voxel_size_um), psf.voxel_size_um, strict=True
        )
    ]
    box = tuple(slice(m - h, m + h + 1) for m, h in middle)
    return normalised_psf(psf.data[box], psf.voxel_size_um, {})


def too_sharp(here: Sharpness, wider: Sharpness) -> bool:
    """Return whether an image refutes a PSF, compared with a PSF 1.25 times as wide."""
    return (
        here.significance >= SIGNIFICANT
        and wider.significance >= SIGNIFICANT
        and here.by_noise >= LEAST_SHARE * wider.by_noise
    )


def wrong_axes(
    halves: Sequence[Halves], core: Psf, here: Sharpness, threads: int
) -> tuple[str, ...]:
    """Find the axes along which a PSF is too wide: narrowing there removes the excess."""
    left = {
        name: sharper_than(halves, psf=stretched(core, *factors), threads=threads).by_noise
        for name, factors in {"axial": (1 / ERROR, 1.0), "lateral": (1.0, 1 / ERROR)}.items()
    }
    best = min(left, key=lambda name: left[name])
    if left[best] < here.by_noise / 3 and max(left.values()) > 2 * max(left[best], SIGNIFICANT):
        return (best,)
    return ()


def true_width(here: float, wider: float) -> Interval:
    """Estimate the true width over the assumed one from both values of the sharpness."""

    def width(first: float, second: float) -> float:
        share = float(np.clip(first / max(second, 1e-6), 1e-6, 0.9)) ** (1 / GROWTH)
        return float(ERROR ** (-share / (1 - share)))

    return width(here, wider), width(here + 2, wider), width(max(here - 2, 0.0), wider)
