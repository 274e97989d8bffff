"""Training: does the step wait for its crops, is it as fast as Keras' own loop, what memory?

The network is RLN, the cheapest per voxel and so the hardest to feed; its volumes are sparse, so
that the search for foreground takes many tries.
"""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from run import Row, memory_gb, ratios

from decon3d.networks import devices
from decon3d.networks.kinds.rln import Rln, RlnTraining
from decon3d.optics.psf import normalised_psf
from decon3d.volumes.camera import Camera

VOLUMES, SHAPE = 4, (64, 128, 128)
CROP = (32, 32, 32)
STEPS = 12


def volumes() -> tuple[np.ndarray, np.ndarray]:
    """Sparse blobs and their noisy image, in counts (n, Z, Y, X)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    spots = rng.uniform(size=(VOLUMES, *SHAPE)) > 0.9998
    truth = gaussian_filter(spots.astype(np.float32), (0, 2, 2, 2)) * 4e4
    image = rng.poisson(gaussian_filter(truth, (0, 2, 1, 1)) + 5)
    return (image + 100).astype(np.float32), (truth + 105).astype(np.float32)


def stepping() -> tuple[Callable[[], None], Callable[[], None], Callable[[], None]]:
    """Return `STEPS` steps on drawn crops, on one fixed batch, and by Keras' `fit`."""
    import keras
    import tensorflow as tf

    from decon3d.networks.losses import AUXILIARY_WEIGHT, FLOOR, rln_loss
    from decon3d.networks.registry import network
    from decon3d.training.augmentation import MOVES, Augmentation
    from decon3d.training.crops import Pairs, draw, prefetched
    from decon3d.training.step import Step
    from decon3d.volumes.normalisation import Normalisation

    tf.config.experimental.enable_op_determinism()
    law = Normalisation(100.0, 500.0)
    image, truth = (law.apply(values) for values in volumes())
    pairs = Pairs(image, truth, (law,) * VOLUMES, (0.0,) * VOLUMES, {})
    method, definition = Rln(kind="rln"), network("rln")
    step = Step(definition.build(), definition, method, crop=CROP)
    step.optimizer.learning_rate = 1e-3

    def crops(number: int) -> tuple[np.ndarray, np.ndarray]:
        return draw(
            pairs,
            step=number,
            seed=1,
            batch=4,
            crop=CROP,
            augmentation=Augmentation(tuple(MOVES), (0.5, 2.0)),
        )

    def take(batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> None:
        for images, objects in batches:
            for value in step(images, objects).values():
                float(value)

    fixed = crops(0)
    same = [np.concatenate(arrays) for arrays in zip(*map(crops, range(STEPS)), strict=True)]
    aims = {"restored": same[1], "product_1": 0.8 * same[1] + 0.2 * same[0]}

    def main_loss(objects: tf.Tensor, restored: tf.Tensor) -> tf.Tensor:
        return rln_loss(
            restored=restored, first=restored, image=objects, truth=objects, auxiliary=False
        )["loss"]

    def auxiliary_loss(aim: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        return AUXILIARY_WEIGHT * (tf.reduce_mean(tf.square(first - aim)) + FLOOR)

    model = definition.build()
    peer = keras.Model(
        model.input,
        {"restored": model.output, "product_1": model.get_layer("product_1").output},
    )
    peer.compile(
        keras.optimizers.Adam(1e-3),
        loss={"restored": main_loss, "product_1": auxiliary_loss},
        jit_compile=False,  # on a CPU it is many times slower
    )
    return (
        lambda: take(prefetched(crops, range(STEPS))),
        lambda: take(iter([fixed] * STEPS)),
        lambda: peer.fit(same[0], aims, batch_size=4, shuffle=False, verbose=0),
    )


def whole_training() -> float:
    """Peak memory of a process that trains RLN on crops of 64³, four at a time, in GB."""
    import zarr

    from decon3d.training.loop import train

    training = RlnTraining(steps=6, validate_every=3, save_every=3)
    bead = np.zeros((5, 5, 5))
    bead[1:4, 1:4, 1:4] = 1
    image, truth = volumes()
    with tempfile.TemporaryDirectory() as folder:
        group = zarr.create_group(Path(folder) / "pairs.zarr")
        group["image"], group["object"] = image, truth
        train(
            train_store=Path(folder) / "pairs.zarr",
            val_store=Path(folder) / "pairs.zarr",
            method=Rln(kind="rln", training=training),
            psf=normalised_psf(bead, (0.2, 0.1, 0.1), {}),
            camera=Camera(offset=100.0),
            seed=1,
            stream=("bench",),
            folder=folder,
            device=devices.configure(gpus=0, threads=2),
        )
    return memory_gb()


def rows() -> Iterator[Row]:
    devices.configure(gpus=0, threads=2)
    drawn, fixed, fit = stepping()
    speed = ratios(fixed, drawn)
    yield Row("RLN, steps/s on drawn crops : on a fixed batch", speed, "", 0.95, at_least=True)
    yield Row("RLN, steps/s : Keras fit", ratios(fit, drawn), "", 1.0, at_least=True)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        memory = pool.submit(whole_training).result()
    yield Row("RLN, training on 4 × 64³, peak memory", memory, "GB", 3.0)
