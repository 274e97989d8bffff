"""Decisions of classical methods on a sample of the data, without truth."""

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter

from decon3d.classical.consensus import STILL
from decon3d.classical.photons import PhotonScale
from decon3d.classical.recipe import Recipe
from decon3d.classical.stopping import RELATIVE_CHANGE, Stop, first_below
from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.volumes.no_data import filled

LAASMAA = 50.0
"""λ · SNR · smallest voxel edge in nm."""


def stop_on_sample(
    recipe: Recipe,
    *,
    rule: str,
    most: int,
    sample: Sequence[NDArray[Any]],
    psf: ArrayLike,
    threads: int = 1,
) -> Stop:
    """Find the number of iterations by a stopping rule.

    Parameters
    ----------
    recipe
        The restoration; with `photons` where the rule is `rlgc`.
    rule
        "relative_change": the estimate changes by less than 1 % per iteration; "rlgc": less than
        1 % of the voxels still move.
    most
        The most iterations.
    sample
        Blocks of counts (Z Y X).
    """
    traces = [
        _moving(recipe, block, psf, threads)
        if rule == "rlgc"
        else _changes(recipe, block, psf, threads)
        for block in sample
    ]
    threshold = STILL if rule == "rlgc" else RELATIVE_CHANGE
    return first_below(traces, threshold=threshold, most=most, rule=rule)


def _moving(recipe: Recipe, block: NDArray[Any], psf: ArrayLike, threads: int) -> Iterator[float]:
    model = recipe.model(block.shape, psf=psf, threads=threads)  # type: ignore[arg-type]
    for _, _, share in recipe.consensus(block, model=model):
        yield float(share)


def _changes(recipe: Recipe, block: NDArray[Any], psf: ArrayLike, threads: int) -> Iterator[float]:
    model = recipe.model(block.shape, psf=psf, threads=threads)  # type: ignore[arg-type]
    before: NDArray[np.float32] | None = None
    for _, estimate in recipe.iterate(block, model=model):
        if before is None:  # the first iteration has no estimate before it
            yield 1.0
        else:
            size = max(float(np.linalg.norm(before)), 1e-30)
            yield float(np.linalg.norm(estimate - before)) / size
        before = estimate.copy()


def tv_weight_from_snr(
    sample: Sequence[NDArray[Any]],
    *,
    background: float,
    scale: PhotonScale,
    voxel_size_um: Sequence[float],
) -> float:
    """Choose λ by the image's signal-to-noise ratio (Laasmaa et al. 2011, J. Microsc. 243, 124).

    λ = 50 / (SNR · smallest voxel edge in nm), for differences per smallest voxel edge; the SNR is
    the square root of the photons above the background in the brightest voxel of the sample, a
    mean over its 3 × 3 × 3 neighbours.

    Raises
    ------
    UserError
        If the sample holds nothing above the background.
    """
    if not sample:
        raise UserError(
            "tv_weight: snr needs a sample of the data, but no block holds data; give a number"
        )
    known = [filled(block, background).astype(np.float32) for block in sample]
    means = [uniform_filter(block, 3, mode="nearest") for block in known]
    peak = (max(float(mean.max()) for mean in means) - background) / scale.gain
    if not peak > 0:
        raise UserError(
            "tv_weight: snr cannot be used, since the sample of the data has nothing above the "
            f"background of {background:g} counts; give a number"
        )
    weight = LAASMAA / (sqrt(peak) * 1000 * min(voxel_size_um))
    log.info("tv_weight: %.3g from an SNR of %.3g (%.3g photons)", weight, sqrt(peak), peak)
    return weight
