"""The viewer's scenes of a dataset: which stores each panel shows, read from the results."""

import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from decon3d import paths
from decon3d.report.consistency import worst_places
from decon3d.report.differences import minus_reference
from decon3d.report.entries import Job, exists
from decon3d.report.figures import sources
from decon3d.report.first_screen import telling_place
from decon3d.report.labels import TRUTH, method_label
from decon3d.report.run_status import stored
from decon3d.report.viewer import Panel, Shape, viewer_scene
from decon3d.report.views import Scene, Source, Triple, Values, detail, overview
from decon3d.settings import Settings
from decon3d.volumes.volume_record import VolumeRecord, load_record

CROP = (24, 224, 224)
"""Largest crop at full resolution (Z, Y, X)."""
WORST = 2
"""Most crops around worst places, per volume and channel."""


def volume_scenes(
    root: Path, volumes: Iterable[str], *, dataset: str, settings: Settings
) -> Iterator[dict[str, Any]]:
    """Make the scenes of the volumes, in turn (see `viewer_scene`).

    First one of each whole volume and channel. Then, of those that are shown coarser than they
    are, crops at full resolution: the `roi` of the preview, the place with the most detail gained,
    and the places where a restoration and the data differ most.

    Parameters
    ----------
    root
        The working directory of the workflow.
    volumes
        Names of ingested volumes.
    """
    job = Job(root, dataset, settings)
    several = len(job.dataset.channels) > 1
    coarse = []
    for volume in volumes:
        record = load_record(root / paths.ingested(dataset, volume))
        for channel in job.dataset.channels:
            name = f"{volume}, {channel}" if several else volume
            scene = _scene(job, record, channel, name)
            yield scene
            if scene["shape"] != scene["full_shape"]:
                coarse.append((record, channel, name))
    for record, channel, name in coarse:
        for what, place, shape in _places(job, record, channel):
            yield _scene(job, record, channel, f"{name}: {what}, full resolution", place, shape)


def _places(job: Job, record: VolumeRecord, channel: str) -> Iterator[tuple[str, Triple, Shape]]:
    """List what each crop shows, its centre (Z, Y, X; µm) and its voxels."""
    preview, voxel = job.dataset.preview, record.voxel_size_um
    if preview.roi is not None and preview.volume in (None, record.name):
        middle = [(a + b) / 2 * v for (a, b), v in zip(preview.roi, voxel, strict=True)]
        size = [min(b - a, n) for (a, b), n in zip(preview.roi, CROP, strict=True)]
        yield "roi", (middle[0], middle[1], middle[2]), (size[0], size[1], size[2])
    raw, *others = sources(job, record, channel)
    restored = [s for s in others if s.label != TRUTH]
    if restored:
        whole = [overview(s, voxel_size_um=voxel) for s in (restored[0], raw)]
        size_um = (CROP[1] * voxel[1], CROP[2] * voxel[2])
        place = telling_place(whole[0], like=whole[1], size_um=size_um)
        yield "most detail gained", place, CROP
    worst = []
    for method in job.settings.methods:
        summary = stored(job.root / paths.consistency_record(job.name, method)).get(record.name)
        for check in (summary or {}).get("checks", []):
            if check["channel"] == channel:
                places = worst_places(check)[:1]
                worst += [(abs(p["z"]), method_label(method), p["um"]) for p in places]
    for _, label, (z, y, x) in sorted(worst, reverse=True)[:WORST]:
        yield f"worst place of {label}", (z, y, x), CROP


def _scene(
    job: Job,
    record: VolumeRecord,
    channel: str,
    name: str,
    place: Triple | None = None,
    shape: Shape = CROP,
) -> dict[str, Any]:
    """Make a scene of the whole volume, or of the crop around a place."""
    voxel = record.voxel_size_um
    position = list(job.dataset.channels).index(channel)

    def read(source: Source) -> Scene:
        if place is None:
            return overview(source, voxel_size_um=voxel)
        return detail(source, centre_um=place, voxel_size_um=voxel, shape=shape)

    maps = {
        method_label(method): _consistency(job, record, method, position, read)
        for method in job.settings.methods
    }
    found = sources(job, record, channel)
    panels = [Panel(s.label, read(s), maps.get(s.label)) for s in found]
    differences = minus_reference(job, record, channel, read=read)
    panels += [Panel(label, scene, signed=True) for label, scene in differences.items()]
    times = record.shape[0]
    note = f"Time point {found[0].time} of {times}." if times > 1 else ""
    if place is not None:
        z, y, x = (
            f"{round(c / v)} to {round(c / v) + n - 1}"
            for c, v, n in zip(
                panels[0].scene.corner_um, voxel, panels[0].scene.counts.shape, strict=True
            )
        )
        note = f"Voxels Z {z}, Y {y}, X {x} of the volume. {note}".strip()
    whole = record.shape[2:] if place is None else panels[0].scene.counts.shape
    stores = (
        s.path.relative_to(job.root) if s.path.is_relative_to(job.root) else s.path for s in found
    )
    return viewer_scene(
        panels,
        name=name,
        full_shape=(whole[0], whole[1], whole[2]),
        napari=f"napari {shlex.join(map(str, stores))}",
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
