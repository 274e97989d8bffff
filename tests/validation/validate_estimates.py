"""What the estimates of networks lose against RLTV that was tuned per microscope and dose.

The laws of `networks.estimates` stand for a search; their numbers were fitted on such volumes.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.tuning import AffineScore, tune, with_truth
from decon3d.networks.estimates import network_runs, usual_photons
from decon3d.networks.kind import Estimate
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.chosen_iterations import CAMERA, exposure_of, psf_of
from support.gaussians import gaussian_psf

PSFS = ("compact", "gaussian", "confocal", "light_sheet", "widefield")
DOSES = (15.0, 60.0, 250.0, 1000.0)
KINDS = ("broad", "tubules", "nuclei", "er_network", "texture")


def main(quick: bool = False) -> str:
    """Return the table: λ and iterations of the laws and of the search, dB lost."""
    return "\n".join(_lines(quick))


def _psf(name: str) -> Psf:
    if name == "compact":
        return normalised_psf(gaussian_psf((7, 7, 7), (0.7, 0.8, 0.8)), (0.1, 0.1, 0.1), {})
    return psf_of(name)


def _lines(quick: bool) -> Iterator[str]:
    yield f"RLTV by the laws / tuned on the truth of {len(KINDS)} kinds; 24 × 48 × 48 voxels\n"
    yield "| PSF | photons | λ | iterations | dB lost | dB lost, coarse to fine |"
    yield "|---" * 6 + "|"
    for name in PSFS[:2] if quick else PSFS:
        psf = _psf(name)
        for dose in DOSES[1:2] if quick else DOSES:
            yield _line(name, psf, dose)


def _line(name: str, psf: Psf, dose: float) -> str:
    camera, method = Camera(**CAMERA), Rltv(kind="rltv")
    exposures = [exposure_of(kind, psf, dose) for kind in KINDS]
    images = [exposure.images[0] for exposure in exposures]
    truths = [exposure.object for exposure in exposures]
    about = [
        {
            "statistics": ChannelStatistics.of_image(image, camera_offset=camera.offset),
            "psf": psf,
            "camera": camera,
        }
        for image in images
    ]
    recipes = [base_recipe(method, **given) for given in about]
    best = tune(with_truth(images, truths, recipes), psf=psf.data, prior="tv_weight")
    runs = [network_runs([Estimate((1.0,))], **given)[0] for given in about]
    lost = []
    for coarse in (False, True):
        scores = []
        for image, truth, run in zip(images, truths, runs, strict=True):
            recipe = replace(run.recipe, coarse_to_fine=coarse)
            model = recipe.model(image.shape, psf=psf.data, threads=1)
            steps = recipe.estimates(image, model=model, iterations=run.iterations)
            scores += [AffineScore(truth)(estimate) for _, estimate in steps]
        lost.append(best.score - float(np.mean(scores)))
    photons = [
        usual_photons(run.recipe, given["statistics"], camera)
        for run, given in zip(runs, about, strict=True)
    ]
    weights = [run.recipe.tv_weight for run in runs]
    iterations = [run.iterations[0] for run in runs]
    return (
        f"| {name} | {dose:g} ({np.mean(photons):.0f}) | {np.mean(weights):.2g} / "
        f"{best.weight:.2g} | {np.mean(iterations):.0f} / {best.iterations} | {lost[0]:.2f} | "
        f"{lost[1]:.2f} |"
    )
