"""Films of time series for the viewer: one maximum projection along Z per time point."""

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np

from decon3d.report.channel_colours import channel_colours
from decon3d.report.entries import Job
from decon3d.report.figures import restored_times, sources
from decon3d.report.labels import TRUTH
from decon3d.report.viewer import Channel, Panel, most_voxels, resampled, small_shape, viewer_scene
from decon3d.report.views import Scene, Source, Triple, overview
from decon3d.volumes.volume_record import VolumeRecord

MOST_FRAMES = 100
"""Most time points of a film; of a longer series, every second (third, ...) one is shown."""


def film(job: Job, record: VolumeRecord, method: str | None) -> dict[str, Any]:
    """Make the scene of all time points (see `viewer_scene`): its planes are time points.

    Parameters
    ----------
    record
        A volume of several time points.
    method
        Label of the method to show beside the raw volume. None = the first one with a result.
    """
    times = restored_times(job, record)
    moments = range(0, len(times), -(-len(times) // MOST_FRAMES))
    voxel = record.voxel_size_um
    colours = channel_colours(record, job.dataset.channels)
    channels, shown = [], []
    for name in job.dataset.channels:
        labels = [s.label for s in sources(job, record, name) if s.label != TRUTH]
        restored = [method] if method in labels else labels[1:2]
        shown = [labels[0], *restored]
        series: dict[str, list[Source]] = {label: [] for label in shown}
        for moment in moments:
            for source in sources(job, record, name, moment=moment):
                if source.label in series:
                    series[source.label].append(source)
        panels = [Panel(k, _frames(v, voxel, len(job.dataset.channels))) for k, v in series.items()]
        channels.append(Channel(name, colours[name], panels))
    every = "all" if len(moments) == len(times) else f"{len(moments)} of the"
    note = (
        f"Maximum projections along Z of {every} {len(times)} time points, {' and '.join(shown)}. "
        "The page holds the slices of the first time point only; napari (below) shows the others."
    )
    scene = viewer_scene(
        channels,
        name=f"{record.name}: all time points",
        full_shape=(len(moments), *record.shape[3:]),
        napari=napari_command(job, sources(job, record, next(iter(job.dataset.channels)))),
        note=note,
        moments=[_moment(record, times[m]) for m in moments],
    )
    scene["start"][0] = 0
    return scene


def _frames(series: Sequence[Source], voxel: Triple, channels: int) -> Scene:
    """Project each time point along Z; the first axis of the scene is time, 1 µm per frame."""
    frames = []
    for source in series:
        scene = overview(source, voxel_size_um=voxel)
        frame = np.fmax.reduce(scene.counts, axis=0, keepdims=True)  # NaN = no data
        _, down, across = scene.voxel_size_um
        most = most_voxels(channels) // len(series)
        small = small_shape(frame.shape, voxel_size_um=(1.0, down, across), most=most)
        frames.append(resampled(frame, small))
    _, height, width = frames[0].shape
    _, tall, wide = scene.size_um
    return Scene(np.concatenate(frames), (1.0, tall / height, wide / width))


def _moment(record: VolumeRecord, time: int) -> str:
    """Name a time point by its number and, where the file states the interval, its time."""
    text = f"time point {time + 1} of {record.shape[0]}"
    if record.time_interval_s is None:
        return text
    return f"{text}, {_clock(time * record.time_interval_s)}"


def _clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def napari_command(job: Job, found: Sequence[Source]) -> str:
    """Return the command that opens the stores of a volume, relative to the working directory."""
    stores = (
        s.path.relative_to(job.root) if s.path.is_relative_to(job.root) else s.path for s in found
    )
    return f"napari {shlex.join(map(str, stores))}"
