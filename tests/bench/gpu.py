"""Measure a GPU node in ten minutes: `make bench-gpu`, or `python tests/bench/gpu.py`.

Richardson-Lucy and RLTV on CuPy; RLN, RCAN and rl_residual on TensorFlow (compiled by XLA, in
float32 and bfloat16); training steps. Results are compared with the CPU's on a small block. Blocks
are computed one after the other, and two at a time: then one is copied while the other is
computed. Without a GPU the script stops; `--stand-in` runs it on the CPU with small sizes, which
tests the script and measures nothing.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import numpy as np
from run import Row  # finds the library, too

from decon3d.classical.device import CPU, Device, gpu
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.recipe import Recipe
from decon3d.errors import UserError
from decon3d.networks import devices
from decon3d.networks.backend import keras, tf
from decon3d.networks.bundle import Predictor, calibrate
from decon3d.networks.engines import Engine
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kind import NetworkSection
from decon3d.networks.layers import global_means
from decon3d.networks.registry import network
from decon3d.training.step import Step

VOXEL = (0.3, 0.15, 0.15)
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05}
"""Largest difference to the CPU, relative to the maximum."""
FULL = {"rln": {}, "rcan": {}, "rl_residual": {"inputs": 3}}
TINY = {"rln": {}, "rcan": {"groups": 1, "blocks": 1, "channels": 8}, "rl_residual": {"inputs": 3}}


@dataclass(frozen=True)
class Sizes:
    """What is measured (voxels Z, Y, X)."""

    image: tuple[int, int, int] = (128, 512, 512)
    psf: tuple[int, int, int] = (33, 65, 65)
    iterations: int = 50
    block: tuple[int, int, int] = (64, 192, 192)
    """Inner part of a network's block."""
    blocks: int = 6
    crop: tuple[int, int, int] = (64, 64, 64)
    steps: int = 40
    networks: dict[str, dict[str, int]] = field(default_factory=lambda: FULL)
    mixed: tuple[bool, ...] = (False, True)
    """Training in float32 and in mixed precision; TensorFlow cannot do the latter on a CPU."""


SMALL = Sizes((16, 32, 32), (5, 7, 7), 3, (8, 8, 8), 2, (16, 16, 16), 2, TINY, (False,))


def rows(sizes: Sizes, device: Device) -> Iterator[Row]:
    """Measure everything, the quick things first."""
    yield from classical(sizes, device)
    for kind in sizes.networks:
        yield from restoring(kind, sizes)
    for kind in sizes.networks:
        for mixed in sizes.mixed:
            yield training(kind, sizes, mixed=mixed)


def classical(sizes: Sizes, device: Device) -> Iterator[Row]:
    """RL and RLTV: speed per iteration with both copies, and the difference to the CPU."""
    axes = np.meshgrid(*(np.linspace(-3, 3, n) for n in sizes.psf), indexing="ij")
    psf = np.exp(-sum(a**2 for a in axes) / 2)
    psf = (psf / psf.sum()).astype(np.float32)
    rng = np.random.default_rng(0)
    image = (100 + rng.poisson(rng.random(sizes.image) ** 8 * 500)).astype(np.uint16)
    for name, weight in (("RL", 0.0), ("RLTV", 0.002)):
        recipe = Recipe(100.0, float(image.mean()) - 100, VOXEL, tv_weight=weight)
        runs = [Run(recipe, (sizes.iterations,))]
        here = Estimator(runs, psf=psf, threads=1, device=device)
        corner = image[:32, :64, :64]
        there = Estimator(runs, psf=psf, threads=1)
        yield compared(f"{name} on CuPy", here(corner)[0], there(corner)[0], "float32")
        images = [image] * sizes.blocks
        for ahead in (1, 2):
            rate = speed(here, images, ahead) / sizes.iterations
            yield Row(
                f"{name} on CuPy, per iteration, {ahead} block(s) at a time", rate * 1e3, "ms"
            )


def restoring(kind: str, sizes: Sizes) -> Iterator[Row]:
    """A network on blocks with their halo."""
    keras.utils.set_random_seed(1)
    model = network(kind).build(**sizes.networks[kind])
    rng = np.random.default_rng(1)
    for layer in model.layers:  # a network that starts at zero would have nothing to compare
        if layer.get_weights() and not np.any(layer.get_weights()[0]):
            layer.set_weights([rng.normal(0, 0.1, w.shape) for w in layer.get_weights()])
    halo, stride = halo_and_stride(model)
    info = SimpleNamespace(halo=halo, stride=stride)
    channels = model.input_shape[-1]

    def drawn(inner: tuple[int, int, int]) -> np.ndarray:
        shape = [n + 2 * h for n, h in zip(inner, halo, strict=True)]
        return rng.random((channels, *shape), np.float32)

    small, blocks = drawn((8, 16, 16)), [drawn(sizes.block) for _ in range(sizes.blocks)]
    vectors = calibrate(model, stride, [small]) if global_means(model) else []
    for layer, vector in zip(global_means(model), vectors, strict=True):
        layer.fix(vector)
    with tf.device("/CPU:0"):
        whole = model(np.moveaxis(small, 0, -1)[None], training=False).numpy()[0, ..., 0]
    expected = whole[tuple(slice(h, n - h) for h, n in zip(halo, whole.shape, strict=True))]
    for precision in ("float32", "bfloat16"):
        engine = Engine("tensorflow", precision)  # type: ignore[arg-type]
        predictor = Predictor(model, info, vectors=vectors, engine=engine)  # type: ignore[arg-type]
        name = f"{kind}, {precision}"
        yield compared(name, predictor.predict(small), expected, precision)
        for ahead in (1, 2):
            rate = np.prod(sizes.block) / 1e6 / speed(predictor.predict, blocks, ahead)
            yield Row(f"{name}, {ahead} block(s) at a time", rate, "Mvoxel/s")


def training(kind: str, sizes: Sizes, *, mixed: bool) -> Row:
    """Optimiser steps on a fixed batch."""
    definition = network(kind)
    settings = definition.settings.model_validate({"kind": kind, "training": {}})
    method = cast(NetworkSection, settings)
    model = definition.build(**definition.options(method))
    step = Step(model, definition, method, crop=sizes.crop, mixed=mixed)
    step.optimizer.learning_rate = 1e-4
    shape = (method.training.batch, *sizes.crop)
    rng = np.random.default_rng(2)
    images = rng.random((*shape, model.input_shape[-1]), np.float32)
    objects = rng.random((*shape, 1), np.float32)

    def once(_: object) -> list[float]:
        return [float(value) for value in step(images, objects).values()]

    rate = 1 / speed(once, list(range(sizes.steps)), 1)
    name = f"{kind}, training, batch {shape}, {'mixed' if mixed else 'float32'}"
    return Row(name, rate, "steps/s")


def speed(work: Callable, items: list, ahead: int) -> float:
    """Seconds per item, after one that does not count; `ahead` items are worked on at a time."""
    work(items[0])
    started = time.perf_counter()
    with ThreadPoolExecutor(ahead) as pool:
        for _ in pool.map(work, items):
            pass
    return (time.perf_counter() - started) / len(items)


def compared(name: str, here: np.ndarray, there: np.ndarray, precision: str) -> Row:
    """The difference to the CPU's result."""
    difference = float(np.abs(here - there).max() / np.abs(there).max())
    return Row(f"{name}, largest difference to the CPU", difference, "", TOLERANCE[precision])


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stand-in", action="store_true", help="on the CPU, small sizes")
    stand_in = parser.parse_args().stand_in
    try:
        device = CPU if stand_in else gpu()
        described = devices.configure(gpus=0 if stand_in else 1, threads=2)
    except UserError as error:
        sys.exit(f"{error}\n--stand-in runs this script on the CPU, as a test of itself.")
    print(f"{device.name}; {described}\n\n| what | measured | goal |\n|---|---|---|", flush=True)
    wrong = False
    for row in rows(SMALL if stand_in else Sizes(), device):
        print(row, flush=True)
        wrong |= row.goal is not None and not row.value <= row.goal
    if wrong:
        sys.exit("A result differs from the CPU's by more than rounding.")


if __name__ == "__main__":
    main()
