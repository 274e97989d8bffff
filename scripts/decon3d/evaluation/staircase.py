"""Staircase: flat patches with steps between them where the object is smooth.

Total variation prefers flat pieces, and so does a network trained on flat phantoms. On a textured
object, both turn noise into patches that look like an oil painting. Such a result fits the data as
well as a smooth one, so a comparison with the raw image does not show it. The distribution of the
gradients does. In a smooth object, a voxel where all three parts of the gradient nearly vanish is
rare; in patches it is common.

The measure is the share of bright foreground voxels that are nearly flat: the relative change of
brightness over one resolution length (the full width of the PSF at half maximum, along each axis)
is below a tenth of its median over the foreground. The median adapts to the sharpness and to the
noise of each restoration. The same share of the Richardson-Lucy estimate, as it is and smoothed by
1, 1.5 and 2 σ of the PSF, is the reference: the largest of them counts.

**Flat objects.** Where the object consists of flat pieces larger than the PSF, the smoothed
estimate has many flat voxels, too (1 to 18 % on flat simulated nuclei at 100 to 2,000 photons; 0.1
to 0.4 % on textured ones). A flat restoration is right there, and there is no warning. Flat pieces
smaller than the smoothing cannot be distinguished from a staircase: widefield PSFs are so long that
a third of the flat nuclei were not recognised as flat.

`tests/validation/validate_staircase.py` has the figures behind the limits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.classical.kinds.rl import Rl
from decon3d.evaluation.consistency import SIGMA, FloatArray, width_voxels
from decon3d.evaluation.deviance import restore_chain
from decon3d.evaluation.metric import OWN
from decon3d.evaluation.records import Record
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import State
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

FLAT = 0.1
"""A voxel is nearly flat below this share of the foreground's median steepness."""
SMOOTHED = (0.0, 1.0, 1.5, 2.0)
"""Gaussians, in σ of the PSF, that smooth the Richardson-Lucy estimate."""
FOREGROUND = 0.25
"""Least local mean of the foreground, relative to the 99.5th percentile of local means."""
BRIGHT = 0.5
"""Least brightness of a flat voxel, relative to its local mean: flat zeros between specks are no
patches."""
LOCAL = 1.5
"""The Gaussian of local means, in σ of the PSF."""
LEAST_VOXELS = 2000
"""Foreground voxels below which nothing is measured."""
LEAST_SHARE = 0.002
"""Share of flat voxels at which a staircase may begin."""
RATIO = 2.5
"""A staircase has at least this many times as many flat voxels as the reference."""
FLAT_OBJECT = 0.01
"""Share of flat voxels of the reference from which the object itself counts as flat."""
BLOCKS = 2
"""Most blocks of a sample that are measured."""
REFERENCE = Rl(kind="rl", iterations=15)
"""The reference of restorations. Smoothed, it depends little on its iterations."""


@dataclass(frozen=True)
class Staircase:
    """Shares of bright foreground voxels that are nearly flat, 0 … 1; NaN = not measured.

    Attributes
    ----------
    rl
        Of the Richardson-Lucy estimate, the largest over `SMOOTHED`.
    voxels
        Foreground voxels.
    """

    restored: float
    rl: float
    voxels: int = 0

    @property
    def measured(self) -> bool:
        """Whether the foreground is large enough."""
        return bool(np.isfinite(self.restored))

    @property
    def flat_object(self) -> bool:
        """Whether the object itself has flat places, so that flat patches are not evidence."""
        return self.measured and self.rl >= FLAT_OBJECT

    @property
    def warns(self) -> bool:
        """Whether the restoration has flat patches that Richardson-Lucy does not have."""
        if not self.measured or self.flat_object:
            return False
        return self.restored >= max(LEAST_SHARE, RATIO * self.rl)


def staircase(
    raw: NDArray[np.generic],
    rl: NDArray[np.floating],
    restored: NDArray[np.floating],
    *,
    psf: Psf,
    background: float,
) -> Staircase:
    """Measure how much of a restoration is flat patches.

    Parameters
    ----------
    raw
        Counts (Z Y X); NaN = no data. It defines the foreground.
    rl
        What Richardson-Lucy made of it, counts, background included.
    restored
        The restoration, counts, background included, of the same shape.
    psf
        The channel's; its widths are the lengths over which brightness is compared.
    background
        Counts of empty places.

    Returns
    -------
    Staircase
        NaN where the foreground has fewer than 2,000 voxels.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if not raw.shape == rl.shape == restored.shape:
        raise ValueError(f"shapes differ: {raw.shape}, {rl.shape}, {restored.shape}")
    widths = width_voxels(psf)
    absent = np.isnan(raw) if raw.dtype.kind == "f" else np.zeros(raw.shape, bool)
    image, estimate, result = (_above(v, background, absent) for v in (raw, rl, restored))
    foreground = _foreground(image, absent, widths)
    voxels = int(np.count_nonzero(foreground))
    if voxels < LEAST_VOXELS:
        return Staircase(np.nan, np.nan, voxels)
    smooth = [_blur(estimate, widths, sigma) for sigma in SMOOTHED]
    return Staircase(
        restored=_flat_share(result, foreground, widths),
        rl=max(_flat_share(values, foreground, widths) for values in smooth),
        voxels=voxels,
    )


def _above(values: NDArray[np.generic], background: float, absent: NDArray[np.bool_]) -> FloatArray:
    """Return counts above the background; 0 where there are no data."""
    result = values.astype(np.float32) - np.float32(background)
    result[absent | ~np.isfinite(result)] = 0
    return result


def _blur(values: FloatArray, widths: Sequence[float], sigma: float) -> FloatArray:
    if not sigma:
        return values
    result: FloatArray = gaussian_filter(values, [sigma * SIGMA * w for w in widths])
    return result


def _foreground(
    raw: FloatArray, absent: NDArray[np.bool_], widths: Sequence[float]
) -> NDArray[np.bool_]:
    """Say where the raw image is bright, away from voxels without data."""
    mean = _blur(raw, widths, LOCAL)
    top = np.percentile(mean[~absent], 99.5) if not absent.all() else 0.0
    foreground: NDArray[np.bool_] = mean > max(FOREGROUND * top, 0.0)
    if absent.any():
        foreground &= _blur(absent.astype(np.float32), widths, LOCAL) < 0.01
    return foreground


def _flat_share(
    values: FloatArray, foreground: NDArray[np.bool_], widths: Sequence[float]
) -> float:
    """Return the share of foreground voxels (Z Y X) that are bright and nearly flat."""
    mean = np.maximum(_blur(values, widths, LOCAL)[foreground], np.float32(1e-9))
    relative = steepness(values, widths)[foreground] / mean
    flat = relative < FLAT * np.median(relative)
    return float(np.mean(flat & (values[foreground] > BRIGHT * mean)))


def steepness(values: FloatArray, widths: Sequence[float]) -> FloatArray:
    """Return the change per resolution length: the length of the gradient, scaled axis by axis.

    Parameters
    ----------
    values
        (Z Y X), any unit.
    widths
        Resolution lengths (Z, Y, X), in voxels.

    Returns
    -------
    array (Z Y X), float32
        Root of the sum over the axes of the mean square of the differences to the two neighbours,
        each times the axis' length; at a face, to the one neighbour.
    """
    total = np.zeros_like(values)
    for axis, width in enumerate(widths):
        line, result = np.moveaxis(values, axis, 0), np.moveaxis(total, axis, 0)
        if len(line) < 2:
            continue
        step = np.square(np.diff(line, axis=0) * np.float32(width))
        result[0] += step[0]
        result[-1] += step[-1]
        result[1:-1] += (step[1:] + step[:-1]) / 2
    return np.sqrt(total, out=total)


def staircase_records(
    states: Sequence[State],
    *,
    sample: Sequence[NDArray[Any]],
    psf: Psf,
    statistics: ChannelStatistics,
    camera: Camera,
    dataset: str,
    channel: str,
    method: str,
    threads: int,
) -> list[Record]:
    """Restore the brightest blocks of a sample and measure their flat voxels.

    Parameters
    ----------
    states
        The method's prepared restorers, one after the other; none = the image as it is.
    sample
        Blocks of the data (Z Y X, counts; NaN = no data), the brightest first.
    psf, statistics, camera
        The channel's.
    threads
        CPU threads.

    Returns
    -------
    list of Record
        Of each block `staircase` and `staircase_rl`: the share of nearly flat voxels, and that of
        Richardson-Lucy; NaN where a block has too little foreground.
    """
    state = prepare_classical(REFERENCE, statistics=statistics, psf=psf, tuned={}, camera=camera)
    reference, restore = (
        restore_chain(chain, threads=threads, doubled=False) for chain in ([state], states)
    )
    implementation = (
        f"{OWN}, brightest blocks of the sample; Richardson-Lucy of "
        f"{REFERENCE.iterations} iterations, as it is and smoothed by up to {SMOOTHED[-1]:g} σ of "
        "the PSF"
    )
    records = []
    for i, block in enumerate(sample[:BLOCKS]):
        found = staircase(
            block, reference(block), restore(block), psf=psf, background=statistics.background
        )
        log.info(
            "%s: %.2g %% of %d bright voxels are nearly flat, %.2g %% of Richardson-Lucy's",
            method,
            100 * found.restored,
            found.voxels,
            100 * found.rl,
        )
        records += [
            Record(
                dataset=dataset,
                channel=channel,
                method=method,
                subject=f"sample/{i:04d}",
                split="data",
                metric=metric,
                value=value,
                implementation=implementation,
            )
            for metric, value in (("staircase", found.restored), ("staircase_rl", found.rl))
        ]
    return records
