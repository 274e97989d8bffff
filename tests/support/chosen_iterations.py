"""What `iterations: auto` chooses on simulated volumes, and what the truth would choose."""

import time
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from scipy.ndimage import gaussian_filter

from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.risk import LONGER_PRIOR, TRUST_PRIOR, ImageNoise, risk_subjects
from decon3d.classical.tuning import AffineScore, TuningResult, scores, tune, with_truth
from decon3d.errors import UserError
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.imaging import Exposure, SimulatedCamera, form_image, margins, simulate
from decon3d.restoration.iterations import Choice, choose_iterations
from decon3d.restoration.tuning import RISK_TOLERANCE
from decon3d.seeds import generator
from decon3d.settings import Optics
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.gaussians import gaussian_psf

KINDS = ("tubules", "membranes", "nuclei", "er_network", "broad", "spheres", "beads", "texture")
CAMERA = {"offset": 100.0, "gain": 1.0, "read_noise": 1.5}
LONGEST = 400
"""Iterations at which a rising quality is no longer followed."""
FALLEN = 0.5
"""dB below the best at which a run is past it."""


def psf_of(name: str) -> Psf:
    """Return a PSF by name: gaussian (σ 1 voxel), or confocal, widefield or light_sheet from theory."""
    if name == "gaussian":
        return normalised_psf(gaussian_psf((9, 9, 9), (1, 1, 1)), (0.1, 0.1, 0.1), {})
    voxel, optics, options = {
        "confocal": (
            (0.25, 0.12, 0.12),
            {"numerical_aperture": 1.2, "immersion_index": 1.333, "pinhole_au": 1.0},
            {"excitation_um": 0.488},
        ),
        "widefield": ((0.8, 0.22, 0.22), {"numerical_aperture": 0.8, "immersion_index": 1.0}, {}),
        "light_sheet": (
            (0.4, 0.2, 0.2),
            {"numerical_aperture": 0.8, "immersion_index": 1.333, "sheet_thickness_um": 2.0},
            {},
        ),
    }[name]
    data = theoretical_psf(
        optics=Optics(modality=name, **optics), emission_um=0.525, voxel_size_um=voxel, **options
    )
    return normalised_psf(data, voxel, {})


def exposure_of(
    kind: str, psf: Psf, photons: float, *, shape=(24, 48, 48), seed: int = 1
) -> Exposure:
    """Image an object of one kind through a PSF, over a background of 2 % of the photons."""
    rng = generator(seed, "iterations", kind, f"{photons:g}")
    options = {
        "psf": psf.data,
        "photons": photons,
        "background_photons": max(1.0, 0.02 * photons),
        "camera": SimulatedCamera(**CAMERA),
        "rng": rng,
    }
    drawn = {"beads": _beads, "texture": _texture}
    if kind not in drawn:
        return simulate(kind, shape=shape, voxel_size_um=psf.voxel_size_um, **options)
    whole = tuple(n + 2 * m for n, m in zip(shape, margins(psf.data), strict=True))
    return form_image(drawn[kind](whole, rng), **options)


def _beads(shape, rng) -> np.ndarray:
    """Draw balls of about two voxels."""
    field = np.zeros(shape, np.float32)
    for _ in range(max(6, int(np.prod(shape) * 2e-4))):
        field[tuple(rng.integers(0, n) for n in shape)] += rng.uniform(0.3, 1)
    return gaussian_filter(field, 0.8)


def _texture(shape, rng) -> np.ndarray:
    """Draw smooth bodies with a texture of a 1/f amplitude spectrum."""
    axes = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    frequency = np.maximum(np.sqrt(sum(np.square(a) for a in axes)), 1 / max(shape))
    field = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) / frequency**1.5).real
    bodies = gaussian_filter((rng.random(shape) < 3e-4).astype(float), 8)
    bodies = gaussian_filter((bodies > np.quantile(bodies, 0.6)).astype(float), 1.5)
    return (np.exp(0.6 * (field - field.mean()) / field.std()) * bodies).astype(np.float32)


@dataclass(frozen=True)
class Outcome:
    """Iterations chosen and best, and what the choice costs."""

    choice: Choice
    best: int
    lost: float
    """dB of affine-matched PSNR below the best."""


def outcome(exposure: Exposure, psf: Psf, *, camera: Camera | None = None) -> Outcome:
    """Compare what the data choose with what the truth would choose."""
    image = exposure.images[0]
    used = Camera(**CAMERA) if camera is None else camera
    recipe = base_recipe(
        Rl(kind="rl"),
        psf=psf,
        camera=used,
        statistics=ChannelStatistics.of_image(image, camera_offset=used.offset),
    )
    choice = choose_iterations(recipe, sample=[image], psf=psf, camera=used, seed=1)
    truth = AffineScore(exposure.object)
    model = recipe.model(image.shape, psf=psf.data, threads=1)
    quality: list[float] = []
    for k, estimate in recipe.iterate(image, model=model):
        quality.append(truth(estimate))
        if k >= choice.iterations and (quality[-1] < max(quality) - FALLEN or k >= LONGEST):
            break
    best = int(np.argmax(quality)) + 1
    return Outcome(choice, best, max(quality) - quality[choice.iterations - 1])


@dataclass(frozen=True)
class Tuned:
    """λ of the total variation by the data and by the truth, and what the choice costs."""

    chosen: float
    best: float
    lost: float
    """dB of affine-matched PSNR below the best, iterations included; NaN = the search is refused,
    since the best λ seems to be 0."""


def lost_by_tuning(exposure: Exposure, psf: Psf) -> Tuned:
    """Compare RLTV tuned by the predicted error with RLTV tuned on the truth."""
    image = exposure.images[0]
    camera = Camera(**CAMERA)
    recipe = base_recipe(
        Rltv(kind="rltv"),
        psf=psf,
        camera=camera,
        statistics=ChannelStatistics.of_image(image, camera_offset=camera.offset),
    )
    noise = ImageNoise(CAMERA["gain"], CAMERA["offset"] - CAMERA["read_noise"] ** 2)
    options = {"psf": psf.data, "prior": "tv_weight"}
    subjects = risk_subjects([image], recipe=recipe, noise=noise, seed=1, trust=TRUST_PRIOR)
    best = tune(with_truth([image], [exposure.object], [recipe]), **options)
    try:
        found = tune(subjects, tolerance=RISK_TOLERANCE, **options)
    except UserError:  # no weight is best: the search is refused
        return Tuned(0.0, best.weight, np.nan)
    truth = AffineScore(exposure.object)
    model = recipe.model(image.shape, psf=psf.data, threads=1)
    run = replace(recipe, tv_weight=found.weight).iterate(image, model=model)
    *_, (_, estimate) = islice(run, round(LONGER_PRIOR * found.iterations))
    return Tuned(found.weight, best.weight, best.score - truth(estimate))


@dataclass(frozen=True)
class Bounded:
    """What the tolerance and the bounds of the tuning cost."""

    found: TuningResult
    seconds: float
    lost: float
    """dB of affine-matched PSNR that more iterations at the chosen λ would gain."""


def lost_by_bounds(exposure: Exposure, psf: Psf, *, most: int = 1600) -> Bounded:
    """Tune RLTV on the truth, and follow the chosen λ up to `most` iterations."""
    image = exposure.images[0]
    camera = Camera(**CAMERA)
    recipe = base_recipe(
        Rltv(kind="rltv"),
        psf=psf,
        camera=camera,
        statistics=ChannelStatistics.of_image(image, camera_offset=camera.offset),
    )
    started = time.process_time()
    found = tune(with_truth([image], [exposure.object], [recipe]), psf=psf.data, prior="tv_weight")
    seconds = time.process_time() - started
    longer = with_truth([image], [exposure.object], [replace(recipe, tv_weight=found.weight)])
    best = max(score for _, score in scores(longer, psf=psf.data, most=most))
    return Bounded(found, seconds, best - found.score)
