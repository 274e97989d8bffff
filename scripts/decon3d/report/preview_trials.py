"""A trial of one method on a crop of one volume: the result, and the predicted cost of all data.

The crop is restored with the voxels around it that the run would use. It equals the result of the
run, except for settings that are not known yet.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d import paths
from decon3d.blocks.geometry import Region, Triple, choose_block, grid, padded_voxels
from decon3d.classical.kind import PRIORS
from decon3d.classical.registry import CLASSICAL
from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.optics.psf import load_psf
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import preparation
from decon3d.restoration.restorers import State, claim_device, open_restorer
from decon3d.restoration.sample import channel_camera, sample_blocks
from decon3d.settings import (
    Settings,
    is_network,
    is_trained,
    is_tuned,
    needs_sample,
    ready_bundle,
)
from decon3d.volumes.camera import load_camera, resolve_camera
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.statistics import channel_statistics
from decon3d.volumes.volume_record import VolumeRecord

JOB_BYTES = 1.5e9
"""Memory of a job besides its block, as the rules request it."""
STORED = 16 / 9
"""A restored volume with its pyramid and its consistency map, over its voxels; at most."""


@dataclass(frozen=True)
class Crop:
    """The crop of a dataset on which its methods are tried.

    Attributes
    ----------
    root
        The working directory of the workflow. A search or training that has ended there is used.
    dataset
        Name of the dataset.
    record
        The ingested volume that the crop is cut from; it stands for all in the statistics.
    region
        Slices along Z, Y, X.
    shapes
        Of all volumes of the dataset (T, C, Z, Y, X).
    threads
        Of the CPU.
    """

    root: Path
    dataset: str
    settings: Settings
    record: VolumeRecord
    region: Region
    shapes: Sequence[tuple[int, int, int, int, int]]
    threads: int


@dataclass(frozen=True)
class Cost:
    """The price of one method and channel, for all volumes and time points.

    Attributes
    ----------
    crop_s
        Of the crop with its context.
    restoring_s
        Of all volumes, with as many threads of this machine.
    memory_gb
        Of a job that restores: its largest block, and the program.
    disk_gb
        Of the restored volumes with pyramids and consistency maps, at most.
    training_s
        Of the training that is still to be done, on this machine's CPU; 0 if there is none.
    """

    crop_s: float
    restoring_s: float
    memory_gb: float
    disk_gb: float
    training_s: float = 0.0


@dataclass(frozen=True)
class Trial:
    """The outcome for one method and channel.

    Attributes
    ----------
    restored
        The crop (Z Y X, counts); None if it could not be tried, or if it would mislead, because
        the network is untrained or the method starts from the result of another one.
    values
        The settings in effect: `iterations` and the λ of a prior.
    cost
        None if it could not be tried.
    """

    method: str
    channel: str
    notes: list[str]
    restored: NDArray[np.float32] | None = None
    values: dict[str, Any] | None = None
    cost: Cost | None = None


def try_method(crop: Crop, *, channel: str, method: str) -> Trial:
    """Restore a crop of one channel by one method.

    Returns
    -------
    Trial
        With a note in place of a result where the method is not ready. A network that is not
        trained yet is priced with random weights.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return _try_method(crop, channel, method, Path(scratch))


def _try_method(crop: Crop, channel: str, method: str, scratch: Path) -> Trial:
    root, settings, names = crop.root, crop.settings, (crop.dataset, channel, method)
    chosen: Any = settings.methods[method]
    psf = root / paths.psf(crop.dataset, channel)
    files: dict[str, Any] = {"psf": psf}
    values = chosen.model_dump(mode="json", exclude={"training"})
    notes: list[str] = []
    shown, training_s = chosen.source is None, 0.0
    if chosen.source is not None:
        notes.append(f"not shown: it starts from the result of {chosen.source}")
    if is_network(chosen):
        folder = Path(ready_bundle(chosen, channel) or root / paths.model(*names))
        if not (folder / "model.json").is_file():
            if not is_trained(chosen):
                return Trial(method, channel, [*notes, "its bundle does not exist"])
            notes.append(f"not trained yet ({chosen.training.steps:,} steps)")
            shown, folder = False, scratch
            try:
                training_s = _try_training(chosen, scratch, psf, settings, crop.threads)
            except (ImportError, UserError) as error:  # TensorFlow is not installed here
                return Trial(method, channel, [*notes, f"its cost is unknown: {error}"])
        files["bundle"] = folder / "model.json"
    elif is_tuned(chosen):
        if (root / paths.tuning(*names)).is_file():
            files["tuning"] = root / paths.tuning(*names)
        else:
            notes.append("not tuned yet; this crop uses a first guess of the settings")
            values |= CLASSICAL[chosen.kind].first_guess
    try:
        restored, effective, cost = _tried(crop, channel, files, values, needs_sample(chosen))
    except UserError as error:
        log.warning("%s: %s", method, error)
        return Trial(method, channel, [*notes, str(error)])
    cost = replace(cost, training_s=training_s)
    return Trial(method, channel, notes, restored if shown else None, effective, cost)


def _try_training(method: Any, folder: Path, psf: Path, settings: Settings, threads: int) -> float:
    """Price a training; the bundle with random weights is in `folder`."""
    from decon3d.training.trial import try_untrained

    pairs = settings.simulated_pairs
    shape = pairs.shape if pairs else method.training.crop
    return try_untrained(folder, method, psf=load_psf(psf), shape=shape, threads=threads)


def _tried(
    crop: Crop, name: str, files: dict[str, Any], values: dict[str, Any], sampled: bool
) -> tuple[NDArray[np.float32], dict[str, Any], Cost]:
    """Restore the crop of the channel of this name; return it, the settings in effect, the cost."""
    root, settings, record, threads = crop.root, crop.settings, crop.record, crop.threads
    dataset, key = settings.datasets[crop.dataset], f"datasets.{crop.dataset}"
    channel = dataset.channels[name]
    fixed = channel.normalisation
    noise = root / paths.noise(crop.dataset, name)
    measured = (
        load_camera(noise)
        if noise.is_file()
        else channel_camera(
            [record], channel=channel.index, times=dataset.times, seed=settings.seed
        )
    )
    camera = resolve_camera(dataset.camera, measured)
    prepare = preparation(values, files, camera=camera, seed=settings.seed, threads=threads)
    statistics = channel_statistics(
        [record],
        channel=channel.index,
        camera_offset=dataset.camera.offset,
        fixed=fixed.law if fixed else None,
        key=key,
    )
    sample = (
        sample_blocks([record], channel=channel.index, times=dataset.times, seed=settings.seed)
        if sampled
        else []
    )
    state = prepare(statistics, sample)
    claim_device(state, gpus=0, threads=threads)
    shape: Triple = (record.shape[2], record.shape[3], record.shape[4])
    around, inner = _with_context(crop.region, shape, state)
    counts = read_marked(
        record.open(), (dataset.times or [0])[0], channel.index, around, record.fill(channel.index)
    )
    restorer = open_restorer(state, threads=threads)
    started = time.perf_counter()
    restored = restore_array(counts, restorer, state)[inner]
    seconds = time.perf_counter() - started
    extra = state.halo if state.mirror else (0, 0, 0)
    computed = prod(n + 2 * h for n, h in zip(counts.shape, extra, strict=True))
    work = disk = memory = 0.0
    stored = np.dtype(record.dtype if settings.restoration.output_dtype == "input" else "f4")
    for times, _, z, y, x in crop.shapes:
        moments = len(dataset.times) if dataset.times else times
        voxels, block_bytes = _work((z, y, x), state, settings)
        work += voxels * moments
        memory = max(memory, block_bytes)
        disk += z * y * x * moments * stored.itemsize * STORED
    cost = Cost(seconds, seconds * work / computed, (memory + JOB_BYTES) / 1e9, disk / 1e9)
    shown = {k: state.values[k] for k in ("iterations", *PRIORS) if state.values.get(k)}
    return restored, shown, cost


def _with_context(region: Region, shape: Triple, state: State) -> tuple[Region, Region]:
    """Widen a region by the halo, inside the volume and on the stride; and where it lies in it."""
    around, inner = [], []
    for part, n, halo, stride in zip(region, shape, state.halo, state.stride, strict=True):
        start = max(0, (part.start - halo) // stride * stride)
        around.append(slice(start, min(n, part.stop + halo)))
        inner.append(slice(part.start - start, part.stop - start))
    return (around[0], around[1], around[2]), (inner[0], inner[1], inner[2])


def _work(shape: Triple, state: State, settings: Settings) -> tuple[int, float]:
    """Count the voxels to compute for one time point, halos included; and the bytes of a block."""
    block, _ = choose_block(
        shape,
        halo=state.halo,
        stride=state.stride,
        bytes_per_voxel=state.bytes_per_voxel,
        memory_bytes=settings.restoration.memory_gb * 1e9,
        mirror=state.mirror,
    )
    padded = padded_voxels(block, shape, halo=state.halo, mirror=state.mirror)
    return padded * prod(grid(shape, block)), padded * state.bytes_per_voxel
