"""Restoration end to end, on two cores: compressed OME-Zarr in, RLN, compressed OME-Zarr out.

The rival is RLN as anyone would run it: Keras' model in a `tf.function`, with the same halo and the
same memory for a block, reading, computing and writing one after the other. Every run is a process
of its own, so that peak memory and threads are its own. 9.85 Mvoxel/s is what the authors of RLN
report for a GPU workstation.
"""

import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
from run import Row, answer, memory_gb, process  # finds the library, too

SHAPE = (256, 640, 640)
QUICK_SHAPE = (128, 512, 512)
SCRIPT = "bench_restoration.py"
MEMORY_GB = 1.0
THREADS = 2
REPEATS = 3
REFERENCE = os.environ.get("DECON3D_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data")
PUBLISHED = Path(REFERENCE) / "rln_checkpoint"


def make(folder: Path, *sizes: str) -> dict[str, float]:
    """Write the volume, the bundle and the prepared state."""
    from support.large_volumes import prepared, synthesise

    z, y, x = map(int, sizes)
    synthesise(folder / "v.zarr", (z, y, x))
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
    marker = target / "0.json"
    restore_part(target / "plan.json", [state], part=0, marker=marker, threads=THREADS)
    seconds = time.perf_counter() - started
    found = json.loads(marker.read_text())
    return {
        "ns": seconds / found["voxels"] * 1e9,
        "overhead": 1 - found["computing_seconds"] / seconds,
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
    return {"ns": (time.perf_counter() - started) / np.prod(shape) * 1e9}


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
        "ns": float(np.median(seconds)) / expected.size * 1e9,
        "rms": float(np.sqrt(np.mean(np.square(error)))),
        "largest": float(np.abs(error).max()),
    }


def on_paper(folder: Path) -> dict[str, float]:
    """Plan 10 TB."""
    from decon3d.restoration.restorers import State
    from support.large_volumes import described, planned

    state = State.load(folder / "state.json")
    record = described(folder / "paper.zarr", (12_500, 20_000, 20_000))
    started = time.perf_counter()
    planned(folder / "paper", record, state, parts=1000)
    return {"seconds": time.perf_counter() - started, "memory": memory_gb()}


def quick() -> Iterator[Row]:
    """End to end on a smaller volume; RLN alone."""
    yield from _restoring(QUICK_SHAPE, ["rln"])


def rows() -> Iterator[Row]:
    """End to end, in turn; then the networks alone; then planning on paper."""
    yield from _restoring(SHAPE, ["rln", "rl_residual"])
    with tempfile.TemporaryDirectory() as folder:
        process(SCRIPT, "make", folder, 32, 64, 64)
        paper = process(SCRIPT, "on_paper", folder)
    yield Row("planning 10 TB, 1000 parts", paper["seconds"], "s", 10)
    yield Row("planning 10 TB, peak memory", paper["memory"], "GB", 1)


def _restoring(shape: tuple[int, int, int], kinds: list[str]) -> Iterator[Row]:
    # Goals: the time relative to plain, the nanoseconds per voxel.
    engines: dict[tuple[str, str], tuple[float | None, float | None]]
    engines = {("tensorflow", "float32"): (None, None)}
    if find_spec("openvino") is not None:
        engines |= {
            ("openvino", "float32"): (0.256, 167),
            ("openvino", "bfloat16"): (0.222, 135),
        }
    found = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        process(SCRIPT, "make", folder, *shape)
        for _ in range(REPEATS):
            found["plain"].append(process(SCRIPT, "plain", folder))
            for engine in engines:
                found[engine].append(process(SCRIPT, "ours", folder, *engine))
    what = f"RLN, OME-Zarr to OME-Zarr, {' × '.join(map(str, shape))}"
    plain = [one["ns"] for one in found["plain"]]
    yield Row(f"{what}, plain tf.function", plain, "ns/voxel (authors, GPU: 102)")
    for engine, (goal, nanoseconds) in engines.items():
        name, runs = f"{what}, {' '.join(engine)}", found[engine]
        spent = [one["ns"] for one in runs]
        yield Row(name, spent, "ns/voxel (authors, GPU: 102)", nanoseconds)
        relative = [own / other for own, other in zip(spent, plain, strict=True)]
        yield Row(f"{name} / plain", relative, "×", goal, worse="slower")
        yield Row(f"{name}, not computing", [100 * one["overhead"] for one in runs], "%", 3)
        yield Row(f"{name}, peak memory", [one["memory"] for one in runs], "GB", 2)
    for kind, engine in product(kinds, engines):
        alone = process(SCRIPT, "network", "-", kind, *engine)
        name = f"{kind} alone, 128³ with its halo, {' '.join(engine)}"
        yield Row(name, alone["ns"], "ns/voxel")
        goal = 1e-5 if engine[1] == "float32" else None
        yield Row(f"{name}, difference, rms", alone["rms"], "of the maximum")
        yield Row(f"{name}, difference, largest", alone["largest"], "of the maximum", goal)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    answer(globals())
