"""`iterations: auto`: the number of iterations, chosen from a sample of the data in seconds.

No truth and no phantoms are needed: the error of the estimate after each iteration is predicted
from the blocks themselves and their noise (`classical.risk`), and the least is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.recipe import Recipe
from decon3d.classical.risk import ImageNoise, risk_subjects
from decon3d.classical.tuning import scores
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.volumes.camera import Camera
from decon3d.volumes.photon_transfer import noise_correlation

NOMINAL = 15
"""Iterations where the data cannot tell: accelerated, about right for some 100 photons."""
LEAST, MOST = 3, 100
"""Limits of the choice, for accelerated iterations; plain ones need about twice as many."""
PAST = 1.5
"""The search ends at so many times the best number of iterations, …"""
JUDGED_FROM = 8
"""… but not before this one."""
WORK = 2_500_000
"""Voxels in all, faces padded by the PSF, beyond which no further block of the sample is used."""


@dataclass(frozen=True)
class Choice:
    """A number of iterations and why."""

    iterations: int
    from_data: bool
    """False = the nominal number."""
    reason: str
    """In a sentence's part, for the report."""
    curve: tuple[tuple[int, float], ...] = ()
    """(iterations, minus the predicted squared error up to a constant, relative to the light)."""


def choose_iterations(
    recipe: Recipe,
    *,
    sample: Sequence[NDArray[Any]],
    psf: Psf,
    camera: Camera | None,
    seed: int,
    threads: int = 1,
) -> Choice:
    """Choose the iterations of Richardson-Lucy.

    Parameters
    ----------
    recipe
        The restoration.
    sample
        Blocks of counts (Z Y X; NaN = no data), the brightest first.
    psf
        The channel's.
    camera
        The channel's; None = not known.
    seed
        Of the added noise.
    threads
        CPU threads.

    Returns
    -------
    Choice
        The number with the least predicted error between `LEAST` and `MOST`, or `NOMINAL` where
        the noise of the data is not known.
    """
    if not sample:
        return nominal("there are no blocks with data")
    if camera is None or camera.gain_from == "assumed":
        return nominal("the camera's gain is neither given nor seen in the data")
    correlation, _ = noise_correlation(sample)
    noise = ImageNoise(camera.gain, camera.dark_level, correlation)
    blocks = _affordable(sample, psf)
    factor = 1 if recipe.acceleration == "heavy_ball" else 2
    least = 1 if recipe.back_projector != "matched" else LEAST * factor
    curve: list[tuple[int, float]] = []
    best = (least, -np.inf)
    subjects = risk_subjects(blocks, recipe=recipe, noise=noise, seed=seed)
    for k, score in scores(subjects, psf=psf.data, most=MOST * factor, threads=threads):
        if not np.isfinite(score):  # an unmatched back projector diverges
            break
        curve.append((k, score))
        if k >= least and score > best[1]:
            best = (k, score)
        if k >= max(JUDGED_FROM, PAST * best[0]):
            break
    reason = f"least predicted error on {len(blocks)} block{'s' if len(blocks) > 1 else ''}"
    if best[0] == MOST * factor:
        reason += ", the most that are allowed: the data would bear more"
    log.info("iterations: auto: %d (%s)", best[0], reason)
    return Choice(best[0], True, reason, tuple(curve))


def nominal(reason: str) -> Choice:
    """Take the nominal number, and say why."""
    log.warning("iterations: auto: %d iterations, since %s", NOMINAL, reason)
    return Choice(NOMINAL, False, reason)


def _affordable(sample: Sequence[NDArray[Any]], psf: Psf) -> list[NDArray[Any]]:
    """Take blocks, the brightest first, until there is enough work; at least one."""
    blocks: list[NDArray[Any]] = []
    work = 0
    for block in sample:
        work += prod(n + p - 1 for n, p in zip(block.shape, psf.data.shape, strict=True))
        if blocks and work > WORK:
            break
        blocks.append(block)
    return blocks
