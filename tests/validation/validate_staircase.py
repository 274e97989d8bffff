"""When does the measure of staircase warn? Textured, smooth and flat objects, restored by many ways.

It should warn of total variation with many iterations on a textured object, and never of
Richardson-Lucy, the raw image, or a smooth truth. It should recognise a flat object whose pieces
are larger than the smoothing, as with a confocal PSF.
"""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.classical.kind import Classical
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rl_roughness import RlRoughness
from decon3d.classical.kinds.rltv import Rltv
from decon3d.evaluation.staircase import REFERENCE, Staircase, staircase
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms import imaging
from decon3d.phantoms.ellipsoids import Ellipsoid, draw_ellipsoids
from decon3d.phantoms.grids import Grid
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import open_restorer
from decon3d.seeds import generator
from decon3d.settings import Optics
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics

VOXEL = (0.25, 0.1, 0.1)
SHAPE = (20, 48, 48)
PSFS = {"confocal": (13, 17, 17), "widefield": (21, 31, 31)}
OBJECTS = ("textured", "smooth", "flat")
PHOTONS = (100, 500, 2000)
CAMERA = Camera(offset=100.0, gain=1.0, read_noise=1.0)
METHODS: dict[str, Classical] = {
    "RL, 10 iterations": Rl(kind="rl", iterations=10),
    "RL, 40 iterations": Rl(kind="rl", iterations=40),
    "RLTV, λ 0.002, 60 iterations": Rltv(kind="rltv", tv_weight=0.002, iterations=60),
    "RLTV, λ 0.002, 200 iterations": Rltv(kind="rltv", tv_weight=0.002, iterations=200),
    "RL roughness, λ 0.03, 40 iterations": RlRoughness(
        kind="rl_roughness", roughness_weight=0.03, iterations=40
    ),
    "RL roughness, λ 0.1, 40 iterations": RlRoughness(
        kind="rl_roughness", roughness_weight=0.1, iterations=40
    ),
}


def psf_of(modality: str) -> Psf:
    """Return the PSF of a water objective of NA 1.2."""
    optics = Optics(modality=modality, numerical_aperture=1.2, immersion_index=1.333)
    data = theoretical_psf(
        optics=optics, emission_um=0.525, voxel_size_um=VOXEL, shape=PSFS[modality]
    )
    return normalised_psf(data, VOXEL, {})


def draw(kind: str, shape: tuple[int, int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw an object: a large nucleus, textured, smooth or of two flat levels."""
    grid = Grid(shape, VOXEL, 1.0)
    centre = np.array(shape) * VOXEL * (0.5 + 0.03 * rng.standard_normal(3))
    body = Ellipsoid(centre, np.diag([1.9, 2.4, 2.2]) * rng.uniform(0.9, 1.1))
    if kind == "flat":
        return draw_ellipsoids([body, body.scaled(0.5, brightness=1.5)], grid, overlap="brighter")
    frequencies = [np.fft.fftfreq(n, v) for n, v in zip(shape, VOXEL, strict=True)]
    radius = np.sqrt(sum(np.square(f) for f in np.meshgrid(*frequencies, indexing="ij")))
    radius[0, 0, 0] = np.inf
    field = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * radius**-1.8).real
    structure = draw_ellipsoids([body], grid, overlap="sum") * np.exp(0.5 * field / field.std())
    if kind == "smooth":
        structure = gaussian_filter(structure, (0.6, 1.5, 1.5))
    return structure.astype(np.float32)


def judged(kind: str, modality: str, photons: float, seed: int) -> Iterator[tuple[str, Staircase]]:
    """Yield the measure for each restoration of one simulated volume."""
    psf, rng = psf_of(modality), generator(seed, "staircase", kind)
    z, y, x = (n + 2 * m for n, m in zip(SHAPE, imaging.margins(psf.data), strict=True))
    shot = imaging.form_image(
        draw(kind, (z, y, x), rng),
        psf=psf.data,
        photons=photons,
        background_photons=2.0,
        camera=imaging.SimulatedCamera(100.0, 1.0, 1.0),
        rng=rng,
    )
    image = shot.images[0]
    statistics = ChannelStatistics.of_image(image, camera_offset=100.0)

    def restored(method: Classical) -> NDArray[np.float32]:
        state = prepare_classical(method, statistics=statistics, psf=psf, tuned={}, camera=CAMERA)
        return restore_array(image, open_restorer(state, threads=1), state)

    rl = restored(REFERENCE)
    results = {"raw": image, "truth, blurred by 0.5 to 1 voxel": shot.object}
    results["truth, blurred by 0.5 to 1 voxel"] = gaussian_filter(shot.object, (0.5, 1, 1))
    results |= {name: restored(method) for name, method in METHODS.items()}
    for name, result in results.items():
        yield name, staircase(image, rl, result, psf=psf, background=statistics.background)


def main(quick: bool = False) -> str:
    """Return the table (Markdown): flat voxels and warnings of each restoration."""
    rows: dict[tuple[str, str, str], list[Staircase]] = defaultdict(list)
    for modality in ("confocal",) if quick else PSFS:
        for kind in OBJECTS:
            for photons in (500,) if quick else PHOTONS:
                for seed in (1,) if quick else (1, 2, 3):
                    for name, found in judged(kind, modality, photons, seed):
                        rows[kind, modality, name].append(found)
    lines = [
        "| object | microscope | restoration | flat voxels | of RL | warnings | object is flat |",
        "|---|---|---|---|---|---|---|",
    ]
    for (kind, modality, name), several in rows.items():
        shares = [100 * f.restored for f in several]
        lines.append(
            f"| {kind} | {modality} | {name} | {min(shares):.2f} to {max(shares):.2f} % | "
            f"{100 * np.median([f.rl for f in several]):.2f} % | "
            f"{sum(f.warns for f in several)} of {len(several)} | "
            f"{sum(f.flat_object for f in several)} |"
        )
    return "\n".join(lines)
