"""Held-out photons: how well one half of an image's photons predicts the other.

The photons are split binomially (`photons`); one half is restored, blurred again, and compared
with the other half by the Poisson deviance. What the restoration took from noise, the other half
does not confirm, so the deviance has a minimum where structure ends and noise begins. It needs no
truth, but is blind to what the blur removes, and it sees half the dose: it stops rather early.
"""

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from decon3d.classical.operators import Blur
from decon3d.classical.photons import PhotonScale, split_photons
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import FloatArray
from decon3d.classical.tuning import Subject
from decon3d.errors import UserError

LEAST_PHOTONS = 0.05
"""Mean photons per voxel above the dark level below which nothing can be told."""


def poisson_deviance(observed: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Return the mean deviance per voxel, 2 mean(n log(n / μ) - n + μ), of photons n ≥ 0, μ > 0.

    Voxels without data (NaN) do not count.
    """
    return float(np.nanmean(voxel_deviance(observed, expected)))


def voxel_deviance(
    observed: NDArray[np.floating], expected: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the deviance of each voxel, 2 (n log(n / μ) - n + μ), of photons n ≥ 0, μ > 0."""
    n, mu = np.asarray(observed, np.float64), np.asarray(expected, np.float64)
    result: NDArray[np.float64] = 2 * (xlogy(n, n / mu) - n + mu)
    return result


def held_out_subjects(
    sample: Sequence[NDArray[np.generic]], *, recipe: Recipe, scale: PhotonScale, seed: int
) -> list[Subject]:
    """Split blocks of the data into what is restored and what judges it.

    Parameters
    ----------
    sample
        Blocks of counts (Z Y X).
    recipe
        Of the restoration of whole images.
    scale
        The camera's.
    seed
        Of the split.

    Returns
    -------
    list of Subject
        Their score is minus the deviance per voxel.

    Raises
    ------
    UserError
        If there are next to no photons.
    """
    mean = float(np.mean([np.nanmean(scale.photons(b), dtype=np.float64) for b in sample]))
    if mean < LEAST_PHOTONS:
        raise UserError(
            f"tune_on: data: the data have {mean:.2g} photons per voxel above the dark level of "
            f"{scale.offset:.4g} counts, too few to tell; check camera.offset and camera.gain, or "
            "set the method's numbers yourself"
        )
    subjects = []
    for i, block in enumerate(sample):
        one, other = split_photons(block, scale=scale, origin=(0, 0, 0), seed=seed + i)
        subjects.append(Subject(one, recipe.halved(), _score(other, recipe.halved(), scale)))
    return subjects


def _score(
    other: FloatArray, recipe: Recipe, scale: PhotonScale
) -> Callable[[FloatArray, Blur], float]:
    dark, gain = np.float32(scale.offset / 2), np.float32(scale.gain)
    observed = np.maximum((other - dark) / gain, 0)

    def score(estimate: FloatArray, model: Blur) -> float:
        whole = cast(FloatArray, estimate.base)  # the model's whole domain, beyond the faces, too
        expected = (model.forward(whole) + np.float32(recipe.background) - dark) / gain
        return -poisson_deviance(observed, np.maximum(expected, 1e-3))

    return score
