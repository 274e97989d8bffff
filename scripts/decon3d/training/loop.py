"""The training loop: any registered network, its own loss and optimiser, one bundle at the end.

The whole state is saved every `training.save_every` steps and when SIGTERM comes, beside the
bundle. A training of the same settings, data and software goes on from there and ends with the
weights that it would have had anyway.
"""

import contextlib
import copy
import csv
import io
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from decon3d.classical.estimates import Estimator
from decon3d.errors import UserError
from decon3d.files import digest, write_text
from decon3d.logs import log, progress
from decon3d.networks.bundle import software, write_bundle
from decon3d.networks.description import TrainedOn
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.layers import global_means
from decon3d.networks.registry import network
from decon3d.optics.psf import Psf, fingerprint, fwhm_um
from decon3d.restoration.richardson_lucy import network_estimator
from decon3d.seeds import stream_seed
from decon3d.settings import Camera, Trained
from decon3d.training.checkpoint import Checkpoint
from decon3d.training.crops import (
    Pairs,
    draw,
    fitting_crop,
    load_pairs,
    prefetched,
    symmetric_axes,
)
from decon3d.training.schedules import Rate
from decon3d.training.validation import Loss, Validation
from decon3d.volumes.ingest import ChannelStatistics
from decon3d.volumes.normalisation import FOREGROUND_PERCENTILE, FOREGROUND_SIGMAS

LAW = (
    "per volume (counts - offset) / scale; offset: the camera's, or else the background level; "
    f"scale: percentile {FOREGROUND_PERCENTILE:g} of the voxels above the background + "
    f"{FOREGROUND_SIGMAS:g} sigma, less the offset; the image's map for image and object"
)
MOST_LOSSES = 2
Step = Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]


def train(
    *,
    train_store: str | Path,
    val_store: str | Path,
    method: Trained,
    psf: Psf,
    camera: Camera,
    seed: int,
    stream: tuple[str, ...],
    folder: str | Path,
    device: dict[str, Any],
) -> None:
    """Train a network on pairs and write its bundle.

    A loss that is no longer a number goes back to the last saved state and halves the rate, at
    most twice. The weights kept are those with the smallest validation `nrmse` (no affine match,
    so that the counts count, too). The same seed, data, threads and kind of device give the same
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
    camera
        The dataset's. Its offset is the normalisation's; where it is not given, each volume's
        background level.
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
        If a store is not one of pairs, if the loss is no longer a number for the third time, or
        if the job was told to stop (the next attempt goes on).
    """
    training = method.training
    folder = Path(folder)
    own_seed = stream_seed(seed, "training", *stream)
    keras.utils.set_random_seed(own_seed % 2**32)
    tf.config.experimental.enable_op_determinism()

    definition = network(method.kind)
    options = definition.options(method)
    model = definition.build(**options)
    halo, stride = halo_and_stride(model)
    training_model = definition.training_model(model)

    def loss(outputs: Any, image: tf.Tensor, truth: tf.Tensor) -> dict[str, tf.Tensor]:
        return definition.loss(outputs, image, truth, method)

    estimates = definition.estimates(method)

    def estimator(statistics: ChannelStatistics) -> Estimator:
        return network_estimator(
            estimates, statistics=statistics, psf=psf, camera=camera, threads=1
        )

    def load(store: str | Path) -> Pairs:
        return load_pairs(
            store,
            camera_offset=camera.offset,
            estimator=estimator if estimates else None,
            threads=device["threads"] or 1,  # 0: left to TensorFlow
        )

    pairs, val_pairs = load(train_store), load(val_store)
    crop = fitting_crop(training.crop, pairs.shape, stride)
    flips = symmetric_axes(psf)
    validation = Validation(val_pairs, training_model=training_model, loss=loss, stride=stride)
    optimizer = definition.optimizer(method)
    optimizer.clipnorm = None
    optimizer.global_clipnorm = training.gradient_clip
    step_function = _step_function(training_model, loss, optimizer, (training.batch, *crop))
    key = digest(
        [
            method.model_dump(mode="json"),
            own_seed,
            software(),
            pairs.digest,
            val_pairs.digest,
            flips,
        ]
    )
    state = _State(model, optimizer, Rate(training), folder, key)
    if not state.resume():
        state.scores["input"] = validation.of_input()
    log.info(
        "training %s: %d volumes, %d steps of %d crops of %d×%d×%d; blurred: affine PSNR %.2f dB",
        method.kind, len(pairs.images), training.steps, training.batch, *crop,
        state.scores["input"]["psnr_affine"],
    )  # fmt: skip

    def batches(first: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return prefetched(
            lambda k: draw(
                pairs, step=k, seed=own_seed, batch=training.batch, crop=crop, flips=flips
            ),
            range(first, training.steps),
        )

    with (
        told_to_stop() as stopped,
        progress(
            total=training.steps, initial=state.step, what=f"train {method.kind}", unit="step"
        ) as bar,
    ):
        crops = batches(state.step)
        while state.step < training.steps:
            images, objects = next(crops)
            optimizer.learning_rate = state.rate.at(state.step)
            parts = {k: float(v) for k, v in step_function(images, objects).items()}
            if not math.isfinite(parts["loss"]):
                state.go_back(method.kind)
                crops = batches(state.step)
                continue
            state.step += 1
            state.since.append(parts)
            bar.set_postfix(loss=f"{parts['loss']:.4f}", refresh=False)
            bar.update(state.step - bar.n)
            if state.step % training.validate_every == 0 or state.step == training.steps:
                state.validated(validation.of_model())
            if stopped() or state.step % training.save_every == 0:
                state.save()
            if stopped() and state.step < training.steps:
                raise UserError(
                    f"training {method.kind} was told to stop (SIGTERM) and saved its state after "
                    f"step {state.step} of {training.steps}; the next attempt goes on there"
                )

    model.set_weights(state.best)
    bundle = write_bundle(
        folder,
        model,
        kind=method.kind,
        options=options,
        input_channels=model.input_shape[-1],
        halo=halo,
        stride=stride,
        bytes_per_voxel=definition.bytes_per_voxel(method),
        global_means=bool(global_means(model)),
        target_kernel="object",
        voxel_size_um=psf.voxel_size_um,
        psf_fwhm_um=fwhm_um(psf.data, psf.voxel_size_um),
        psf_fingerprint=fingerprint(psf),
        trained_on=_trained_on(pairs),
        training={**training.model_dump(), "crop": crop, "flips": flips},
        seed=seed,
        stream=stream,
        device=device["device"],
        best_step=state.best_step,
        validation=state.scores,
        estimates=estimates,
    )
    log.info("kept the weights of step %d (%s…)", state.best_step, bundle.weights_sha256[:12])


class _State:
    """Everything that a training changes, saved and taken up again."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        rate: Rate,
        folder: Path,
        key: str,
    ) -> None:
        self.model, self.optimizer, self.rate, self.key = model, optimizer, rate, key
        self.path, self.history = folder / "checkpoint.npz", folder / "history.csv"
        self.step = self.best_step = 0
        self.seconds = 0.0
        self.losses_of_nan = 0
        self.best = model.get_weights()
        self.scores: dict[str, dict[str, float]] = {}
        self.rows: list[dict[str, float]] = []
        self.since: list[dict[str, float]] = []
        self._clock = time.monotonic()
        self._last = self._snapshot()

    def _snapshot(self) -> Checkpoint:
        names = ("step", "best_step", "losses_of_nan", "scores", "rows", "since")
        self.seconds += time.monotonic() - self._clock
        self._clock = time.monotonic()
        rate = {k: getattr(self.rate, k) for k in ("factor", "best", "waited")}
        return Checkpoint(
            key=self.key,
            weights=self.model.get_weights(),
            optimizer=[np.asarray(v) for v in self.optimizer.variables],
            best=[w.copy() for w in self.best],
            values=copy.deepcopy(
                {"rate": rate, "seconds": self.seconds, **{n: getattr(self, n) for n in names}}
            ),
        )

    def _take_up(self, found: Checkpoint) -> None:
        values = copy.deepcopy(found.values)
        self.model.set_weights(found.weights)
        for variable, value in zip(self.optimizer.variables, found.optimizer, strict=True):
            variable.assign(value)
        self.best = [w.copy() for w in found.best]
        for name, value in values.pop("rate").items():
            setattr(self.rate, name, value)
        for name, value in values.items():
            setattr(self, name, value)

    def save(self) -> None:
        """Save the state: on disk, and to go back to."""
        self._last = self._snapshot()
        self._last.save(self.path)

    def resume(self) -> bool:
        """Take up a saved state of this very training, if there is one."""
        found = Checkpoint.load(self.path, key=self.key)
        if found is None:
            return False
        self._take_up(found)
        self._last = found
        log.info("going on after step %d", self.step)
        return True

    def go_back(self, kind: str) -> None:
        """Go back to the last saved state with half the rate; give up the third time.

        Raises
        ------
        UserError
            The third time.
        """
        lost = self.step + 1
        times = self.losses_of_nan + 1
        if times > MOST_LOSSES:
            raise UserError(
                f"training {kind}: the loss is no longer a number at step {lost}, with the rate "
                f"halved {MOST_LOSSES} times; lower methods.….training.learning_rate"
            )
        self._take_up(self._last)
        for _ in range(times - self.losses_of_nan):  # some may be in the saved rate
            self.rate.halve()
        self.losses_of_nan = times
        log.warning("no number at step %d: back to step %d, half the rate", lost, self.step)

    def validated(self, scores: dict[str, float]) -> None:
        """Note a validation: a row of the history, and the weights if they are the best."""
        self.rate.validated(scores["nrmse"])
        means = {k: sum(p[k] for p in self.since) / len(self.since) for k in self.since[0]}
        self.since = []
        self.rows.append(
            {
                "step": self.step,
                **means,
                "learning_rate": float(self.optimizer.learning_rate),
                **{f"val_{key}": value for key, value in scores.items()},
                "seconds": round(self.seconds + time.monotonic() - self._clock, 2),
            }
        )
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.history, text.getvalue())
        log.info(
            "step %d: validation loss %.4f, affine PSNR %.2f dB, NRMSE %.4f",
            self.step, scores["loss"], scores["psnr_affine"], scores["nrmse"],
        )  # fmt: skip
        if scores["nrmse"] < self.scores.get("model", {"nrmse": math.inf})["nrmse"]:
            self.scores["model"] = scores
            self.best_step, self.best = self.step, self.model.get_weights()


@contextlib.contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """Say whether SIGTERM came (a time limit, a drained node), instead of dying of it."""
    came: list[int] = []
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, lambda *_: came.append(1)) if in_main_thread else None
    try:
        yield lambda: bool(came)
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, before)


def _step_function(
    training_model: keras.Model,
    loss: Loss,
    optimizer: keras.optimizers.Optimizer,
    shape: tuple[int, ...],
) -> Step:
    weights = training_model.trainable_weights
    optimizer.build(weights)

    channels = training_model.input_shape[-1]

    @tf.function(input_signature=[tf.TensorSpec((*shape, c)) for c in (channels, 1)])
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
