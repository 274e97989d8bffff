"""Restoration end to end, on two cores: compressed OME-Zarr in, RLN, compressed OME-Zarr out.

The rival is RLN as anyone would run it: Keras' model in a `tf.function`, with the same halo and the
same memory for a block, reading, computing and writing one after the other. Every run is a process
of its own, so that peak memory and threads are its own. 9.85 Mvoxel/s is what the authors of RLN
report for a GPU workstation.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from run import Row, memory_gb  # finds the library, too

SHAPE = (256, 640, 640)
MEMORY_GB = 1.0
THREADS = 2
REPEATS = 3
RESIDUAL = (48, 384, 384)
RESIDUAL_GB = 0.4
PHOTONS = 100.0
REFERENCE = os.environ.get("DECON3D_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data")
PUBLISHED = Path(REFERENCE) / "rln_checkpoint"


def process(name: str, *arguments: object) -> dict[str, float]:
    """Run a function of this file in a process of its own; what it prints last is its result."""
    done = subprocess.run(
        [sys.executable, __file__, name, *map(str, arguments)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return json.loads(done.stdout.splitlines()[-1])


def make(folder: Path, *sizes: int) -> dict[str, float]:
    """Write the volume, the bundle and the prepared state."""
    from support.large_volumes import prepared, synthesise

    shape = (sizes[0], sizes[1], sizes[2])
    synthesise(folder / "v.zarr", shape)
    prepared(folder / "bundle").save(folder / "state.json")
    return {}


def ours(folder: Path, engine: str, precision: str) -> dict[str, float]:
    """Restore with the block machine."""
    from decon3d.networks.devices import limit_threads
    from decon3d.restoration.part import restore_part
    from decon3d.restoration.restorers import State, open_restorer
    from decon3d.volumes.reader import open_volume
    from support.large_volumes import described, planned

    limit_threads(THREADS)
    state = State.load(folder / "state.json")
    record = described(folder / "v.zarr", open_volume(folder / "v.zarr").shape[2:])
    target = folder / f"{engine}_{precision}_{time.time_ns()}"
    open_restorer(state, threads=THREADS)  # imports and loading do not count, for either
    started = time.perf_counter()
    planned(target, record, state, memory_gb=MEMORY_GB, engine=engine, precision=precision)
    planning = time.perf_counter() - started
    marker = target / "0.json"
    restore_part(target / "plan.json", [state], part=0, marker=marker, threads=THREADS)
    seconds = time.perf_counter() - started
    found = json.loads(marker.read_text())
    return {
        "rate": found["voxels"] / 1e6 / seconds,
        "overhead": 1 - found["computing_seconds"] / seconds,
        "planning": planning,
        "memory": found["peak_memory_gb"],
    }


def plain(folder: Path) -> dict[str, float]:
    """Restore as anyone would."""
    import tensorflow as tf

    from decon3d.blocks.geometry import choose_block
    from decon3d.networks.bundle import load_bundle
    from decon3d.networks.devices import limit_threads
    from decon3d.restoration.restorers import State
    from decon3d.volumes.reader import open_volume
    from decon3d.volumes.writer import create_level

    limit_threads(THREADS)
    values = State.load(folder / "state.json").values
    model, info = load_bundle(folder / "bundle")
    signature = [tf.TensorSpec((1, None, None, None, 1), tf.float32)]
    run = tf.function(lambda batch: model(batch, training=False), input_signature=signature)
    volume = open_volume(folder / "v.zarr")
    shape = volume.shape[2:]
    block, chunk = choose_block(
        shape,
        halo=info.halo,
        stride=info.stride,
        bytes_per_voxel=info.bytes_per_voxel,
        memory_bytes=MEMORY_GB * 1e9,
    )
    started = time.perf_counter()
    target = create_level(
        folder / f"plain_{time.time_ns()}",
        shape=volume.shape,
        dtype="float32",
        chunk=chunk,
        shard=block,
    )
    halo = info.halo[0]
    for corner in product(*(range(0, n, b) for n, b in zip(shape, block, strict=True))):
        write = [slice(c, min(c + b, n)) for c, b, n in zip(corner, block, shape, strict=True)]
        read = [
            slice(max(w.start - halo, 0), min(w.stop + halo, n))
            for w, n in zip(write, shape, strict=True)
        ]
        counts = volume.read(0, 0, (read[0], read[1], read[2])).astype(np.float32)
        face = [
            (r.start - (w.start - halo), w.stop + halo + (w.stop - w.start) % 2 - r.stop)
            for w, r in zip(write, read, strict=True)
        ]
        counts = np.pad(counts, face, mode="symmetric")
        result = run(((counts - values["offset"]) / values["scale"])[None, ..., None])
        inner = tuple(slice(halo, halo + w.stop - w.start) for w in write)
        restored = result.numpy()[0, ..., 0][inner] * values["scale"] + values["offset"]
        target[(0, 0, *write)] = restored
    return {"rate": np.prod(shape) / 1e6 / (time.perf_counter() - started)}


def network(folder: Path, kind: str, engine: str, precision: str) -> dict[str, float]:
    """A network alone on one block: the rate of what comes out of it, without its halo.

    And its differences to TensorFlow's float32, relative to the maximum.
    """
    from types import SimpleNamespace

    from decon3d.networks.backend import keras
    from decon3d.networks.bundle import Predictor
    from decon3d.networks.devices import limit_threads
    from decon3d.networks.engines import Engine
    from decon3d.networks.geometry import halo_and_stride
    from decon3d.networks.kinds import rl_residual, rln
    from support.large_volumes import OFFSET, scene

    limit_threads(THREADS)
    keras.utils.set_random_seed(1)
    block = (np.tile(scene(), (4, 1, 1))[:128, :128, :128] - np.float32(OFFSET)) / 100
    if kind == "rl_residual":
        model, block = rl_residual.build(inputs=5), np.stack([block] * 5)
        last = model.get_layer("residual")  # starts at zero, which would leave no difference
        last.set_weights([np.random.default_rng(1).normal(0, 0.1, last.kernel.shape)])
    else:
        model = rln.load_published(PUBLISHED) if PUBLISHED.is_dir() else rln.build()
    halo, stride = halo_and_stride(model)
    info = SimpleNamespace(halo=halo, stride=stride)
    expected = Predictor(model, info).predict(block)  # type: ignore[arg-type]
    predictor = Predictor(model, info, engine=Engine(engine, precision), threads=THREADS)  # type: ignore[arg-type]
    error = (predictor.predict(block) - expected) / expected.max()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        predictor.predict(block)
        seconds.append(time.perf_counter() - started)
    return {
        "rate": expected.size / 1e6 / float(np.median(seconds)),
        "rms": float(np.sqrt(np.mean(np.square(error)))),
        "largest": float(np.abs(error).max()),
    }


def residual(folder: Path, modality: str, engine: str) -> dict[str, float]:
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
    from decon3d.volumes.writer import create_level
    from support.chosen_iterations import CAMERA, exposure_of, psf_of
    from support.large_volumes import described, planned
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
    level = create_level(store, shape=(1, 1, *RESIDUAL), dtype="float32", chunk=(24, 64, 64))
    level[0, 0] = np.tile(image, (2, 6, 6))
    write_level_metadata(store)
    record = described(store, RESIDUAL)
    result = {"iterations": found.iterations, "weight": found.weight}
    for name, state in (("rltv", rltv), ("rl_residual", own)):
        target = folder / f"{modality}_{name}"
        options = {"engine": engine} if state.of_network else {}
        open_restorer(state, threads=THREADS)  # imports and loading do not count, for either
        started = time.perf_counter()
        plan = planned(target, record, state, memory_gb=RESIDUAL_GB, **options)
        marker = target / "0.json"
        restore_part(target / "plan.json", [state], part=0, marker=marker, threads=THREADS)
        result |= {name: time.perf_counter() - started, f"{name}_blocks": plan.bounds[-1]}
    return result


def write_level_metadata(store: Path) -> None:
    """Make an OME-Zarr of a level."""
    from decon3d.volumes.writer import write_metadata
    from support.large_volumes import VOXEL

    write_metadata(
        store,
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=VOXEL,
        channel_names=["a"],
        windows=[(0, 1000)],
    )


def on_paper(folder: Path) -> dict[str, float]:
    """Plan 10 TB."""
    from decon3d.restoration.restorers import State
    from support.large_volumes import described, planned

    state = State.load(folder / "state.json")
    record = described(folder / "paper.zarr", (12_500, 20_000, 20_000))
    started = time.perf_counter()
    planned(folder / "paper", record, state, parts=1000)
    return {"seconds": time.perf_counter() - started, "memory": memory_gb()}


def rows() -> Iterator[Row]:
    """End to end, in turn; then the network alone; then planning on paper."""
    engines = [("tensorflow", "float32", None)]
    if find_spec("openvino") is not None:
        engines += [("openvino", "float32", 3.9), ("openvino", "bfloat16", 4.5)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        process("make", folder, *SHAPE)
        rival = process("plain", folder)
        yield Row(
            "RLN end to end, plain tf.function", rival["rate"], "Mvoxel/s (GPU, authors: 9.85)"
        )
        for engine, precision, goal in engines:
            found = process("ours", folder, engine, precision)
            name = f"RLN end to end, {engine} {precision}"
            yield Row(name, found["rate"], "Mvoxel/s (GPU, authors: 9.85)")
            yield Row(f"{name} : plain", found["rate"] / rival["rate"], "", goal, at_least=True)
            yield Row(f"{name}, not computing", 100 * found["overhead"], "%", 3)
            yield Row(f"{name}, peak memory", found["memory"], "GB", 2)
        for kind, (engine, precision, _) in product(("rln", "rl_residual"), engines):
            found = process("network", folder, kind, engine, precision)
            name = f"{kind} alone, 128³ with its halo, {engine} {precision}"
            yield Row(name, found["rate"], "Mvoxel/s")
            goal = 1e-5 if precision == "float32" else None
            yield Row(f"{name}, difference, rms", found["rms"], "of the maximum")
            yield Row(f"{name}, difference, largest", found["largest"], "of the maximum", goal)
        for modality in ("widefield", "confocal"):
            found = process("residual", folder, modality, engines[-1][0])
            name = (
                f"rl_residual by {engines[-1][0]} / RLTV, {modality}, tuned to λ "
                f"{found['weight']:.2g}, {found['iterations']:.0f} iterations; {found['rltv']:.0f} "
                f"s in {found['rltv_blocks']:.0f} blocks"
            )
            yield Row(name, found["rl_residual"] / found["rltv"], "×", 2)
        paper = process("on_paper", folder)
        yield Row("planning 10 TB, 1000 parts", paper["seconds"], "s", 10)
        yield Row("planning 10 TB, peak memory", paper["memory"], "GB", 1)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    name, folder, *arguments = sys.argv[1:]
    sizes = [int(a) for a in arguments] if name == "make" else arguments
    print(json.dumps({k: float(v) for k, v in globals()[name](Path(folder), *sizes).items()}))
