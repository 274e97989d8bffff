"""Is Good's roughness better than total variation on smooth objects? RL, RLTV, RL roughness.

Each method is tuned on the very volume that it is scored on, so that the table compares the best of
each. `inside` counts voxels of the object alone, two voxels from its edge.
"""

import numpy as np
from scipy.ndimage import binary_erosion
from skimage.metrics import structural_similarity

from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.tuning import AffineScore, Prior, tune, with_truth
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms import imaging
from decon3d.seeds import generator
from decon3d.settings import Optics
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

VOXEL = (0.25, 0.1, 0.1)
SHAPE = (20, 48, 48)
RECIPES = ("textured_nuclei", "haze", "nuclei", "tubules", "rln_mixed")
PHOTONS = (30, 100, 500, 2000)
PSFS = {"confocal": (13, 17, 17), "widefield": (21, 31, 31)}
METHODS: dict[str, Prior | None] = {
    "RL": None,
    "RLTV": "tv_weight",
    "RL roughness": "roughness_weight",
}
CAMERA = Camera(offset=100.0, gain=1.0, read_noise=1.0)


def psf_of(modality: str) -> Psf:
    """Return the PSF of a water objective of NA 1.2."""
    optics = Optics(modality=modality, numerical_aperture=1.2, immersion_index=1.333)
    data = theoretical_psf(
        optics=optics, emission_um=0.525, voxel_size_um=VOXEL, shape=PSFS[modality]
    )
    return normalised_psf(data, VOXEL, {})


def exposure(recipe: str, psf: Psf, photons: float, seed: int) -> imaging.Exposure:
    """Simulate one volume."""
    return imaging.simulate(
        recipe,
        shape=SHAPE,
        psf=psf.data,
        voxel_size_um=VOXEL,
        photons=photons,
        background_photons=2.0,
        camera=imaging.SimulatedCamera(100.0, 1.0, 1.0),
        rng=generator(seed, "roughness", recipe),
    )


def compare(recipe: str, modality: str, photons: float, seed: int = 1) -> dict[str, list[float]]:
    """Return PSNR in dB, PSNR inside, SSIM, λ and iterations of each method at its best."""
    psf = psf_of(modality)
    shot = exposure(recipe, psf, photons, seed)
    image, truth = shot.images[0], shot.object
    light = truth - truth.min()
    inside = binary_erosion(light > 0.15 * np.percentile(light, 99.5), iterations=2)
    statistics = ChannelStatistics.of_image(image, camera_offset=100.0)
    recipe_of_image = base_recipe(Rl(kind="rl"), statistics=statistics, psf=psf, camera=CAMERA)
    found = {}
    for name, prior in METHODS.items():
        best = tune(with_truth([image], [truth], [recipe_of_image]), psf=psf.data, prior=prior)
        used = recipe_of_image.with_prior(prior, best.weight) if prior else recipe_of_image
        model = used.model(image.shape, psf=psf.data, threads=1)  # type: ignore[arg-type]
        estimate = next(e for k, e in used.iterate(image, model=model) if k == best.iterations)
        slope, offset = np.polyfit(estimate.ravel(), truth.ravel(), 1)
        ssim = structural_similarity(
            truth,
            slope * estimate + offset,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=float(truth.max() - truth.min()),
        )
        own = AffineScore(truth[inside])(estimate[inside]) if np.ptp(truth[inside]) else np.nan
        found[name] = [best.score, own, float(ssim), best.weight, best.iterations]
    return found


def main(quick: bool = False) -> str:
    """Return the table (Markdown)."""
    lines = [
        "| object | microscope | photons | method | PSNR (dB) | inside (dB) | SSIM | λ | iterations |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for modality in ("confocal",) if quick else PSFS:
        for recipe in RECIPES[:2] if quick else RECIPES:
            for photons in (100,) if quick else PHOTONS:
                for name, values in compare(recipe, modality, photons).items():
                    score, own, ssim, weight, iterations = values
                    lines.append(
                        f"| {recipe} | {modality} | {photons} | {name} | {score:.2f} | {own:.2f} | "
                        f"{ssim:.4f} | {weight:.3g} | {iterations:.0f} |"
                    )
    return "\n".join(lines)
