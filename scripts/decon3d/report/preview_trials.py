"""A trial of one method on a crop of one volume: the result, and the predicted cost of all data.

The crop is restored with the voxels around it that the run would use. It equals the result of the
run, except for settings that are not known yet. Nothing is taken from tables: every time is that
of the same work on less data.
"""

import tempfile
import time
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
from decon3d.evaluation.consistency import Checker
from decon3d.evaluation.noise import noise_of
from decon3d.logs import log
from decon3d.report.preview_crop import ChannelCrop
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import preparation
from decon3d.restoration.restorers import State, claim_device, open_restorer
from decon3d.restoration.tuning import tune_on_data
from decon3d.settings import (
    Settings,
    is_network,
    is_trained,
    is_tuned,
    needs_sample,
    ready_bundle,
)
from decon3d.volumes.no_data import read_marked

JOB_BYTES = 1.5e9
"""Memory of a job besides its block, as the rules request it."""
STORED = 16 / 9
"""A restored volume with its pyramid and its consistency map, over its voxels; at most."""


@dataclass(frozen=True)
class Cost:
    """The price of one method and channel, for all volumes and time points.

    Times are those of this machine, with as many threads.

    Attributes
    ----------
    crop_s
        Of the crop with its context.
    restoring_s
        Of all volumes.
    memory_gb
        Of a job that restores: its largest block, and the program.
    disk_gb
        Of the restored volumes with pyramids and consistency maps, at most.
    evaluation_s
        Of the consistency maps of all volumes, and of restoring and measuring the test phantoms.
    training_s
        Of the training that is still to be done, on the CPU; 0 if there is none.
    search_s
        Of the search for the settings that is still to be done; 0 if there is none; None if it
        could not be tried.
    """

    crop_s: float
    restoring_s: float
    memory_gb: float
    disk_gb: float
    evaluation_s: float
    training_s: float = 0.0
    search_s: float | None = 0.0


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


def try_method(channel: ChannelCrop, method: str) -> Trial:
    """Restore a crop of one channel by one method.

    Returns
    -------
    Trial
        With a note in place of a result where the method is not ready. A network that is not
        trained yet is priced with random weights. Settings that are not searched yet are searched
        on one phantom of each recipe.
    """
    with tempfile.TemporaryDirectory(dir=channel.scratch) as folder:
        return _try_method(channel, method, Path(folder))


def _try_method(channel: ChannelCrop, method: str, scratch: Path) -> Trial:
    crop = channel.crop
    root, settings, names = crop.root, crop.settings, (crop.dataset, channel.name, method)
    chosen: Any = settings.methods[method]
    files: dict[str, Any] = {"psf": channel.psf_path}
    values = chosen.model_dump(mode="json", exclude={"training"})
    notes: list[str] = []
    shown, training_s = chosen.source is None, 0.0
    search_s: float | None = 0.0
    if chosen.source is not None:
        notes.append(f"not shown: it starts from the result of {chosen.source}")
    try:
        if is_network(chosen):
            folder = Path(ready_bundle(chosen, channel.name) or root / paths.model(*names))
            if not (folder / "model.json").is_file():
                if not is_trained(chosen):
                    return Trial(method, channel.name, [*notes, "its bundle does not exist"])
                notes.append(f"not trained yet ({chosen.training.steps:,} steps)")
                shown, folder = False, scratch / "bundle"
                try:
                    training_s = _try_training(chosen, folder, channel)
                except (ImportError, UserError) as error:  # TensorFlow is not installed here
                    return Trial(method, channel.name, [*notes, f"its cost is unknown: {error}"])
            files["bundle"] = folder / "model.json"
        elif is_tuned(chosen):
            files["tuning"] = root / paths.tuning(*names)
            if not files["tuning"].is_file():
                files["tuning"] = scratch / "tuning.json"
                search_s = _try_search(chosen, files["tuning"], channel)
                if search_s is None:
                    del files["tuning"]
                    values |= CLASSICAL[chosen.kind].first_guess
                    notes.append("not tuned yet; this crop uses a first guess of the settings")
                elif chosen.tune_on == "data":
                    notes.append("this crop uses settings that were searched on this volume")
                else:
                    notes.append(
                        "this crop uses settings that were searched on one phantom of each recipe"
                    )
        restored, effective, cost = _tried(channel, method, files, values, scratch)
    except UserError as error:
        log.warning("%s: %s", method, error)
        return Trial(method, channel.name, [*notes, str(error)])
    cost = replace(cost, training_s=training_s, search_s=search_s)
    return Trial(method, channel.name, notes, restored if shown else None, effective, cost)


def _try_training(method: Any, folder: Path, channel: ChannelCrop) -> float:
    """Price a training; the bundle with random weights is in `folder`."""
    from decon3d.training.trial import try_untrained

    pairs = channel.crop.settings.simulated_pairs
    shape = pairs.shape if pairs else method.training.crop
    folder.mkdir()
    return try_untrained(folder, method, psf=channel.psf, shape=shape, threads=channel.crop.threads)


def _try_search(method: Any, path: Path, channel: ChannelCrop) -> float | None:
    """Search a method's settings; return the time of the search of the run, None if unknown."""
    if method.tune_on != "data":
        return channel.phantoms.search_s(method, path)
    started = time.perf_counter()
    tune_on_data(
        channel.sample,
        path=path,
        statistics=channel.statistics,
        method=method,
        psf=channel.psf,
        camera=channel.camera,
        seed=channel.crop.settings.seed,
        threads=channel.crop.threads,
    )
    return time.perf_counter() - started


def _tried(
    channel: ChannelCrop, method: str, files: dict[str, Any], values: dict[str, Any], scratch: Path
) -> tuple[NDArray[np.float32], dict[str, Any], Cost]:
    """Restore the crop of a channel; return it, the settings in effect, the cost."""
    crop = channel.crop
    settings, record, threads = crop.settings, crop.record, crop.threads
    prepare = preparation(values, files, camera=channel.camera, seed=settings.seed, threads=threads)
    sampled = needs_sample(settings.methods[method])
    state = prepare(channel.statistics, channel.sample if sampled else [])
    claim_device(state, gpus=0, threads=threads)
    shape: Triple = (record.shape[2], record.shape[3], record.shape[4])
    around, inner = _with_context(crop.region, shape, state)
    counts = read_marked(
        record.open(),
        (channel.times or [0])[0],
        channel.index,
        around,
        record.fill(channel.index),
    )
    restorer = open_restorer(state, threads=threads)
    started = time.perf_counter()
    restored = restore_array(counts, restorer, state)
    seconds = time.perf_counter() - started
    mapping = _try_map(channel, counts, restored)
    extra = state.halo if state.mirror else (0, 0, 0)
    computed = prod(n + 2 * h for n, h in zip(counts.shape, extra, strict=True))
    work = memory = voxels = 0.0
    stored = np.dtype(record.dtype if settings.restoration.output_dtype == "input" else "f4")
    for times, _, z, y, x in crop.shapes:
        moments = len(channel.times) if channel.times else times
        padded, block_bytes = _work((z, y, x), state, settings)
        work += padded * moments
        voxels += z * y * x * moments
        memory = max(memory, block_bytes)
    disk = voxels * stored.itemsize * STORED
    measuring = channel.phantoms.measuring_s(method, prepare, scratch / "restored.zarr")
    cost = Cost(
        crop_s=seconds,
        restoring_s=seconds * work / computed,
        memory_gb=(memory + JOB_BYTES) / 1e9,
        disk_gb=disk / 1e9,
        evaluation_s=mapping * voxels / counts.size + (measuring or 0.0),
    )
    shown = {k: state.values[k] for k in ("iterations", *PRIORS) if state.values.get(k)}
    return restored[inner], shown, cost


def _try_map(channel: ChannelCrop, counts: NDArray[Any], restored: NDArray[Any]) -> float:
    """Time the consistency map of a restored image."""
    started = time.perf_counter()
    checker = Checker(
        psf=channel.psf,
        noise=noise_of(channel.measured, camera=channel.camera),
        background=channel.statistics.background,
        threads=channel.crop.threads,
    )
    checker.whole(counts, restored)
    return time.perf_counter() - started


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
