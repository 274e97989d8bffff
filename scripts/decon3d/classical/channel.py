"""What a channel's data fix for a classical method: constants, reach and memory."""

from collections.abc import Sequence

import numpy as np

from decon3d.blocks.geometry import triple
from decon3d.classical.back_projectors import damping_counts
from decon3d.classical.coarse_to_fine import bins_of
from decon3d.classical.estimates import Run
from decon3d.classical.kind import Classical
from decon3d.classical.recipe import BackProjector, Recipe
from decon3d.classical.registry import CLASSICAL
from decon3d.optics.psf import Psf, half_width
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

PRIOR_REACH = 4
"""Voxels of halo for a prior. With total variation and a compact PSF, 3e-4 of the maximum differ at
a seam without (99.9th percentile), 1e-4 with it."""
FEW_ITERATIONS = 40
"""Iterations for which a halo of three half-widths of the PSF suffices."""
START = 0.06
"""What floors are relative to, as a share of the foreground's brightness (the normalisation's
scale): the smallest start is a hundredth of it."""
CALM = 0.03
"""How much noise may change a voxel of an empty place per iteration, at most, relative to the
expected counts there. Specks grow with it. With a Gaussian PSF of σ 1 voxel, a background of 2
photons and a read noise of 1.5, it is 0.07 without damping, and specks reach 36 counts within 15
accelerated iterations; with damping 18, at 0.3 dB more on a specimen of 200 photons."""
ARRAYS = 12
"""Arrays of the size of a block that are alive at once: of an iteration, or of `Recipe.restored`
after it. Measured on the CPU with PSFs of 9 x 9 x 9 voxels and blocks of 48 x 96 x 96 and
60 x 160 x 160 voxels: 10.0 for Richardson-Lucy and total variation, 11.3 for Good's roughness."""
ARRAYS_UNMATCHED = 20
"""The same for an unmatched back projector: 18.1 were measured."""
ARRAYS_CONSENSUS = 24
"""The same for gradient consensus: 22.2 were measured."""
GPU_ARRAYS = {"plain": 22, "prior": 26, "consensus": 42}
"""Arrays on a GPU, where slabs do not keep temporaries small: for plain Richardson-Lucy 8 that
last, 5 temporaries and the work space of 7 transforms. Counted, not measured."""


def base_recipe(
    method: Classical, *, statistics: ChannelStatistics, psf: Psf, camera: Camera | None
) -> Recipe:
    """Fix the constants that follow from a channel's statistics and from the camera.

    The background is the level of the empty places, or the camera's offset where that is higher.
    With the offset alone, stray light is left to the object, and positivity, which does most of
    the work in empty places, cannot act: measured on phantoms with 5 photons of even background,
    the best RL loses 0.6 to 1.0 dB (50 and 500 photons), the best RLTV 0.8 to 1.7. The camera's
    offset has no shot noise and is left out of the noise model (`Recipe.dark_level`), less the read
    noise's variance; without a camera, or where neither the config nor the data tell its dark
    level, the whole background counts as light. A normalisation that the config fixes fixes the
    background, too.

    Back projected noise changes an empty voxel by a share in every iteration. Where that is more
    than `CALM`, counts are added to image and model (`Recipe.damping`) until it is not: with narrow
    PSFs and few photons. At faces, the iteration adds more (`even_noise`). An unmatched back
    projector has its own damping (`back_projectors.damping_counts`).

    Floors are a share of the specimen's brightness. The mean of all voxels would do as well, but it
    depends on how much darkness lies around the specimen, and so would the result.
    """
    fixed = statistics.normalisation_from == "config"
    law = statistics.normalisation
    background = law.offset if fixed else statistics.background
    dark = 0.0
    if camera is not None and camera.offset_from in ("config", "frames"):
        background = max(background, camera.offset)
    if camera is not None and camera.offset_from != "assumed":
        dark = camera.dark_level
    dark = min(dark, background)
    sigma = statistics.background_sigma
    back_projector: BackProjector = getattr(method, "back_projector", "matched")
    if back_projector == "matched":
        calm = float(np.linalg.norm(psf.data)) * sigma / CALM
        damping = max(calm - (background - dark), 0.0)
    else:
        damping = damping_counts(psf.data, background_sigma=sigma)
    acceleration = getattr(method, "acceleration", "none")
    return Recipe(
        background=background,
        initial=max(START * (law.offset + law.scale - background), 1e-3 * law.scale),
        voxel_size_um=psf.voxel_size_um,
        acceleration="none" if acceleration == "none" else "heavy_ball",
        back_projector=back_projector,
        dark_level=dark,
        damping=damping,
        lowest=min(0.0, statistics.percentiles["0.1"]),
        saturation=statistics.saturation,
        kind=method.kind,
        coarse_to_fine=acceleration == "coarse_to_fine",
        options=CLASSICAL[method.kind].options(method),
    )


def halo_of(runs: Sequence[Run], *, psf: Psf) -> tuple[int, int, int]:
    """Return the voxels of context (Z, Y, X) that runs need, at most.

    Three half-widths of the PSF, also of a compact one: two leave up to 1e-3 of the maximum at a
    seam after 15 accelerated iterations, 3e-3 after 40. After 100, three leave 5e-3 at the
    brightest of 200,000 voxels, four 6e-4. On binned data, the PSF reaches one or two
    voxels farther. A prior adds some voxels. An unmatched back projector reaches twice as far, and
    does it once or twice.
    """
    halos = []
    for run in runs:
        number = run.recipe.coarse_iterations + run.iterations[-1]
        few = number <= FEW_ITERATIONS and run.recipe.back_projector == "matched"
        wide = 3 if few else 4
        extra = min(PRIOR_REACH, run.iterations[-1]) if _has_prior(run.recipe) else 0
        bins = bins_of(psf.data) if run.recipe.coarse_to_fine else (1, 1, 1)
        reaches = [n * (h // n + (n > 1)) for h, n in zip(half_width(psf), bins, strict=True)]
        halos.append([wide * max(h, 1) + extra for h in reaches])
    return triple(max(along) for along in zip(*halos, strict=True))


def bytes_per_voxel(runs: Sequence[Run], *, device: str = "cpu") -> float:
    """Return the memory in bytes that runs take per voxel of a block, without their results."""
    return 4.0 * max(_gpu_arrays(run) if device == "gpu" else _arrays(run) for run in runs)


def _arrays(run: Run) -> int:
    if run.recipe.photons:
        return ARRAYS_CONSENSUS
    return ARRAYS if run.recipe.back_projector == "matched" else ARRAYS_UNMATCHED


def _gpu_arrays(run: Run) -> int:
    if run.recipe.photons:
        return GPU_ARRAYS["consensus"]
    return GPU_ARRAYS["prior" if _has_prior(run.recipe) else "plain"]


def _has_prior(recipe: Recipe) -> bool:
    return bool(recipe.tv_weight or recipe.roughness_weight)
