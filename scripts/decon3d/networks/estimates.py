"""Richardson-Lucy estimates as inputs of a network: as a search would choose them, without one.

A network that corrects Richardson-Lucy with total variation (RLTV) should start from the estimate
that a search would choose for this microscope and this dose: with other numbers, it first has to
undo what they did. One network serves many microscopes, and nothing is searched when it restores,
so two laws take the place of the search:

    λ = 0.35 · sqrt(c / photons),
    iterations = c^(-0.8) · photons^0.3,

with the root c of the PSF's sum of squares, which is 0.22 for a Gaussian of σ 0.8 voxels, 0.13 for
a confocal PSF and 0.02 for widefield. A PSF that weakens more frequencies needs more iterations to
restore them; with few photons, further iterations only add noise. Relative noise falls with the
root of the dose, and so does λ. Both laws were fitted to the best λ and iterations on volumes of
60 microscopes that `phantoms.microscopes` draws; `make validate VALIDATE=estimates` shows what they
lose on others.

The photons are those of the brightest structure: the normalisation's scale above the background,
over the camera's gain. Where the gain is not known, they follow from the noise of empty places:
1.4 · (brightness / noise)^(4/3). PSF, statistics and camera are those of the volume that the
estimates are made of: in training, every volume may have its own microscope, camera and dose.

More than 40 iterations run coarse to fine (`classical.coarse_to_fine`): N on the coarse grid, then
N / 3 to N / 2 on the full grid. Fewer suit compact PSFs, which pass frequencies that the coarse
grid lacks; these run on the full grid alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from decon3d.classical.channel import base_recipe
from decon3d.classical.estimates import Run
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.recipe import Recipe
from decon3d.networks.kind import Estimate
from decon3d.optics.psf import Psf
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

WEIGHT = 0.35
"""λ for one photon and a PSF of one voxel, before the limits."""
LEAST_WEIGHT, MOST_WEIGHT = 0.0005, 0.04
WIDTH_POWER, DOSE_POWER = -0.8, 0.3
"""Of the iterations: powers of the root of the PSF's sum of squares and of the photons."""
LEAST_ITERATIONS, MOST_ITERATIONS = 5, 120
MOST_ON_FULL_GRID = 40
"""Iterations beyond which a run goes coarse to fine."""
USUAL_PHOTONS, USUAL_POWER = 1.4, 4 / 3
"""Where the camera's gain is not known, the photons are the first number times the brightness over
the noise of empty places, to the power of the second. Fitted on microscopes that
`phantoms.microscopes` draws. (The power is 1 if read noise dominates empty places, and 2 if the
background is a fixed share of the light.)"""
MOST_PHOTONS = 3000.0
"""The largest dose of these microscopes; also for an image without noise."""


def network_runs(
    estimates: Sequence[Estimate],
    *,
    statistics: ChannelStatistics,
    psf: Psf,
    camera: Camera | None,
) -> list[Run]:
    """Turn the estimates of a network's input into runs for one channel or volume.

    Parameters
    ----------
    estimates
        Relative to the laws above.
    statistics
        Of the channel in a restoration, of the single volume in a training: the photons follow
        from its normalisation and background.
    psf
        Of the same volume.
    camera
        Of the same volume; None = not known.

    Returns
    -------
    list of Run
        With whole iterations, ascending within a run.
    """
    method = Rl(kind="rl", acceleration="heavy_ball")
    recipe = base_recipe(method, statistics=statistics, psf=psf, camera=camera)
    photons = usual_photons(recipe, statistics, camera)
    weight, iterations = usual_weight(psf, photons), usual_iterations(psf, photons)
    recipe = replace(recipe, coarse_to_fine=iterations > MOST_ON_FULL_GRID)
    return [
        Run(
            replace(recipe, tv_weight=estimate.tv_factor * weight),
            _ascending(factor * iterations for factor in estimate.iteration_factors),
        )
        for estimate in estimates
    ]


def _ascending(numbers: Iterable[float]) -> tuple[int, ...]:
    """Round to whole iterations from 1, each at least one more than the last."""
    found = [0]
    for number in numbers:
        found.append(max(round(number), found[-1] + 1))
    return tuple(found[1:])


def usual_photons(recipe: Recipe, statistics: ChannelStatistics, camera: Camera | None) -> float:
    """Return the photons of the brightest structure, above the background.

    Where the camera's gain is not known, they follow from the noise of empty places.
    """
    law = statistics.normalisation
    brightness = law.offset + law.scale - recipe.background  # counts
    if camera is not None and camera.gain_from != "assumed":
        return max(brightness / camera.gain, 1.0)
    if statistics.background_sigma <= 0:
        return MOST_PHOTONS
    ratio = max(brightness / statistics.background_sigma, 0.0)
    return float(np.clip(USUAL_PHOTONS * ratio**USUAL_POWER, 1.0, MOST_PHOTONS))


def usual_weight(psf: Psf, photons: float) -> float:
    """Return the λ of total variation for a PSF and so many photons."""
    weight = WEIGHT * np.sqrt(np.linalg.norm(psf.data) / photons)
    return float(np.clip(weight, LEAST_WEIGHT, MOST_WEIGHT))


def usual_iterations(psf: Psf, photons: float) -> float:
    """Return the accelerated iterations of RLTV for a PSF and so many photons."""
    number = np.linalg.norm(psf.data) ** WIDTH_POWER * photons**DOSE_POWER
    return float(np.clip(number, LEAST_ITERATIONS, MOST_ITERATIONS))
