"""A trial of one method on a crop of one volume: the result, and the predicted cost of all data.

The crop is restored with the voxels around it that the run would use. It equals the result of the
run, except for settings that are not known yet.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d import paths
from decon3d.blocks.geometry import Region, Triple, choose_block, grid
from decon3d.classical.kind import PRIORS
from decon3d.classical.registry import CLASSICAL
from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import preparation
from decon3d.restoration.restorers import State, claim_device, open_restorer
from decon3d.restoration.sample import channel_camera, sample_blocks
from decon3d.settings import (
    Settings,
    is_network,
    is_tuned,
    needs_sample,
    ready_bundle,
)
from decon3d.volumes.camera import load_camera, resolve_camera
from decon3d.volumes.no_data import read_marked
from decon3d.volumes.statistics import channel_statistics
from decon3d.volumes.volume_record import VolumeRecord


@dataclass(frozen=True)
class Trial:
    """The outcome for one method and channel; `restored` is None where it could not be tried.

    Attributes
    ----------
    values
        The settings in effect: `iterations` and the λ of a prior.
    seconds
        Of the crop with its context.
    predicted_s
        Of this channel of all volumes and time points, with as many threads.
    """

    method: str
    channel: str
    notes: list[str]
    restored: NDArray[np.float32] | None = None
    values: dict[str, Any] | None = None
    seconds: float = 0.0
    predicted_s: float = 0.0


def try_method(
    root: Path,
    *,
    dataset: str,
    channel: str,
    method: str,
    settings: Settings,
    record: VolumeRecord,
    region: Region,
    shapes: Sequence[tuple[int, int, int, int, int]],
    threads: int,
) -> Trial:
    """Restore a crop of one channel by one method.

    Parameters
    ----------
    root
        The working directory of the workflow. A search or training that has ended there is used.
    record
        The ingested volume that the crop is cut from; it stands for all in the statistics.
    region
        The crop (slices along Z, Y, X).
    shapes
        Of all volumes of the dataset (T, C, Z, Y, X).

    Returns
    -------
    Trial
        With a note in place of a result where the method is not ready.
    """
    chosen = settings.methods[method]
    names = (dataset, channel, method)
    if chosen.source is not None:
        note = f"not shown: it starts from the result of {chosen.source}"
        return Trial(method, channel, [note])
    files: dict[str, Any] = {"psf": root / paths.psf(dataset, channel)}
    values, notes = chosen.model_dump(mode="json", exclude={"training"}), []
    if is_network(chosen):
        folder = Path(ready_bundle(chosen, channel) or root / paths.model(*names))
        if not (folder / "model.json").is_file():
            training = getattr(chosen, "training", None)
            steps = f" ({training.steps:,} steps)" if training else ""
            return Trial(method, channel, [f"not trained yet{steps}"])
        files["bundle"] = folder / "model.json"
    elif is_tuned(chosen):
        if (root / paths.tuning(*names)).is_file():
            files["tuning"] = root / paths.tuning(*names)
        else:
            notes.append("not tuned yet; this crop uses a first guess of the settings")
            values |= CLASSICAL[chosen.kind].first_guess
    try:
        trial = _tried(
            root,
            files,
            values,
            names,
            settings,
            record,
            region,
            shapes,
            threads,
            needs_sample(chosen),
        )
    except UserError as error:
        log.warning("%s: %s", method, error)
        return Trial(method, channel, [*notes, str(error)])
    return Trial(method, channel, notes, *trial)


def _tried(
    root: Path,
    files: dict[str, Any],
    values: dict[str, Any],
    names: tuple[str, str, str],
    settings: Settings,
    record: VolumeRecord,
    region: Region,
    shapes: Sequence[tuple[int, int, int, int, int]],
    threads: int,
    sampled: bool,
) -> tuple[NDArray[np.float32], dict[str, Any], float, float]:
    dataset, key = settings.datasets[names[0]], f"datasets.{names[0]}"
    channel = dataset.channels[names[1]]
    fixed = channel.normalisation
    noise = root / paths.noise(names[0], names[1])
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
    around, inner = _with_context(region, shape, state)
    counts = read_marked(
        record.open(), (dataset.times or [0])[0], channel.index, around, record.fill(channel.index)
    )
    restorer = open_restorer(state, threads=threads)
    started = time.perf_counter()
    restored = restore_array(counts, restorer, state)[inner]
    seconds = time.perf_counter() - started
    extra = state.halo if state.mirror else (0, 0, 0)
    computed = prod(n + 2 * h for n, h in zip(counts.shape, extra, strict=True))
    moments = len(dataset.times) if dataset.times else 0
    work = sum(
        _work((z, y, x), state, settings) * (moments or times) for times, _, z, y, x in shapes
    )
    shown = {k: state.values[k] for k in ("iterations", *PRIORS) if state.values.get(k)}
    return restored, shown, seconds, seconds * work / computed


def _with_context(region: Region, shape: Triple, state: State) -> tuple[Region, Region]:
    """Widen a region by the halo, inside the volume and on the stride; and where it lies in it."""
    around, inner = [], []
    for part, n, halo, stride in zip(region, shape, state.halo, state.stride, strict=True):
        start = max(0, (part.start - halo) // stride * stride)
        around.append(slice(start, min(n, part.stop + halo)))
        inner.append(slice(part.start - start, part.stop - start))
    return (around[0], around[1], around[2]), (inner[0], inner[1], inner[2])


def _work(shape: Triple, state: State, settings: Settings) -> int:
    """Count the voxels to compute for one time point, the blocks' halos included."""
    block, _ = choose_block(
        shape,
        halo=state.halo,
        stride=state.stride,
        bytes_per_voxel=state.bytes_per_voxel,
        memory_bytes=settings.restoration.memory_gb * 1e9,
        mirror=state.mirror,
    )
    sizes = zip(block, shape, state.halo, strict=True)
    padded = prod(b + 2 * h if state.mirror else min(b + 2 * h, n) for b, n, h in sizes)
    return padded * prod(grid(shape, block))
