"""The viewer's scenes of a dataset: which stores each panel shows, read from the results."""

from collections.abc import Callable, Iterable, Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from decon3d import paths
from decon3d.report.channel_colours import channel_colours
from decon3d.report.consistency import worst_places
from decon3d.report.differences import minus_reference
from decon3d.report.entries import Job, exists
from decon3d.report.figures import restored_times, sources
from decon3d.report.films import film, napari_command
from decon3d.report.first_screen import telling_place
from decon3d.report.labels import TRUTH, method_label
from decon3d.report.run_status import stored
from decon3d.report.viewer import Channel, Panel, Shape, viewer_scene
from decon3d.report.views import Scene, Source, Triple, Values, detail, overview
from decon3d.settings import Settings
from decon3d.volumes.volume_record import VolumeRecord, load_record

CROP = (24, 224, 224)
"""Largest crop at full resolution (Z, Y, X) of one channel; narrower for several."""
WORST = 2
"""Most crops around worst places, per volume."""


def volume_scenes(
    root: Path,
    volumes: Iterable[str],
    *,
    dataset: str,
    settings: Settings,
    method: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Make the scenes of the volumes, in turn (see `viewer_scene`).

    First each whole volume with all channels; of a time series, its first restored time point,
    followed by the film of all time points. Then, of the volumes that are shown coarser than they
    are, crops at full resolution: the `roi` of the preview, the place with the most detail gained,
    and the places where a restoration and the data differ most.

    Parameters
    ----------
    root
        The working directory of the workflow.
    volumes
        Names of ingested volumes.
    method
        The method in the film. None = the first one with a result.
    """
    job = Job(root, dataset, settings)
    coarse = []
    for volume in volumes:
        record = load_record(root / paths.ingested(dataset, volume))
        scene = _scene(job, record, volume)
        yield {**scene, "of": volume}
        if len(restored_times(job, record)) > 1:
            yield {**film(job, record, method), "of": volume}
        if scene["shape"] != scene["full_shape"]:
            coarse.append(record)
    for record in coarse:
        for what, place, shape in _places(job, record):
            name = f"{record.name}: {what}, full resolution"
            yield {**_scene(job, record, name, place, shape), "of": record.name}


def _places(job: Job, record: VolumeRecord) -> Iterator[tuple[str, Triple, Shape]]:
    """List what each crop shows, its centre (Z, Y, X; µm) and its voxels."""
    preview, voxel = job.dataset.preview, record.voxel_size_um
    first, *further = job.dataset.channels
    depth, *sides = CROP
    side = sqrt(1 + len(further))  # the channels share the size of a page
    crop = (depth, int(sides[0] / side), int(sides[1] / side))
    if preview.roi is not None and preview.volume in (None, record.name):
        middle = [(a + b) / 2 * v for (a, b), v in zip(preview.roi, voxel, strict=True)]
        size = [min(b - a, n) for (a, b), n in zip(preview.roi, crop, strict=True)]
        yield "roi", (middle[0], middle[1], middle[2]), (size[0], size[1], size[2])
    raw, *others = sources(job, record, first)
    restored = [s for s in others if s.label != TRUTH]
    if restored:
        whole = [overview(s, voxel_size_um=voxel) for s in (restored[0], raw)]
        size_um = (crop[1] * voxel[1], crop[2] * voxel[2])
        place = telling_place(whole[0], like=whole[1], size_um=size_um)
        yield "most detail gained", place, crop
    worst = []
    for method in job.settings.methods:
        summary = stored(job.root / paths.consistency_record(job.name, method)).get(record.name)
        for check in (summary or {}).get("checks", []):
            label = method_label(method) + (f", {check['channel']}" if further else "")
            worst += [(abs(p["z"]), label, p["um"]) for p in worst_places(check)[:1]]
    for _, label, (z, y, x) in sorted(worst, reverse=True)[:WORST]:
        yield f"worst place of {label}", (z, y, x), crop


def _scene(
    job: Job,
    record: VolumeRecord,
    name: str,
    place: Triple | None = None,
    shape: Shape = CROP,
) -> dict[str, Any]:
    """Make a scene of the whole volume, or of the crop around a place."""
    voxel = record.voxel_size_um

    def read(source: Source) -> Scene:
        if place is None:
            return overview(source, voxel_size_um=voxel)
        return detail(source, centre_um=place, voxel_size_um=voxel, shape=shape)

    colours = channel_colours(record, job.dataset.channels)
    channels = []
    for position, channel in enumerate(job.dataset.channels):
        maps = {
            method_label(method): _consistency(job, record, method, position, read)
            for method in job.settings.methods
        }
        found = sources(job, record, channel)
        panels = [Panel(s.label, read(s), maps.get(s.label)) for s in found]
        differences = minus_reference(job, record, channel, read=read)
        panels += [Panel(label, scene, signed=True) for label, scene in differences.items()]
        channels.append(Channel(channel, colours[channel], panels))
    first = channels[0].panels[0].scene
    note = f"Time point {found[0].time + 1} of {record.shape[0]}." if record.shape[0] > 1 else ""
    if place is not None:
        z, y, x = (
            f"{round(c / v)} to {round(c / v) + n - 1}"
            for c, v, n in zip(first.corner_um, voxel, first.counts.shape, strict=True)
        )
        note = f"Voxels Z {z}, Y {y}, X {x} of the volume. {note}".strip()
    whole = record.shape[2:] if place is None else first.counts.shape
    return viewer_scene(
        channels,
        name=name,
        full_shape=(whole[0], whole[1], whole[2]),
        napari=napari_command(job, found),
        note=note,
    )


def _consistency(
    job: Job,
    record: VolumeRecord,
    method: str,
    position: int,
    read: Callable[[Source], Scene],
) -> Values | None:
    store = job.root / paths.consistency(job.name, record.name, method)
    if not exists(store):
        return None
    return np.asarray(read(Source(method, store, 0, position)).counts)
