"""Pictures of the consistency maps: all methods beside each other, and each one's worst places."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from decon3d import paths
from decon3d.evaluation.consistency import THRESHOLD, Scale
from decon3d.evaluation.consistency_maps import ChannelCheck, reblurred
from decon3d.evaluation.map_sensitivity import CHANGES, verdict
from decon3d.evaluation.noise import load_noise
from decon3d.evaluation.records import read_records
from decon3d.files import read_json
from decon3d.optics.psf import load_psf
from decon3d.report.labels import method_label
from decon3d.report.templating import quantity
from decon3d.report.views import Source, overview
from decon3d.restoration.blocks import Region, Triple
from decon3d.settings import Settings
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import load_statistics
from decon3d.volumes.volume_record import VolumeRecord, load_record

SHOWN = 4
"""Worst places of a method that are drawn."""
HALF = (12, 24, 24)
"""Voxels (Z, Y, X) around a place that are drawn."""
LIMIT = 10.0
COLORS = "RdBu_r"
LIMITS = (
    "Noise alone gives z a root mean square of 1. It is smaller where the allowed error of the "
    "PSF, or light from outside the volume, exceeds the noise; the map tells little there. The "
    "map cannot prove that a restoration is right. It cannot see detail below the microscope's "
    "cut-off, or changes smaller than the PSF's allowed error (5 % of the surrounding light). The "
    "methods are not ranked by it."
)


@dataclass(frozen=True)
class Drawing:
    """A figure with its title and caption."""

    name: str
    title: str
    caption: str
    figure: Figure


def draw_consistency(
    root: Path, *, dataset: str, settings: Settings, volume: str, channel: str
) -> list[Drawing]:
    """Draw the consistency maps of one volume and channel, for all methods that have one.

    The first time point is drawn.
    """
    found: dict[str, dict[str, Any]] = {}
    for method in settings.methods:
        path = root / paths.consistency_record(dataset, method)
        summary = read_json(path).get(volume) if path.is_file() else None
        stores = (f(dataset, volume, method) for f in (paths.consistency, paths.restored))
        if summary and all((root / paths.store_marker(s)).is_file() for s in stores):
            found[method] = next(c for c in summary["checks"] if c["channel"] == channel)
    if not found:
        return []
    record = load_record(root / paths.ingested(dataset, volume))
    channels = settings.datasets[dataset].channels
    position = list(channels).index(channel)
    where = volume + (f", channel {channel}" if len(channels) > 1 else "")
    stem = f"{volume}_{channel}"
    panels = []
    for method in found:
        store = root / paths.consistency(dataset, volume, method)
        scene = overview(
            Source(method_label(method), store, 0, position), voxel_size_um=record.voxel_size_um
        )
        panels.append((method_label(method), scene.counts, scene.size_um))
    sentences = [_of_method(root, dataset, channel, m, check) for m, check in found.items()]
    drawn = [
        Drawing(
            f"consistency_{stem}",
            f"{where}: consistency with the raw data",
            "Raw image minus the re-blurred restoration, in units of the noise. Projections of "
            "the value farthest from 0, along Z (XY, above) and along Y (XZ, below). Blue: light "
            "in the restoration that the data contradict (invented). Red: light in the data that "
            "the restoration lacks (missed). "
            f"{' '.join(sentences)} {LIMITS}",
            projections(panels),
        )
    ]
    check = ChannelCheck(
        channel,
        channels[channel].index,
        load_psf(root / paths.psf(dataset, channel)),
        load_noise(root / paths.noise(dataset, channel)),
        load_statistics(root / paths.statistics(dataset, channel)).background,
    )
    for method, values in found.items():
        if not values["worst"]:
            continue
        figure = _places(root, dataset, record, check, position, method, values)
        drawn.append(
            Drawing(
                f"worst_{stem}_{method}",
                f"{where}: worst places of {method_label(method)}",
                "The XY planes of the places where the raw image and the re-blurred restoration "
                "differ most. Raw, re-blurred and restored counts have the range of the raw image; "
                f"{quantity((2 * HALF[2] + 1) * record.voxel_size_um[2])} µm wide. Differences "
                f"below {THRESHOLD:g} σ may be noise. The limits above apply.",
                figure,
            )
        )
    return drawn


def _of_method(root: Path, dataset: str, channel: str, method: str, check: dict[str, Any]) -> str:
    """Describe what a method's map shows, and what cannot be checked."""
    text = (
        f"{method_label(method)}: {check['flagged']:.2%} of the voxels are flagged "
        f"(|z| ≥ {THRESHOLD:g}; {check['invented']:.2%} invented, {check['missed']:.2%} missed), "
        f"α = {check['alpha']:.3g}, β = {check['beta']:.3g} counts"
        f"{'' if check['fitted'] else ' (α could not be fitted)'}; z has a root mean square of "
        f"{check['z_rms']:.2f}."
    )
    if check["not_verifiable"] is not None:
        text += (
            f" {check['not_verifiable']:.2%} of its energy lies outside the microscope's pass band "
            "and cannot be verified."
        )
    return " ".join([text, *probes(root, dataset, channel, method)])


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
                    f"{THRESHOLD:g} σ from pure dark noise."
                )
    return found


def probes(root: Path, dataset: str, channel: str, method: str) -> list[str]:
    """Describe the results of the tests with planted changes and dark noise, if any."""
    values = _probed(root, dataset, channel, method)
    sentences = [
        verdict(change, float(np.mean(values[f"auc_{change}"])))
        for change in CHANGES
        if f"auc_{change}" in values
    ]
    if "dark_objects" in values:
        objects = int(values["dark_objects"][0])
        sentences.append(
            f"Restored from pure dark noise: {objects or 'no'} object{'s' * (objects != 1)} above "
            f"{THRESHOLD:g} σ (highest peak: {values['dark_peak'][0]:.1f} σ)."
        )
    return sentences


def _probed(root: Path, dataset: str, channel: str, method: str) -> dict[str, list[float]]:
    """Read the results of the probes, by metric."""
    values: dict[str, list[float]] = {}
    for kind in ("phantoms", f"sample.{channel}"):
        path = root / paths.evaluation(dataset, method, kind)
        for record in read_records(path) if path.is_file() else []:
            if record.channel == channel and record.split == "probe":
                values.setdefault(record.metric, []).append(record.value)
    return values


def projections(
    panels: Sequence[tuple[str, NDArray[np.float32], tuple[float, float, float]]],
) -> Figure:
    """Draw the value farthest from 0 along Z and along Y, of each map.

    Parameters
    ----------
    panels
        Label, z (Z, Y, X) and size in µm (Z, Y, X).
    """
    depth, height, width = panels[0][2]
    columns = max(len(panels), 2)
    panel = min(9.0 / columns, 4.0)
    tall, flat = panel * height / width, max(panel * depth / width, 0.2)
    figure = Figure(figsize=(panel * columns + 0.8, tall + flat + 0.6), layout="constrained")
    grid = figure.subplots(
        2, len(panels), squeeze=False, gridspec_kw={"height_ratios": [tall, flat]}
    )
    image = None
    for column, (label, z, size) in enumerate(panels):
        for row, (axis, length) in enumerate(((0, size[1]), (1, size[0]))):
            axes = grid[row, column]
            image = axes.imshow(
                farthest(z, axis),
                cmap=COLORS,
                vmin=-LIMIT,
                vmax=LIMIT,
                aspect="equal",
                interpolation="nearest",
                extent=(0, size[2], length, 0),
            )
            axes.grid(False)
            axes.set_ylabel(("Y (µm)", "Z (µm)")[row] if column == 0 else "")
        grid[0, column].set_title(label)
        grid[1, column].set_xlabel("X (µm)")
    assert image is not None
    bar = figure.colorbar(image, ax=grid, shrink=0.8, label="z (σ)", extend="both")
    bar.ax.grid(False)
    return figure


def farthest(z: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Project along an axis: the value farthest from 0, with its sign; NaN counts as 0."""
    values = np.nan_to_num(z)
    index = np.argmax(np.abs(values), axis=axis, keepdims=True)
    return np.take_along_axis(values, index, axis).squeeze(axis)


def _places(
    root: Path,
    dataset: str,
    record: VolumeRecord,
    check: ChannelCheck,
    position: int,
    method: str,
    values: dict[str, Any],
) -> Figure:
    """Draw raw, restored, re-blurred and z around the worst places of a method."""
    shape: Triple = record.shape[2:]
    restored = str(root / paths.restored(dataset, record.name, method))
    result = open_volume(root / paths.consistency(dataset, record.name, method))
    scale = Scale(values["alpha"], values["beta"], values["fitted"])
    worst = values["worst"][:SHOWN]
    figure = Figure(figsize=(8, 2 * len(worst) + 0.3), layout="constrained")
    grid = figure.subplots(len(worst), 4, squeeze=False)
    image = None
    for row, place in zip(grid, worst, strict=True):
        region = _region(place["voxel"], shape)
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
            shown = (COLORS, -LIMIT, LIMIT) if label == "z" else ("gray", low, max(high, low + 1))
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
                color="#E69F00",
            )
            axes.set(xticks=[], yticks=[])
            if place is worst[0]:
                axes.set_title(label)
        at = ", ".join(quantity(v) for v in place["um"])
        row[0].set_ylabel(f"z = {place['z']:.1f} σ\nat {at} µm\n(Z, Y, X)")
    if image is not None:
        figure.colorbar(image, ax=grid, shrink=0.6, label="z (σ)", extend="both").ax.grid(False)
    return figure


def _region(voxel: Sequence[int], shape: Triple) -> Region:
    z, y, x = (
        slice(max(0, v - h), min(n, v + h + 1)) for v, h, n in zip(voxel, HALF, shape, strict=True)
    )
    return z, y, x
