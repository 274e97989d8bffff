"""Phantoms: objects, blur and noise on one core; stores on two.

Run with OMP_NUM_THREADS=1, or the FFTs' and BLAS' threads would count as one core.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from run import Row, memory_gb, seconds

from decon3d.optics.psf import Psf
from decon3d.phantoms.conditions import resolve_conditions
from decon3d.phantoms.imaging import SimulatedCamera, form_image
from decon3d.phantoms.recipes import RECIPES, make_object
from decon3d.phantoms.stores import make_split
from decon3d.seeds import generator
from decon3d.settings import Channel, Optics, Phantoms, Split
from decon3d.volumes.camera import Camera

CUBE = (128, 128, 128)
WITH_MARGINS = (160, 160, 160)
VOXEL = (0.1, 0.1, 0.1)
STORED = 20


def gaussian_psf() -> Psf:
    """A PSF of 33³ voxels."""
    profile = np.exp(-0.5 * (np.arange(-16, 17) / 4) ** 2)
    psf = profile[:, None, None] * profile[:, None] * profile
    return Psf((psf / psf.sum()).astype(np.float32), VOXEL)


def draw(name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """One object."""
    return make_object(name, shape=shape, voxel_size_um=VOXEL, rng=generator(1, name))


def image(structure: np.ndarray, psf: Psf) -> None:
    """Blur and one noise draw of a 128³ field."""
    form_image(
        structure,
        psf=psf.data,
        photons=200,
        background_photons=5,
        camera=SimulatedCamera(),
        rng=generator(1),
    )


def store(folder: str, count: int, processes: int) -> None:
    """A training split."""
    phantoms = Phantoms(shape=CUBE, train=Split(count=count, recipes={"rln_mixed": 1}))
    make_split(
        Path(folder) / f"{count}.zarr",
        split=phantoms.train,
        name="train",
        phantoms=phantoms,
        psf=gaussian_psf(),
        channel=Channel(emission_um=0.525),
        conditions=resolve_conditions(phantoms, camera=Camera()),
        seed=1,
        optics=Optics(modality="confocal", numerical_aperture=1.2, immersion_index=1.333),
        stream=("bench", "c"),
        processes=processes,
    )


def one_worker() -> float:
    """Peak memory of a process that makes one volume after another."""
    with tempfile.TemporaryDirectory() as folder:
        store(folder, 3, 1)
    return memory_gb()


def rows() -> Iterator[Row]:
    yield Row("rln_mixed 128³, object", seconds(lambda: draw("rln_mixed", CUBE)), "s", 0.5)
    structure, psf = draw("rln_mixed", WITH_MARGINS), gaussian_psf()
    yield Row("128³, blur by 33³ and noise", seconds(lambda: image(structure, psf)), "s", 0.3)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store(folder, STORED, 2)
        made = time.perf_counter() - start
    yield Row("100 of rln_mixed 128³ on 2 cores (5 × 20)", made * 100 / STORED, "s", 60)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield Row("peak memory of a worker, 128³", pool.submit(one_worker).result(), "GB")
    for name in RECIPES:
        if name not in ("rln_mixed", "spheres_2x", "spheres_3x", "spheres_4x"):
            yield Row(f"{name} 128³, object", seconds(lambda n=name: draw(n, CUBE), runs=2), "s")
