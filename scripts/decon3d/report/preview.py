"""The preview: a crop of one volume, restored by each ready method, and the full run's cost."""

import datetime
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from decon3d import paths
from decon3d.blocks.geometry import Region
from decon3d.classical.kind import PRIORS
from decon3d.errors import UserError
from decon3d.files import write_record, write_text
from decon3d.report.channel_colours import channel_colours
from decon3d.report.labels import TRUTH, method_label
from decon3d.report.preview_crop import ChannelCrop, Crop
from decon3d.report.preview_trials import Trial, try_method
from decon3d.report.templating import date_in_words, duration, render
from decon3d.report.viewer import Channel, Panel, viewer_scene
from decon3d.report.views import Scene, Source, Triple, overview
from decon3d.settings import (
    Dataset,
    Settings,
    list_volumes,
    previewed_volume,
)
from decon3d.volumes.inputs import VolumeSource
from decon3d.volumes.reader import Reading, open_volume
from decon3d.volumes.volume_record import VolumeRecord, load_record

CROP = (32, 160, 160)
"""Largest crop (Z, Y, X)."""
SNAP = 8
"""The crop starts on multiples of this, as blocks do on a network's stride."""


def make_preview(
    root: Path,
    *,
    dataset: str,
    settings: Settings,
    threads: int,
    requests: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    command: str = "decon3d run config.yaml",
    started_s: float | None = None,
) -> Path:
    """Try every method on a crop; write the page, and the costs as a record.

    Parameters
    ----------
    root
        The working directory of the workflow; the volume is ingested and the PSFs are made.
    requests
        What the jobs of each method request on a cluster: `stage`, `jobs`, `minutes`, `memory_mb`,
        `threads` and `gpu`.
    command
        Runs the workflow.
    started_s
        Time in which this job started; None = unknown.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    UserError
        If `preview.roi` does not lie in the volume.
    """
    used = settings.datasets[dataset]
    sources = list_volumes(dataset, used)
    chosen = previewed_volume(dataset, used, sources)
    record = load_record(root / paths.ingested(dataset, chosen.name))
    time = (used.times or [0])[0]
    region = _region(root, record, dataset=dataset, settings=settings, time=time)
    shapes = [_shape(root, used, source) for source in sources.values()]
    crop = Crop(root, dataset, settings, record, region, shapes, threads)
    colours = channel_colours(record, used.channels)
    channels, trials, making_s = [], [], 0.0
    for name, channel in used.channels.items():
        raw = record.open().read(time, channel.index, region)
        panels = [Panel("raw", _scene(raw, record, region))]
        with tempfile.TemporaryDirectory() as scratch:
            tried = ChannelCrop(crop, name, Path(scratch))
            for method in settings.methods:
                trial = try_method(tried, method)
                trials.append(trial)
                if trial.restored is not None:
                    scene = _scene(trial.restored, record, region)
                    panels.append(Panel(method_label(method), scene))
            making_s += sum(few.making_s for few in tried.phantoms.splits.values())
        if chosen.reference is not None and (root / chosen.reference).exists():
            truth = open_volume(root / chosen.reference, reading=Reading.of(used))
            moment, index = min(time, truth.shape[0] - 1), min(channel.index, truth.shape[1] - 1)
            panels.append(Panel(TRUTH, _scene(truth.read(moment, index, region), record, region)))
        channels.append(Channel(name, colours[name], panels))
    z, y, x = (part.stop - part.start for part in region)
    viewed = viewer_scene(
        channels, name=chosen.name, full_shape=(z, y, x), napari=f"napari {record.path}"
    )
    ranges = ", ".join(f"{a} {s.start} to {s.stop - 1}" for a, s in zip("ZYX", region, strict=True))
    rows = _rows(trials, settings, requests or {})
    costs = {
        "methods": rows,
        "phantoms_s": making_s,
        "total_s": _total(making_s, rows),
        "not_included": _not_included(settings, dataset, started_s),
        "threads": threads,
        "command": command,
    }
    write_record(root / paths.preview_costs(dataset), costs)
    text = render(
        "preview.html.j2",
        dataset=dataset,
        volume=chosen.name,
        made=date_in_words(datetime.datetime.now()),
        volumes=len(sources),
        where=f"Voxels {ranges} of {record.name}",
        scenes=[viewed],
        **costs,
        mvoxel=sum(np.prod(shape) for shape in shapes) / 1e6,
    )
    path = root / paths.preview(dataset)
    write_text(path, text)
    return path


def _region(
    root: Path, record: VolumeRecord, *, dataset: str, settings: Settings, time: int
) -> Region:
    """Return the crop of the config, or the place with the most light in the first channel."""
    preview = settings.datasets[dataset].preview
    shape = record.shape[2:]
    if preview.roi is not None:
        for (start, stop), n, axis in zip(preview.roi, shape, "ZYX", strict=True):
            if stop > n:
                raise UserError(
                    f"datasets.{dataset}.preview.roi: {start} to {stop} along {axis} is outside "
                    f"{record.name}, which has {n} voxels; choose a range within 0 to {n}"
                )
        z, y, x = (slice(start, stop) for start, stop in preview.roi)
        return (z, y, x)
    index = next(iter(settings.datasets[dataset].channels.values())).index
    scene = overview(
        Source("raw", root / record.path, time, index), voxel_size_um=record.voxel_size_um
    )
    small = [n / m for n, m in zip(shape, scene.counts.shape, strict=True)]
    size = [min(n, c) for n, c in zip(shape, CROP, strict=True)]
    light = uniform_filter(
        np.nan_to_num(scene.counts),
        [max(1, round(c / s)) for c, s in zip(size, small, strict=True)],
    )
    place = np.unravel_index(int(np.argmax(light)), light.shape)
    starts = [
        min(max(int(p * s) - c // 2, 0), n - c) // SNAP * SNAP
        for p, s, c, n in zip(place, small, size, shape, strict=True)
    ]
    z, y, x = (slice(start, start + c) for start, c in zip(starts, size, strict=True))
    return (z, y, x)


def _shape(root: Path, dataset: Dataset, source: VolumeSource) -> tuple[int, int, int, int, int]:
    """Find a volume's shape (T, C, Z, Y, X) without reading it."""
    if dataset.simulate is not None:
        z, y, x = dataset.simulate[source.name].shape
        return (1, len(dataset.channels), z, y, x)
    return open_volume(root / source.path, reading=Reading.of(dataset)).shape


def _scene(values: Any, record: VolumeRecord, region: Region) -> Scene:
    z, y, x = (s.start * v for s, v in zip(region, record.voxel_size_um, strict=True))
    corner: Triple = (z, y, x)
    return Scene(np.asarray(values, np.float32), record.voxel_size_um, corner)


def _rows(
    trials: Sequence[Trial],
    settings: Settings,
    requests: Mapping[str, Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """Make one row per method; times and disk space are summed over the channels."""
    rows = []
    for method in settings.methods:
        own = [t for t in trials if t.method == method]
        costs = [t.cost for t in own if t.cost is not None]
        done = [t for t in own if t.restored is not None]
        values = done[0].values or {} if done else {}
        shown = ", ".join(f"λ {v:.2g}" if k in PRIORS else f"{v} {k}" for k, v in values.items())
        priced = len(costs) == len(own)
        rows.append(
            {
                "method": method,
                "settings": shown or ("as trained" if done else "–"),
                "seconds": sum(c.crop_s for c in costs) if done else None,
                "training_s": sum(c.training_s for c in costs) if priced else None,
                "search_s": _sum([c.search_s for c in costs]) if priced else None,
                "evaluation_s": sum(c.evaluation_s for c in costs) if priced else None,
                "predicted_s": sum(c.restoring_s for c in costs) if priced else None,
                "memory_gb": max(c.memory_gb for c in costs) if priced else None,
                "disk_gb": sum(c.disk_gb for c in costs) if priced else None,
                "cluster": [_request(one) for one in requests.get(method, ())],
                "notes": list(dict.fromkeys(note for t in own for note in t.notes)),
            }
        )
    return rows


def _request(request: Mapping[str, Any]) -> str:
    """Write what the jobs of one stage request."""
    one = request["jobs"] == 1
    jobs = "1 job with" if one else f"{request['jobs']} jobs, each"
    limit = duration(60 * request["minutes"])
    gpu = ", 1 GPU" if request["gpu"] else ""
    return (
        f"{request['stage']}: {jobs} {request['threads']} cores{gpu}, "
        f"{request['memory_mb'] / 1000:.3g} GB, at most {limit}"
    )


def _sum(values: Sequence[float | None]) -> float | None:
    """Add times; None if one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _total(making_s: float, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Add the times of all stages that have one; None if a method has no time for one."""
    stages = ("training_s", "search_s", "predicted_s", "evaluation_s")
    return _sum([making_s, *(row[stage] for row in rows for stage in stages)])


def _not_included(settings: Settings, dataset: str, started_s: float | None) -> list[str]:
    """List the steps of the run that have no price."""
    here = "" if started_s is None else f" (this one started in {duration(started_s)})"
    steps = [f"the start of each job{here}", "reading and converting the files"]
    if settings.datasets[dataset].pairs is not None:
        steps.append("the measured pairs, and what is searched or measured on them")
    return [*steps, "checks on a sample of the data", "the page"]
