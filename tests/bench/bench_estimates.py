"""What `rl_residual` costs beside the RLTV that a search chose: the same volume, the same memory.

Everything between the compressed input and the compressed output counts, for both. The volume has
several blocks for both. RLTV's λ and iterations are tuned on phantoms of the microscope, as the
workflow does it; the network's weights do not matter for its speed.
"""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from run import Row, answer, process  # finds the library, too

SCRIPT = "bench_estimates.py"
CASES = {"confocal": ((48, 384, 384), 0.3), "widefield": ((64, 512, 512), 0.75)}
"""Voxels (Z, Y, X) and GB for a block, by modality."""
KINDS = ("broad", "tubules", "er_network")
PHOTONS = 100.0
THREADS = 2


def residual(folder: Path, modality: str) -> dict[str, float]:
    """Restore a volume of several blocks with rl_residual and with the RLTV that a search chose.

    Returns
    -------
    dict
        Seconds of both, their blocks, and what RLTV was tuned to.
    """
    from decon3d.classical.channel import base_recipe
    from decon3d.classical.kinds.rltv import Rltv
    from decon3d.classical.tuning import tune, with_truth
    from decon3d.networks.backend import keras
    from decon3d.networks.devices import limit_threads
    from decon3d.networks.kinds import rl_residual
    from decon3d.restoration.part import restore_part
    from decon3d.restoration.prepare import prepare_classical, prepare_network
    from decon3d.restoration.restorers import open_restorer
    from decon3d.volumes.camera import Camera
    from decon3d.volumes.statistics import ChannelStatistics
    from support.chosen_iterations import CAMERA, exposure_of, psf_of
    from support.large_volumes import VOXEL, described, planned
    from support.small_networks import write
    from support.volumes import own_volume

    limit_threads(THREADS)
    shape, memory_gb = CASES[modality]
    psf, camera = psf_of(modality), Camera(**CAMERA)
    method = Rltv(kind="rltv")
    small = [exposure_of(kind, psf, PHOTONS, shape=(24, 64, 64)) for kind in KINDS]
    images = [exposure.images[0] for exposure in small]
    image = images[0]
    about = {
        "statistics": ChannelStatistics.of_image(image, camera_offset=camera.offset),
        "psf": psf,
        "camera": camera,
    }
    recipes = [base_recipe(method, **about)] * len(small)
    subjects = with_truth(images, [exposure.object for exposure in small], recipes)
    found = tune(subjects, psf=psf.data, prior="tv_weight", threads=THREADS)
    tuned = {"tv_weight": found.weight, "iterations": found.iterations}
    rltv = prepare_classical(method, tuned=tuned, **about)
    settings = rl_residual.RlResidual(kind="rl_residual")
    estimates = rl_residual.METHOD.estimates(settings)
    keras.utils.set_random_seed(1)
    model = rl_residual.build(**rl_residual.METHOD.options(settings))
    write(
        folder / modality,
        model,
        "rl_residual",
        bytes_per_voxel=rl_residual.METHOD.bytes_per_voxel(settings),
        estimates=estimates,
        input_channels=model.input_shape[-1],
    )
    own = prepare_network(folder / modality, **about)
    store = folder / f"{modality}.zarr"
    z, y, x = shape
    values = np.tile(image, (3, 8, 8))[:z, :y, :x]
    own_volume(store, values, chunk=(24, 64, 64), voxel_size_um=VOXEL)
    record = described(store, shape)
    result = {"iterations": found.iterations, "weight": found.weight}
    for name, state in (("rltv", rltv), ("rl_residual", own)):
        target = folder / f"{modality}_{name}"
        open_restorer(state, threads=THREADS)  # imports and loading do not count, for either
        started = time.perf_counter()
        plan = planned(target, record, state, memory_gb=memory_gb)
        marker = target / "0.json"
        restore_part(target / "plan.json", [state], part=0, marker=marker, threads=THREADS)
        result |= {name: time.perf_counter() - started, f"{name}_blocks": plan.bounds[-1]}
    return result


def quick() -> Iterator[Row]:
    """The confocal row."""
    yield from _rows(["confocal"])


def rows() -> Iterator[Row]:
    """All cases."""
    yield from _rows(CASES)


def _rows(modalities: Iterable[str]) -> Iterator[Row]:
    for modality in modalities:
        with tempfile.TemporaryDirectory() as folder:
            found = process(SCRIPT, "residual", folder, modality)
        yield Row(
            f"RLTV, {modality}, tuned: {found['iterations']:.0f} iterations, "
            f"{found['rltv_blocks']:.0f} blocks",
            found["rltv"],
            "s",
        )
        shape, memory_gb = CASES[modality]
        size = " × ".join(map(str, shape))
        name = f"rl_residual / tuned RLTV, {modality}, {size}, {memory_gb:g} GB per block"
        yield Row(name, found["rl_residual"] / found["rltv"], "×", 2, worse="slower")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    answer(globals())
