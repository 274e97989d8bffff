"""Maps of differences: networks less Richardson-Lucy; one half of the photons less the other."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from decon3d import paths
from decon3d.evaluation.stability import load_stability
from decon3d.report.entries import Drawn, Entry, Job, exists, of_channel
from decon3d.report.labels import method_label
from decon3d.report.plots import deviations
from decon3d.report.recommendation import reference_of
from decon3d.report.run_status import stored
from decon3d.report.views import Scene, Source, overview
from decon3d.settings import is_network
from decon3d.volumes.volume_record import VolumeRecord, load_record

STABILITY = "Stability: how much the result changes between two halves of the photons"


def minus_reference(
    job: Job,
    record: VolumeRecord,
    channel: str,
    read: Callable[[Source], Scene] | None = None,
) -> dict[str, Scene]:
    """Subtract Richardson-Lucy from every network's restoration of a volume, in counts.

    Parameters
    ----------
    record
        The volume. Its first restored time point is used.
    read
        What to read of a restoration. None = all of it, averaged as in `views.overview`.

    Returns
    -------
    dict
        By label. Empty if there is no network, or no restoration by Richardson-Lucy.
    """
    methods = list(job.settings.methods)
    reference = reference_of(methods, job.settings)
    stores = {m: job.root / paths.restored(job.name, record.name, m) for m in methods}
    if reference is None or not exists(stores[reference]):
        return {}
    position = list(job.dataset.channels).index(channel)

    def seen(method: str) -> Scene:
        source = Source(method, stores[method], 0, position)
        return read(source) if read else overview(source, voxel_size_um=record.voxel_size_um)

    networks = [m for m in methods if is_network(job.settings.methods[m]) and exists(stores[m])]
    if not networks:
        return {}
    plain = seen(reference).counts
    found = {}
    for method in networks:
        scene = seen(method)
        label = f"{method_label(method)} − {method_label(reference)}"
        found[label] = Scene(scene.counts - plain, scene.voxel_size_um, scene.corner_um)
    return found


def draw_minus_reference(job: Job, volume: str, channel: str) -> Drawn:
    """Draw where each network differs from Richardson-Lucy on one volume."""
    record = load_record(job.root / paths.ingested(job.name, volume))
    scenes = minus_reference(job, record, channel)
    if not scenes:
        return []
    entry = Entry(
        f"minus_rl_{volume}_{channel}",
        "pictures",
        f"{volume}{of_channel(job, channel)}: networks minus Richardson-Lucy",
        "A network minus Richardson-Lucy, in counts; farthest from 0 along Z (above) and Y "
        "(below). Orange: the network has more light. Check structures that only the network "
        "shows.",
    )
    return [(entry, deviations(list(scenes.items()), unit="counts"))]


def draw_stability(job: Job, channel: str) -> Drawn:
    """Draw how much each method's result changes between two halves of the photons."""
    maps: dict[str, NDArray[np.float32]] = {}
    for method in job.settings.methods:
        path = job.root / paths.stability(job.name, method)
        counts = load_stability(path, channel) if path.is_file() else None
        if counts is not None:
            maps[method_label(method)] = counts
    if not maps:
        return []
    z, y, x = stored((job.root / paths.psf(job.name, channel)).with_suffix(".json"))[
        "voxel_size_um"
    ]
    panels = [(label, Scene(counts, (z, y, x))) for label, counts in maps.items()]
    entry = Entry(
        f"stability_{channel}",
        "consistency",
        f"{STABILITY}{of_channel(job, channel)}",
        "The brightest sample block, restored from each half of its photons: first minus second; "
        "farthest from 0 along Z (above) and Y (below). A stable result may still be wrong.",
    )
    return [(entry, deviations(panels, unit="counts"))]
