"""What held-out photons choose among Richardson-Lucy's iterations, and what the truth would."""

from itertools import islice

import numpy as np

from decon3d.classical.held_out import held_out_subjects
from decon3d.classical.photons import PhotonScale
from decon3d.classical.tuning import AffineScore, checkpoints
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.imaging import Camera, simulate
from decon3d.restoration.richardson_lucy import base_recipe
from decon3d.seeds import generator
from decon3d.settings import Optics, Rl
from decon3d.volumes.camera import Camera as CameraSettings
from decon3d.volumes.ingest import ChannelStatistics

VOXEL = (0.3, 0.15, 0.15)
DEPTH_Y_X = (36, 40, 40)
"""Deeper than the PSF. In a thinner stack most light comes from above and below, held-out photons
then choose too many iterations at 5,000 photons."""


def light_sheet() -> Psf:
    """The demo's PSF."""
    optics = Optics(
        modality="light_sheet", numerical_aperture=0.8, immersion_index=1.333,
        sheet_thickness_um=2.0,
    )  # fmt: skip
    data = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=VOXEL)
    return normalised_psf(data, VOXEL, {})


def lost_by_deviance(
    psf: Psf, photons: float, *, count: int = 3, iterations: int = 400
) -> tuple[int, int, float]:
    """Compare what held-out photons choose on phantoms with what the truth would.

    Returns
    -------
    chosen, best, lost
        Iterations by either, of one number for all phantoms, and the loss of mean PSNR in dB.
    """
    deviance, quality = [], []
    most = checkpoints(iterations)
    for i in range(count):
        exposure = simulate(
            "rln_mixed", shape=DEPTH_Y_X, psf=psf.data, voxel_size_um=VOXEL, photons=photons,
            background_photons=5, camera=Camera(100, 1, 1.5), rng=generator(1, "bench", i),
        )  # fmt: skip
        image = exposure.images[0]
        recipe = base_recipe(
            Rl(kind="rl"), psf=psf, camera=CameraSettings(offset=100, gain=1, read_noise=1.5),
            statistics=ChannelStatistics.of_image(image, camera_offset=100),
        )  # fmt: skip
        scale = PhotonScale(100 - 1.5**2, 1.0, "config")
        (subject,) = held_out_subjects([image], recipe=recipe, scale=scale, seed=1)
        truth = AffineScore(exposure.object)
        model = recipe.model(image.shape, psf=psf.data, threads=1)
        halves = subject.recipe.iterate(subject.image, model=model)
        deviance.append(_scores(halves, lambda x, s=subject, m=model: s.score(x, m), most))
        quality.append(_scores(recipe.iterate(image, model=model), truth, most))
    by_photons, by_truth = np.mean(deviance, axis=0), np.mean(quality, axis=0)
    chosen, best = int(np.argmax(by_photons)), int(np.argmax(by_truth))
    return most[chosen], most[best], float(by_truth[best] - by_truth[chosen])


def _scores(run, score, at: list[int]) -> list[float]:
    """Score a run at some iterations."""
    return [score(x) for k, x in islice(run, at[-1]) if k in at]
