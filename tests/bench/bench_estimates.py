"""What `rl_residual` costs beside the RLTV that a search chose: the same volume, the same memory.

Everything between the compressed input and the compressed output counts, for both. The volume has
several blocks. RLTV's λ and iterations are tuned on a phantom of the microscope, as the workflow
does it; the network's weights do not matter for its speed.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from run import Row, answer, process  # finds the library, too

SCRIPT = "bench_estimates.py"
SHAPE = (48, 384, 384)
MEMORY_GB = 0.4
PHOTONS = 100.0
THREADS = 2
MODALITIES = ("widefield", "confocal")


def residual(folder: Path, modality: str) -> dict[str, float]:
    """Restore a volume of several blocks with rl_residual and with the RLTV that a search chose.

    Returns
    -------
    dict
        Seconds of both, their blocks, what RLTV was tuned to, and the seconds of the estimates.
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
    from decon3d.volumes.writer import create_level, write_metadata
    from support.chosen_iterations import CAMERA, exposure_of, psf_of
    from support.large_volumes import VOXEL, described, planned
    from support.small_networks import write

    limit_threads(THREADS)
    psf, camera = psf_of(modality), Camera(**CAMERA)
    method = Rltv(kind="rltv")
    small = exposure_of("broad", psf, PHOTONS, shape=(24, 64, 64))
    image = small.images[0]
    about = {
        "statistics": ChannelStatistics.of_image(image, camera_offset=camera.offset),
        "psf": psf,
        "camera": camera,
    }
    subjects = with_truth([image], [small.object], [base_recipe(method, **about)])
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
    level = create_level(store, shape=(1, 1, *SHAPE), dtype="float32", chunk=(24, 64, 64))
    level[0, 0] = np.tile(image, (2, 6, 6))
    write_metadata(
        store,
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=VOXEL,
        channel_names=["a"],
        windows=[(0, 1000)],
    )
    record = described(store, SHAPE)
    result = {"iterations": found.iterations, "weight": found.weight}
    for name, state in (("rltv", rltv), ("rl_residual", own)):
        target = folder / f"{modality}_{name}"
        open_restorer(state, threads=THREADS)  # imports and loading do not count, for either
        started = time.perf_counter()
        plan = planned(target, record, state, memory_gb=MEMORY_GB)
        marker = target / "0.json"
        restore_part(target / "plan.json", [state], part=0, marker=marker, threads=THREADS)
        result |= {name: time.perf_counter() - started, f"{name}_blocks": plan.bounds[-1]}
    return result


def quick() -> Iterator[Row]:
    """The widefield row."""
    yield from _rows(MODALITIES[:1])


def rows() -> Iterator[Row]:
    """Widefield and confocal."""
    yield from _rows(MODALITIES)


def _rows(modalities: tuple[str, ...]) -> Iterator[Row]:
    for modality in modalities:
        with tempfile.TemporaryDirectory() as folder:
            found = process(SCRIPT, "residual", folder, modality)
        yield Row(
            f"RLTV, {modality}, tuned: {found['iterations']:.0f} iterations, "
            f"{found['rltv_blocks']:.0f} blocks",
            found["rltv"],
            "s",
        )
        name = f"rl_residual / tuned RLTV, {modality}, {' × '.join(map(str, SHAPE))}"
        yield Row(name, found["rl_residual"] / found["rltv"], "×", 2, worse="slower")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    answer(globals())
