"""`iterations: auto`: the number of iterations, chosen from a sample of the data in seconds.

No truth and no phantoms are needed: the error of the estimate after each iteration is predicted
from the blocks themselves and their noise (`classical.risk`), and the minimum is taken. For
correlated noise, as in deskewed data, the prediction is too low for many iterations (64 for a
deskewed light-sheet volume that looks right at 15 to 20), so a function of the dose is used
instead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.coarse_to_fine import binned_psf, bins_of, most_coarse
from decon3d.classical.recipe import Recipe
from decon3d.classical.risk import BRIGHTEST, TRUST, WHITE, ImageNoise, risk_subjects
from decon3d.classical.tuning import CoarseSubjects, scores
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.volumes.camera import Camera
from decon3d.volumes.correlated_noise import CORRELATED, neighbour_correlation
from decon3d.volumes.photon_transfer import measure_camera

NOMINAL = 15
"""Default number of accelerated iterations, about right for 100 photons."""
LEAST, MOST = 3, 100
"""Limits of the choice, for accelerated iterations; plain ones need about twice as many."""
PAST = 1.5
"""The search continues to at least so many times the best number of iterations."""
JUDGED_FROM = 8
"""The search continues to at least this number of iterations."""
AGREES = 1.25
"""Factor by which the gain may differ from the noise of the data."""
DOSE_LAW = (1.56, 0.27, -0.37)
"""Iterations = a · photons^b · c^d, with the brightest photons and the root c of the PSF's sum of
squares: fitted like `risk.TRUST`; 0.4 dB are lost on average, 0.1 by the predicted error."""
WORK = 2_500_000
"""Voxels in all, faces padded by the PSF, beyond which no further block of the sample is used."""


@dataclass(frozen=True)
class Choice:
    """A number of iterations and its reason."""

    iterations: int
    from_data: bool
    """False = chosen by the dose, or the default."""
    reason: str
    """A clause for the report's sentence."""
    curve: tuple[tuple[int, float], ...] = ()
    """(iterations, minus the predicted squared error up to a constant, relative to the light)."""
    coarse_iterations: int = 0
    """Iterations on binned data before these; 0 = none, or as the restoration decides."""


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
        The number with the least predicted error between `LEAST` and `MOST`; one by the dose where
        the noise is correlated, or `NOMINAL` where it is not known.
    """
    if not sample:
        return nominal("no block holds data")
    if camera is None or camera.gain_from == "assumed":
        return nominal("the camera's gain is neither configured nor measurable in the data")
    noise = noise_of(sample, camera)
    shared = neighbour_correlation(noise.correlation)
    if shared > CORRELATED:
        return _by_dose(
            recipe,
            sample,
            noise,
            psf,
            f"the noise of neighbouring voxels is correlated ({shared:.2f})",
        )
    blocks = _affordable(sample, psf)
    start = 0
    if recipe.starts_coarse(psf.data):
        coarse = coarse_subjects(blocks, recipe=recipe, psf=psf, noise=noise, seed=seed)
        trials = scores(coarse.subjects, psf=coarse.psf, most=coarse.last, threads=threads)
        start = coarse.chosen(_followed(trials, 1)[0])
        recipe = replace(recipe, coarse_iterations=start)
    factor = _factor(recipe)
    least = 1 if start or recipe.back_projector != "matched" else LEAST * factor
    subjects = risk_subjects(blocks, recipe=recipe, noise=noise, seed=seed)
    best, curve = _followed(
        scores(subjects, psf=psf.data, most=MOST * factor, threads=threads), least
    )
    reason = f"least predicted error on {len(blocks)} block{'s' if len(blocks) > 1 else ''}"
    if best == MOST * factor:
        reason += ", the allowed maximum; the data would allow more"
    log.info(
        "iterations: auto chose %d iterations%s (%s)",
        best,
        f" after {start} on binned data" if start else "",
        reason,
    )
    return Choice(best, True, reason, curve, start)


def _followed(
    found: Iterator[tuple[int, float]], least: int
) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Follow scores until they are past their best; return its iterations, and the curve."""
    curve: list[tuple[int, float]] = []
    best = (least, -np.inf)
    for k, score in found:
        if not np.isfinite(score):  # an unmatched back projector diverges
            break
        curve.append((k, score))
        if k >= least and score > best[1]:
            best = (k, score)
        if k >= max(JUDGED_FROM, PAST * best[0]):
            break
    return best[0], tuple(curve)


def coarse_subjects(
    sample: Sequence[NDArray[Any]],
    *,
    recipe: Recipe,
    psf: Psf,
    noise: ImageNoise,
    seed: int,
    trust: float = TRUST,
) -> CoarseSubjects:
    """Bin blocks of the data, on which the coarse iterations are chosen.

    Parameters are those of `classical.risk.risk_subjects`; the noise is that of the blocks, white.
    """
    bins = bins_of(psf.data)
    pairs = [recipe.binned(block, bins) for block in sample]
    noise = replace(noise, gain=noise.gain / prod(bins), correlation=WHITE)
    subjects = risk_subjects(
        [block for block, _ in pairs], recipe=pairs[0][1], noise=noise, seed=seed, trust=trust
    )
    return CoarseSubjects(subjects, binned_psf(psf.data, bins), most_coarse(psf.data, bins))


def nominal(reason: str) -> Choice:
    """Return the default number, with the reason."""
    log.warning("iterations: auto uses %d iterations, since %s", NOMINAL, reason)
    return Choice(NOMINAL, False, reason)


def noise_of(sample: Sequence[NDArray[Any]], camera: Camera) -> ImageNoise:
    """Describe the noise of blocks (Z Y X, counts): the camera's, unless the blocks contradict it.

    Excess noise, as of an EMCCD, makes the variance larger than the gain implies; then the measured
    noise is used.
    """
    measured = measure_camera(sample)
    gain, dark_level = camera.gain, camera.dark_level
    if measured.gain and measured.gain_interval and measured.dark_level is not None:
        low, high = measured.gain_interval
        if not low / AGREES <= gain <= high * AGREES:
            log.warning(
                "the noise of the data corresponds to %.3g counts per photon, not %.3g; the "
                "measured noise is used",
                measured.gain,
                gain,
            )
            gain, dark_level = measured.gain, measured.dark_level
    return ImageNoise(gain, dark_level, measured.correlation)


def _by_dose(
    recipe: Recipe, sample: Sequence[NDArray[Any]], noise: ImageNoise, psf: Psf, reason: str
) -> Choice:
    """Choose the number by the photons and the PSF."""
    brightest = max(float(np.nanpercentile(block, BRIGHTEST)) for block in sample)
    # Sums of neighbours scatter more than the variance implies, as if there were fewer photons.
    more = prod(1 + 2 * sum(curve) for curve in noise.correlation)
    photons = (brightest - recipe.background) / noise.gain / max(more, 1.0)
    scale, power, width = DOSE_LAW
    best = scale * max(photons, 1.0) ** power * float(np.linalg.norm(psf.data)) ** width
    iterations = round(float(np.clip(best, LEAST, MOST))) * _factor(recipe)
    reason += f"; the number follows from the dose, {photons:.3g} photons in the brightest voxels"
    log.warning("iterations: auto uses %d iterations, since %s", iterations, reason)
    return Choice(iterations, False, reason)


def _factor(recipe: Recipe) -> int:
    """Return how many plain iterations correspond to an accelerated one."""
    return 1 if recipe.acceleration == "heavy_ball" else 2


def _affordable(sample: Sequence[NDArray[Any]], psf: Psf) -> list[NDArray[Any]]:
    """Select blocks, the brightest first, up to the limit of voxels; at least one."""
    sizes = (
        prod(n + p - 1 for n, p in zip(block.shape, psf.data.shape, strict=True))
        for block in sample
    )
    within = [b for b, work in zip(sample, accumulate(sizes), strict=True) if work <= WORK]
    return within or list(sample[:1])
