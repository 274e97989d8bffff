"""The training loop: any registered network, with its own loss and optimiser; writes a bundle.

The whole state is saved every `training.save_every` steps and on SIGTERM, beside the bundle. A
training of the same settings, data and software resumes from there and ends with the same weights
as without the interruption.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.estimates import Estimator
from decon3d.errors import UserError
from decon3d.files import digest
from decon3d.logs import log, progress
from decon3d.networks.backend import keras, tf
from decon3d.networks.bundle import described, software, write_bundle
from decon3d.networks.description import TrainedOn
from decon3d.networks.estimates import network_runs
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.inputs import MakesEstimates
from decon3d.networks.kind import NetworkSection, Training
from decon3d.networks.registry import network
from decon3d.optics.psf import Psf, fingerprint
from decon3d.seeds import stream_seed
from decon3d.signals import catch_sigterm
from decon3d.training.augmentation import MOVES, Augmentation, symmetries
from decon3d.training.crops import Pairs, draw, fitting_crop, load_pairs, prefetched
from decon3d.training.initial_weights import start_from
from decon3d.training.kept_estimates import KeptEstimates
from decon3d.training.schedules import Rate
from decon3d.training.state import TrainingState
from decon3d.training.step import Step
from decon3d.training.validation import Validation
from decon3d.versions import VERSIONS
from decon3d.volumes.camera import Camera
from decon3d.volumes.normalisation import FOREGROUND_PERCENTILE, FOREGROUND_SIGMAS
from decon3d.volumes.statistics import ChannelStatistics

LAW = (
    "per volume (counts - offset) / scale; offset: the camera's, or else that of empty places; "
    f"scale: percentile {FOREGROUND_PERCENTILE:g} of the voxels above empty places + "
    f"{FOREGROUND_SIGMAS:g} sigma, less the offset; the image's map for image and object"
)


def train(
    *,
    train_store: str | Path,
    val_store: str | Path,
    method: NetworkSection,
    psf: Psf,
    camera: Camera,
    seed: int,
    stream: tuple[str, ...],
    folder: str | Path,
    device: dict[str, Any],
) -> None:
    """Train a network on pairs and write its bundle.

    If the loss is NaN, the training goes back to the last saved state and halves the rate, at most
    twice. The weights with the smallest validation `nrmse` are kept (without affine match, so that
    the counts matter, too). The same seed, data, threads and kind of device give the same weights
    to the bit.

    Parameters
    ----------
    train_store, val_store
        Pairs (see `crops.load_pairs`). Estimates of their images are kept in `folder` until the
        training is finished.
    method
        The network, its options and its training.
    psf
        The microscope's: its identity and widths are stored with the network; its symmetries decide
        how crops may be flipped and turned. A volume with its own microscope has its own PSF and
        camera, too.
    camera
        The dataset's. Its offset is the normalisation's; by default each volume's background level.
    seed, stream
        The config's seed, and the names of this training's random stream (such as dataset,
        channel and method).
    folder
        Gets model.keras, model.json and history.csv; the latter after every validation.
    device
        The result of `devices.configure`: a description, stored with the network, and the number of
        GPUs, which split the batch.

    Raises
    ------
    UserError
        If a store is not one of pairs, the bundle to start from does not fit, the batch cannot be
        split over the GPUs, the loss is NaN for the third time, or the job got
        SIGTERM (the next attempt resumes).
    """
    training: Training = method.training
    folder = Path(folder)
    own_seed = stream_seed(seed, "training", *stream)
    keras.utils.set_random_seed(own_seed % 2**32)
    tf.config.experimental.enable_op_determinism()

    definition = network(method.kind)
    options, estimates = definition.options(method), definition.estimates(method)
    model = definition.build(**options)
    _, stride = halo_and_stride(model)
    start = training.start_from and start_from(
        training.start_from,
        model,
        kind=method.kind,
        options=options,
        psf=psf,
        estimates=estimates,
    )

    def loss(outputs: Any, image: tf.Tensor, truth: tf.Tensor) -> dict[str, tf.Tensor]:
        return definition.loss(outputs, image, truth, method)

    kept = KeptEstimates(folder / "estimates")

    def estimator(
        statistics: ChannelStatistics, own_psf: Psf | None, own_camera: Camera | None
    ) -> MakesEstimates:
        seen = own_psf or psf
        runs = network_runs(estimates, statistics=statistics, psf=seen, camera=own_camera or camera)
        made = Estimator(runs, psf=seen.data, threads=1)
        return kept.of(made, psf_fingerprint=fingerprint(seen))

    def load(store: str | Path) -> Pairs:
        return load_pairs(
            store,
            camera_offset=camera.known_offset,
            estimator=estimator if estimates else None,
            threads=device["threads"] or 1,  # 0: TensorFlow decides
        )

    pairs, val_pairs = load(train_store), load(val_store)
    kept.remove_others()
    crop = fitting_crop(training.crop, pairs.shape, stride)
    # A moved crop of a volume with its own microscope is one of a moved microscope.
    moves = symmetries(psf) if pairs.microscopes is None else tuple(MOVES)
    augmentation = Augmentation(moves, training.intensity_scale or (1.0, 1.0))
    augmentation = augmentation.fitting(crop, pairs.shape)
    validation = Validation(
        val_pairs, training_model=definition.training_model(model), loss=loss, stride=stride
    )
    mixed = _mixed(training, device)
    step = Step(
        model,
        definition,
        method,
        crop=crop,
        mixed=mixed,
        devices=[f"GPU:{index}" for index in range(device["gpus"])],
    )
    key = digest(
        [
            method.model_dump(mode="json"),
            own_seed,
            software(),
            VERSIONS["train"],
            pairs.digest,
            val_pairs.digest,
            augmentation.moves,
            start,
            mixed,
        ]
    )
    state = TrainingState(step.trained, step.optimizer, Rate(training), folder, key)
    if not state.resume():
        state.scores["input"] = validation.of_input()
        if start:
            state.started(validation.of_model())
    log.info(
        "training %s: %d volumes, %d steps of %d crops of %d×%d×%d; blurred: affine PSNR %.2f dB",
        method.kind,
        len(pairs.images),
        training.steps,
        training.batch,
        *crop,
        state.scores["input"]["psnr_affine"],
    )

    def batches(first: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return prefetched(
            lambda k: draw(
                pairs,
                step=k,
                seed=own_seed,
                batch=training.batch,
                crop=crop,
                augmentation=augmentation,
            ),
            range(first, training.steps),
        )

    with (
        catch_sigterm() as stopped,
        progress(
            total=training.steps, initial=state.step, what=f"train {method.kind}", unit="step"
        ) as bar,
    ):
        crops = batches(state.step)
        while state.step < training.steps and not state.ended_early(training.patience):
            images, objects = next(crops)
            step.optimizer.learning_rate = state.rate.at(state.step)
            parts = {k: float(v) for k, v in step(images, objects).items()}
            if not math.isfinite(parts["loss"]):
                state.go_back(method.kind)
                crops = batches(state.step)
                continue
            state.step += 1
            state.since.append(parts)
            bar.set_postfix(loss=f"{parts['loss']:.4f}", refresh=False)
            bar.update(state.step - bar.n)
            if state.step % training.validate_every == 0 or state.step == training.steps:
                step.bring_back()
                state.validated(validation.of_model())
            if stopped() or state.step % training.save_every == 0:
                state.save()
            if stopped() and state.step < training.steps:
                raise UserError(
                    f"training {method.kind} was stopped by SIGTERM and saved its state after step "
                    f"{state.step} of {training.steps}; run it again to resume there"
                )

    if state.step < training.steps:
        log.info("ended early: no better score since step %d", state.best_step)
    model.set_weights(state.best)
    bundle = write_bundle(
        folder,
        model,
        **described(model, method, psf),
        target_kernel="measured" if "specimens" in pairs.made_as else "object",
        trained_on=_trained_on(pairs, augmentation.intensity),
        training={
            **training.model_dump(),
            "crop": crop,
            "moves": augmentation.moves,
            "precision": "mixed" if mixed else "float32",
            "steps_done": state.step,
        },
        started_from=start,
        seed=seed,
        stream=stream,
        device=device["device"],
        best_step=state.best_step,
        validation=state.scores,
    )
    kept.remove()
    log.info("kept the weights of step %d (%s…)", state.best_step, bundle.weights_sha256[:12])


def _mixed(training: Training, device: dict[str, Any]) -> bool:
    """Return whether to compute in float16: if configured and on a GPU."""
    if training.precision == "mixed" and not device["gpus"]:
        log.warning("training.precision: mixed needs a GPU; this job has none and uses float32")
        return False
    return training.precision == "mixed"


def _trained_on(pairs: Pairs, intensity: tuple[float, float]) -> TrainedOn:
    offsets = [law.offset for law in pairs.normalisations]
    scales = [law.scale for law in pairs.normalisations]
    return TrainedOn(
        volumes=len(pairs.images),
        shape=pairs.shape,
        law=LAW,
        offset_counts=(min(offsets), max(offsets)),
        scale_counts=(min(scales), max(scales)),
        noise=(min(pairs.noise) * intensity[0], max(pairs.noise) * intensity[1]),
        made_as=pairs.made_as,
        microscopes=pairs.microscopes,
    )
