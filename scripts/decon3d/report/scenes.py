"""The viewer's scenes of a dataset: which stores each panel shows, read from the results."""

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from decon3d import paths
from decon3d.report.differences import minus_reference
from decon3d.report.entries import Job, exists
from decon3d.report.figures import sources
from decon3d.report.labels import method_label
from decon3d.report.viewer import Panel, viewer_scene
from decon3d.report.views import Source, Values, overview
from decon3d.settings import Settings
from decon3d.volumes.volume_record import VolumeRecord, load_record


def volume_scenes(
    root: Path, volumes: Iterable[str], *, dataset: str, settings: Settings
) -> Iterator[dict[str, Any]]:
    """Make a scene for each of the volumes and each channel, in turn (see `viewer_scene`).

    Parameters
    ----------
    root
        The working directory of the workflow.
    volumes
        Names of ingested volumes.
    """
    job = Job(root, dataset, settings)
    several = len(job.dataset.channels) > 1
    for volume in volumes:
        record = load_record(root / paths.ingested(dataset, volume))
        for channel in job.dataset.channels:
            yield _scene(job, record, channel, f"{volume}, {channel}" if several else volume)


def _scene(job: Job, record: VolumeRecord, channel: str, name: str) -> dict[str, Any]:
    voxel = record.voxel_size_um
    position = list(job.dataset.channels).index(channel)
    maps = {
        method_label(method): _consistency(job, record, method, position)
        for method in job.settings.methods
    }
    found = sources(job, record, channel)
    panels = [Panel(s.label, overview(s, voxel_size_um=voxel), maps.get(s.label)) for s in found]
    differences = minus_reference(job, record, channel)
    panels += [Panel(label, scene, signed=True) for label, scene in differences.items()]
    times = record.shape[0]
    note = f"Time point {found[0].time} of {times}." if times > 1 else ""
    stores = (
        s.path.relative_to(job.root) if s.path.is_relative_to(job.root) else s.path for s in found
    )
    return viewer_scene(
        panels,
        name=name,
        full_shape=(record.shape[2], record.shape[3], record.shape[4]),
        napari=f"napari {shlex.join(map(str, stores))}",
        note=note,
    )


def _consistency(job: Job, record: VolumeRecord, method: str, position: int) -> Values | None:
    store = job.root / paths.consistency(job.name, record.name, method)
    if not exists(store):
        return None
    source = Source(method, store, 0, position)
    return np.asarray(overview(source, voxel_size_um=record.voxel_size_um).counts)
