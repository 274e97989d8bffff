"""Figures of the consistency maps: all methods side by side, and the worst places of each."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from decon3d import paths
from decon3d.blocks.geometry import Region, Triple
from decon3d.evaluation.consistency import THRESHOLD, Scale
from decon3d.evaluation.consistency_maps import ChannelCheck, reblurred
from decon3d.evaluation.map_sensitivity import CHANGES, DETECTABLE
from decon3d.evaluation.noise import load_noise
from decon3d.evaluation.records import read_records
from decon3d.optics.psf import load_psf
from decon3d.report.entries import Drawn, Entry, Job, of_channel
from decon3d.report.labels import method_label
from decon3d.report.plots import DEVIATIONS, deviations
from decon3d.report.run_status import stored
from decon3d.report.templating import number, quantity
from decon3d.report.views import Source, overview
from decon3d.settings import Settings
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import load_statistics
from decon3d.volumes.volume_record import VolumeRecord, load_record

SHOWN = 4
"""Most places of a method that are drawn."""
HALF = (12, 24, 24)
"""Voxels (Z, Y, X) around a place that are drawn."""
PLACE_COLUMNS = ["Place", "z (σ)", "Z (µm)", "Y (µm)", "X (µm)"]
LIMIT = 10.0
COLUMNS = [
    "Method",
    "Flagged (%)",
    "Invented (%)",
    "Missed (%)",
    "Worst place (σ)",
    "RMS of z",
    "Scale α",
    "Offset β (counts)",
    "Not verifiable (% of the energy)",
    "Detects added spots (AUC)",
    "Detects spots doubled in XY (AUC)",
    "Detects patches doubled in Z (AUC)",
    "Objects from dark noise",
]
NOTE = (
    "Invented: light in the restoration that the data contradict. Missed: light in the data that "
    f"the restoration lacks. Flagged: |z| ≥ {THRESHOLD:g} σ. The re-blurred restoration was fitted "
    "to the raw image as α · restoration + β. Not verifiable: energy outside the microscope's pass "
    "band. AUC: how well "
    "the map detects changes that were planted into restored phantoms; 1 = always, 0.5 = never, "
    f"and below {DETECTABLE:g} the change counts as not detected. "
    "Doubled spots and patches are below the resolution and cannot be verified in principle; the "
    "map may detect them by their other effects. Objects from dark noise: number of objects above "
    f"{THRESHOLD:g} σ, and the highest peak, after restoring noise without light. Noise alone "
    "gives z a root mean square of 1. The root mean square is smaller where the "
    "allowed error of the PSF, or light from outside the volume, exceeds the noise; there, the map "
    "is not sensitive. The map cannot prove that a restoration is correct. It cannot detect errors "
    "below the microscope's cut-off, or changes smaller than the allowed error of the PSF (5 % of "
    "the surrounding light). Methods are not ranked by it."
)


def draw_consistency(job: Job, volume: str, channel: str) -> Drawn:
    """Draw the consistency maps of one volume and channel, for all methods that have one.

    The first time point is drawn.
    """
    root, dataset = job.root, job.name
    found: dict[str, dict[str, Any]] = {}
    for method in job.settings.methods:
        summary = stored(root / paths.consistency_record(dataset, method)).get(volume)
        stores = (f(dataset, volume, method) for f in (paths.consistency, paths.restored))
        if summary and all((root / paths.store_marker(s)).is_file() for s in stores):
            found[method] = next(c for c in summary["checks"] if c["channel"] == channel)
    if not found:
        return []
    record = load_record(root / paths.ingested(dataset, volume))
    position = list(job.dataset.channels).index(channel)
    where = f"{volume}{of_channel(job, channel)}"
    stem = f"{volume}_{channel}"
    panels = []
    for method in found:
        store = root / paths.consistency(dataset, volume, method)
        source = Source(method_label(method), store, 0, position)
        panels.append((source.label, overview(source, voxel_size_um=record.voxel_size_um)))
    caption = (
        "Raw image minus re-blurred restoration, in σ of the noise; farthest from 0 along Z "
        "(above) and Y (below). Blue: invented light. Orange: missed light."
    )
    drawn: Drawn = [
        (
            Entry(
                f"consistency_{stem}",
                "consistency",
                f"{where}: consistency with the raw data",
                caption,
                note=NOTE,
                columns=COLUMNS,
                rows=[summary_row(root, dataset, channel, m, check) for m, check in found.items()],
                of=where,
            ),
            deviations(panels, unit="z (σ)", limit=LIMIT),
        )
    ]
    check = ChannelCheck(
        channel,
        job.dataset.channels[channel].index,
        load_psf(root / paths.psf(dataset, channel)),
        load_noise(root / paths.noise(dataset, channel)),
        load_statistics(root / paths.statistics(dataset, channel)).background,
    )
    caption = (
        "Where the raw image and the re-blurred restoration differ most, and by at least "
        f"{THRESHOLD:g} σ: XY planes, {quantity((2 * HALF[2] + 1) * record.voxel_size_um[2])} µm "
        "wide, on the grey scale of the raw image."
    )
    for method, values in found.items():
        if worst := worst_places(values):
            entry = Entry(
                worst_figure(volume, channel, method),
                "consistency",
                f"{where}: worst places of {method_label(method)}",
                caption,
                columns=PLACE_COLUMNS,
                rows=[
                    [str(i + 1), number(place["z"], 1), *(quantity(v) for v in place["um"])]
                    for i, place in enumerate(worst[:SHOWN])
                ],
                folded=True,
            )
            figure = _places(root, dataset, record, check, position, method, values, worst[:SHOWN])
            drawn.append((entry, figure))
    return drawn


def summary_row(
    root: Path, dataset: str, channel: str, method: str, check: dict[str, Any]
) -> list[str]:
    """Write a method's row of the table (`COLUMNS`), as text.

    Parameters
    ----------
    check
        The numbers of the method's map of this channel, from its record.
    """
    worst = check["worst"][0]["z"] if check["worst"] else None
    unverifiable = check["not_verifiable"]
    probed = _probed(root, dataset, channel, method)
    objects = (
        f"{int(probed['dark_objects'][0])} ({probed['dark_peak'][0]:.1f} σ)"
        if "dark_objects" in probed
        else "–"
    )
    return [
        method_label(method),
        *(number(100 * check[share], 2) for share in ("flagged", "invented", "missed")),
        number(worst, 1),
        number(check["z_rms"], 2),
        quantity(check["alpha"]) + ("" if check["fitted"] else " (not fitted)"),
        quantity(check["beta"]),
        "–" if unverifiable is None else number(100 * unverifiable, 2),
        *(number(np.mean(probed.get(f"auc_{change}", np.nan)), 2) for change in CHANGES),
        objects,
    ]


def dark_warnings(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List the methods that turn pure dark noise into objects."""
    found = []
    for method in settings.methods:
        for channel in settings.datasets[dataset].channels:
            objects = _probed(root, dataset, channel, method).get("dark_objects", [0.0])[0]
            if objects > 0:
                where = f", {channel}" if len(settings.datasets[dataset].channels) > 1 else ""
                found.append(
                    f"{method_label(method)}{where}: restored {objects:g} object(s) above "
                    f"{THRESHOLD:g} σ from pure dark noise. Do not interpret its dim spots."
                )
    return found


def _probed(root: Path, dataset: str, channel: str, method: str) -> dict[str, list[float]]:
    """Read the results of the probes, by metric."""
    values: dict[str, list[float]] = {}
    for kind in ("phantoms", "sample"):
        path = root / paths.evaluation(dataset, method, kind)
        for record in read_records(path) if path.is_file() else []:
            if record.channel == channel and record.split == "probe":
                values.setdefault(record.metric, []).append(record.value)
    return values


def worst_figure(volume: str, channel: str, method: str) -> str:
    """Name the figure of the worst places of a volume, channel and method."""
    return f"worst_{volume}_{channel}_{method}"


def worst_places(check: dict[str, Any]) -> list[dict[str, Any]]:
    """List the places of a map where |z| is at least the threshold, the worst first.

    Parameters
    ----------
    check
        The numbers of a map, from its record.
    """
    return [place for place in check["worst"] if abs(place["z"]) >= THRESHOLD]


def _places(
    root: Path,
    dataset: str,
    record: VolumeRecord,
    check: ChannelCheck,
    position: int,
    method: str,
    values: dict[str, Any],
    worst: list[dict[str, Any]],
) -> Figure:
    """Draw raw, restored, re-blurred and z around the worst places of a method."""
    shape: Triple = record.shape[2:]
    restored = str(root / paths.restored(dataset, record.name, method))
    result = open_volume(root / paths.consistency(dataset, record.name, method))
    scale = Scale(values["alpha"], values["beta"], values["fitted"])
    figure = Figure(figsize=(8, 1.7 * len(worst) + 0.3), layout="constrained")
    grid = figure.subplots(len(worst), 4, squeeze=False)
    image = None
    for rank, (row, place) in enumerate(zip(grid, worst, strict=True), 1):
        z0, y0, x0 = (
            slice(max(0, v - h), min(n, v + h + 1))
            for v, h, n in zip(place["voxel"], HALF, shape, strict=True)
        )
        region: Region = (z0, y0, x0)
        raw, sharp, again = reblurred(
            record,
            restored,
            channel=check,
            position=position,
            time_point=values["time"],
            restored_time=0,
            scale=scale,
            region=region,
        )
        z = result.read(0, position, region)
        plane = place["voxel"][0] - region[0].start
        low, high = np.nanpercentile(raw[plane], [1, 99.9])
        dy, dx = record.voxel_size_um[1:]
        extent = (
            region[2].start * dx,
            region[2].stop * dx,
            region[1].stop * dy,
            region[1].start * dy,
        )
        for axes, (label, panel) in zip(
            row, (("raw", raw), ("re-blurred", again), ("restored", sharp), ("z", z)), strict=True
        ):
            shown = (
                (DEVIATIONS, -LIMIT, LIMIT) if label == "z" else ("gray", low, max(high, low + 1))
            )
            drawn = axes.imshow(
                panel[plane],
                extent=extent,
                interpolation="none",
                cmap=shown[0],
                vmin=shown[1],
                vmax=shown[2],
            )
            image = drawn if label == "z" else image
            axes.plot(
                place["um"][2],
                place["um"][1],
                "o",
                markersize=14,
                fillstyle="none",
                color="#d0009c",
            )
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if rank == 1:
                axes.set_title(label)
        row[0].set_ylabel(f"{rank}", rotation=0, labelpad=10)
    if image is not None:
        bar = figure.colorbar(image, ax=grid, shrink=0.6, label="z (σ)", extend="both")
        bar.ax.grid(False)
    return figure
