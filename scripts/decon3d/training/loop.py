"""The training loop: any registered network, its own loss and optimiser, one bundle at the end."""

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from decon3d.errors import UserError
from decon3d.files import write_text
from decon3d.logs import log, progress
from decon3d.networks.bundle import write_bundle
from decon3d.networks.description import TrainedOn
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.registry import network
from decon3d.optics.psf import Psf, fingerprint, fwhm_um
from decon3d.seeds import stream_seed
from decon3d.settings import Rln
from decon3d.training.crops import (
    Pairs,
    draw,
    fitting_crop,
    load_pairs,
    prefetched,
    symmetric_axes,
)
from decon3d.training.validation import Loss, Validation
from decon3d.volumes.normalisation import FOREGROUND_PERCENTILE, FOREGROUND_SIGMAS

LAW = (
    "per volume (counts - offset) / scale; offset: the camera's, or else the background level; "
    f"scale: percentile {FOREGROUND_PERCENTILE:g} of the voxels above the background + "
    f"{FOREGROUND_SIGMAS:g} sigma, less the offset; the image's map for image and object"
)
Step = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def train(
    *,
    train_store: str | Path,
    val_store: str | Path,
    method: Rln,
    psf: Psf,
    camera_offset: float | None,
    seed: int,
    stream: tuple[str, ...],
    folder: str | Path,
    device: dict[str, Any],
) -> None:
    """Train a network on pairs and write its bundle.

    The weights kept are those with the smallest validation `nrmse` (no affine match, so that
    the counts count, too). The same seed, data, threads and kind of device give the same
    weights to the bit.

    Parameters
    ----------
    train_store, val_store
        Pairs (see `crops.load_pairs`).
    method
        Which network, its options and its training.
    psf
        The microscope's: its identity and widths are kept with the network, its symmetry says
        which flips of the crops are right.
    camera_offset
        Counts of a dark image; None = each volume's background level.
    seed, stream
        The config's seed, and the names of this training's random stream (such as dataset,
        channel and method).
    folder
        Gets model.keras, model.json and history.csv; the latter after every validation.
    device
        What `devices.configure` returned; kept with the network.

    Raises
    ------
    UserError
        If a store is not one of pairs, or the loss is no longer a number.
    """
    training = method.training
    own_seed = stream_seed(seed, "training", *stream)
    keras.utils.set_random_seed(own_seed % 2**32)
    tf.config.experimental.enable_op_determinism()

    definition = network(method.kind)
    options = definition.options(method)
    model = definition.build(**options)
    halo, stride = halo_and_stride(model)
    training_model = definition.training_model(model)

    def loss(outputs: list[tf.Tensor], image: tf.Tensor, truth: tf.Tensor) -> dict[str, tf.Tensor]:
        return definition.loss(outputs, image, truth, training)

    pairs = load_pairs(train_store, camera_offset=camera_offset)
    crop = fitting_crop(training.crop, pairs.shape, stride)
    flips = symmetric_axes(psf)
    validation = Validation(
        load_pairs(val_store, camera_offset=camera_offset),
        training_model=training_model,
        loss=loss,
        stride=stride,
    )
    optimizer = definition.optimizer(training)
    step_function = _step_function(training_model, loss, optimizer, (training.batch, *crop))
    history = _History(Path(folder) / "history.csv")
    scores = {"input": validation.of_input()}
    log.info(
        "training %s: %d volumes, %d steps of %d crops of %d×%d×%d; blurred: affine PSNR %.2f dB",
        method.kind, len(pairs.images), training.steps, training.batch, *crop,
        scores["input"]["psnr_affine"],
    )  # fmt: skip

    best_step, best_weights = 0, model.get_weights()
    batches = prefetched(
        lambda k: draw(pairs, step=k, seed=own_seed, batch=training.batch, crop=crop, flips=flips),
        range(training.steps),
    )
    with progress(total=training.steps, what=f"train {method.kind}", unit="step") as bar:
        for step, (images, objects) in enumerate(batches, start=1):
            parts = {k: float(v) for k, v in step_function(images, objects).items()}
            _require_number(parts["loss"], "loss", step, method)
            history.add(parts)
            bar.set_postfix(loss=f"{parts['loss']:.4f}", refresh=False)
            bar.update(1)
            if step % training.validate_every and step != training.steps:
                continue
            now = validation.of_model()
            _require_number(now["nrmse"], "validation NRMSE", step, method)
            history.write(step, float(optimizer.learning_rate), now)
            log.info("step %d: validation loss %.4f, affine PSNR %.2f dB, NRMSE %.4f", step,
                     now["loss"], now["psnr_affine"], now["nrmse"])  # fmt: skip
            if "model" not in scores or now["nrmse"] < scores["model"]["nrmse"]:
                scores["model"] = now
                best_step, best_weights = step, model.get_weights()

    model.set_weights(best_weights)
    bundle = write_bundle(
        folder,
        model,
        kind=method.kind,
        options=options,
        input_channels=model.input_shape[-1],
        halo=halo,
        stride=stride,
        target_kernel="object",
        voxel_size_um=psf.voxel_size_um,
        psf_fwhm_um=fwhm_um(psf.data, psf.voxel_size_um),
        psf_fingerprint=fingerprint(psf),
        trained_on=_trained_on(pairs),
        training={**training.model_dump(), "crop": crop, "flips": flips},
        seed=seed,
        stream=stream,
        device=device["device"],
        best_step=best_step,
        validation=scores,
    )
    log.info("kept the weights of step %d (%s…)", best_step, bundle.weights_sha256[:12])


def _require_number(value: float, what: str, step: int, method: Rln) -> None:
    if not math.isfinite(value):
        raise UserError(
            f"training {method.kind}: the {what} is no longer a number at step {step}; lower the "
            f"method's training.learning_rate ({method.training.learning_rate:g})"
        )


def _step_function(
    training_model: keras.Model,
    loss: Loss,
    optimizer: keras.optimizers.Optimizer,
    shape: tuple[int, ...],
) -> Step:
    weights = training_model.trainable_weights
    optimizer.build(weights)

    @tf.function(input_signature=[tf.TensorSpec((*shape, 1))] * 2)
    def step(images: tf.Tensor, objects: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            parts = loss(training_model(images, training=True), images, objects)
        optimizer.apply(tape.gradient(parts["loss"], weights), weights)
        return parts

    return step


def _trained_on(pairs: Pairs) -> TrainedOn:
    offsets = [law.offset for law in pairs.normalisations]
    scales = [law.scale for law in pairs.normalisations]
    return TrainedOn(
        volumes=len(pairs.images),
        shape=pairs.shape,
        law=LAW,
        offset_counts=(min(offsets), max(offsets)),
        scale_counts=(min(scales), max(scales)),
        noise=(min(pairs.noise), max(pairs.noise)),
        made_as=pairs.made_as,
    )


class _History:
    """`history.csv`: one row per validation, the loss parts as means over the steps since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = time.monotonic()
        self._rows: list[dict[str, float]] = []
        self._since: list[dict[str, float]] = []

    def add(self, parts: dict[str, float]) -> None:
        self._since.append(parts)

    def write(self, step: int, learning_rate: float, scores: dict[str, float]) -> None:
        means = {
            key: sum(parts[key] for parts in self._since) / len(self._since)
            for key in self._since[0]
        }
        self._since = []
        self._rows.append(
            {
                "step": step,
                **means,
                "learning_rate": learning_rate,
                **{f"val_{key}": value for key, value in scores.items()},
                "seconds": round(time.monotonic() - self._start, 2),
            }
        )
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self._rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())
