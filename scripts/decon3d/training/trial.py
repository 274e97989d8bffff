"""A network before its training: how long the training takes, and a stand-in for its bundle."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from decon3d.networks.backend import keras
from decon3d.networks.bundle import described, write_bundle
from decon3d.networks.description import TrainedOn
from decon3d.networks.devices import limit_threads
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kind import Network, NetworkSection
from decon3d.networks.registry import network
from decon3d.optics.psf import Psf
from decon3d.training.crops import fitting_crop
from decon3d.training.step import Step

STEPS = 3
MOST_S = 20.0
"""After this time, no further step is timed."""


def try_untrained(
    folder: str | Path,
    method: NetworkSection,
    *,
    psf: Psf,
    shape: tuple[int, int, int],
    threads: int,
) -> float:
    """Write a bundle with random weights, and predict the time of the training.

    The bundle takes as long to restore as the trained one; what it restores means nothing.

    Parameters
    ----------
    folder
        Gets the bundle.
    method
        The network, its options and its training.
    psf
        The channel's.
    shape
        Of the training volumes (Z, Y, X).
    threads
        Of the CPU.

    Returns
    -------
    float
        Seconds of all steps of the training on this CPU, from a few steps on one crop of random
        numbers. Validations and the estimates that some networks see are not included.

    Raises
    ------
    UserError
        If the training volumes are smaller than the network's stride.
    """
    limit_threads(threads)
    keras.utils.set_random_seed(0)
    definition = network(method.kind)
    model = definition.build(**definition.options(method))
    _, stride = halo_and_stride(model)
    crop = fitting_crop(method.training.crop, shape, stride)
    write_bundle(
        folder,
        model,
        **described(model, method, psf),
        target_kernel="object",
        trained_on=TrainedOn(1, crop, "untrained", (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), {}),
        training=method.training.model_dump(),
        started_from=None,
        seed=0,
        stream=(),
        device="CPU",
        best_step=0,
        validation={},
    )
    return _seconds_per_crop(model, definition, method, crop) * (
        method.training.steps * method.training.batch
    )


def _seconds_per_crop(
    model: keras.Model, definition: Network, method: NetworkSection, crop: tuple[int, int, int]
) -> float:
    """Time steps on one crop; the first one, in which TensorFlow compiles, does not count."""
    alone = method.training.model_copy(update={"batch": 1})
    step = Step(model, definition, method.model_copy(update={"training": alone}), crop=crop)
    rng = np.random.default_rng(0)
    images = rng.random((1, *crop, model.input_shape[-1]), dtype=np.float32)
    objects = rng.random((1, *crop, 1), dtype=np.float32)
    _wait(step(images, objects))
    started, done = time.perf_counter(), 0
    while done < STEPS and time.perf_counter() - started < MOST_S:
        _wait(step(images, objects))
        done += 1
    return (time.perf_counter() - started) / done


def _wait(parts: dict[str, Any]) -> None:
    float(parts["loss"])
