"""Crops of the data beside phantoms, at one scale, and their similarity."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from decon3d import paths
from decon3d.files import read_record
from decon3d.phantoms.contact_sheet import middle
from decon3d.report.entries import Drawn, Entry, Job, exists, of_channel
from decon3d.report.plots import COLORS, WIDTH, few_log_ticks
from decon3d.report.run_status import volume_names
from decon3d.report.templating import listed, number, quantity
from decon3d.restoration.sample import sample_blocks
from decon3d.settings import Settings
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.volume_record import load_record

COLUMNS = [
    "Recipe",
    "Distance of the histograms (0 to 1)",
    "Distance of the histograms (σ)",
    "Distance of the spectra (octaves)",
    "Noise, data / phantoms",
    "Compared with your data",
]
SHOWN = 4
"""Crops of a row."""


def draw_likeness(job: Job, channel: str) -> Drawn:
    """Draw crops of the data above phantoms of each test recipe, with histograms and spectra.

    All crops have one length scale and one grey scale, in photons.
    """
    root, dataset, settings = job.root, job.name, job.settings
    record = read_record(root / paths.likeness(dataset, channel))
    group: Any = open_group(root / paths.phantoms(dataset, channel, "test"))
    _, height_um, width_um = group.attrs["voxel_size_um"]
    names = volume_names(root, dataset=dataset, settings=settings)
    ingested = filter(Path.is_file, (root / paths.ingested(dataset, name) for name in names))
    sample = sample_blocks(
        [replace(r, path=str(root / r.path)) for r in map(load_record, ingested)],
        channel=job.dataset.channels[channel].index,
        times=job.dataset.times,
        seed=settings.seed,
    )
    recipes, photons = group.attrs["recipes"], group.attrs["photons"]
    rows = {"your data": [_crop(block, record["camera"]) for block in sample]}
    for recipe in (found["recipe"] for found in record["recipes"]):
        of_recipe = [i for i, name in enumerate(recipes) if name == recipe]
        of_recipe.sort(key=lambda i: float(photons[i]))
        places = np.linspace(0, len(of_recipe) - 1, min(SHOWN, len(of_recipe))).round().astype(int)
        rows[recipe] = [
            _crop(np.asarray(group["image"][of_recipe[i]]), record["phantom_camera"])
            for i in places
        ]
    pooled = np.concatenate([crop.ravel() for row in rows.values() for crop in row])
    low, high = np.nanpercentile(pooled, (1, 99))
    widest = max(c.shape[1] * width_um for row in rows.values() for c in row)
    tallest = max(c.shape[0] * height_um for row in rows.values() for c in row)
    cell = 0.8 * WIDTH / SHOWN
    tall = cell * tallest / widest
    columns = min(SHOWN, max(len(crops) for crops in rows.values()))
    beside = SHOWN // columns  # few crops each: several rows lie beside each other
    lines = -(-len(rows) // beside)
    figure = Figure(figsize=(WIDTH, lines * (tall + 0.25) + 2.6), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(lines * (tall + 0.25), 2.6))
    top, bottom = parts
    across = beside if lines > 1 else len(rows)
    panels = top.subplots(lines, across * columns, squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    groups = panels.reshape(lines * across, columns)
    for line, (label, crops) in zip(groups, rows.items(), strict=False):
        for panel, crop in zip(line, crops[:columns], strict=False):
            extent = (0, crop.shape[1] * width_um, crop.shape[0] * height_um, 0)
            panel.imshow(
                crop,
                cmap="gray",
                vmin=low,
                vmax=max(high, low + 1e-6),
                interpolation="none",
                extent=extent,
            )
            panel.set_xlim(0, widest)
            panel.set_ylim(tallest, 0)
        line[0].set_title(label, fontsize=9, loc="left", pad=3)
    _draw_curves(bottom, record["curves"])
    caption = (
        "Above: the brightest blocks of your data, and test phantoms from the lowest to the "
        f"highest dose, {quantity(widest)} µm wide, on one grey scale ({quantity(float(low))} to "
        f"{quantity(float(high))} photons). Below: their histograms and power spectra."
    )
    note = (
        "The crops are maximum projections of the middle eighth of the planes. The brightness is "
        "in units of the noise's standard deviation σ. A distance of histograms of 0 means equal, "
        "of 1 no overlap."
    )
    title = f"Your data and phantoms{of_channel(job, channel)}"
    table = [_row(found) for found in record["recipes"]]
    entry = Entry(f"likeness_{channel}", "likeness", title, caption, note, COLUMNS, table)
    return [(entry, figure)]


def likeness_warnings(root: Path, *, dataset: str, settings: Settings) -> list[str]:
    """List channels whose phantoms differ from the data in every recipe, and all assumptions."""
    found = []
    for channel in settings.datasets[dataset].channels:
        store = root / paths.phantoms(dataset, channel, "test")
        if exists(store):
            group: Any = open_group(store)
            found += [f"{channel}: {text}." for text in group.attrs.get("assumed", [])]
        path = root / paths.likeness(dataset, channel)
        if not path.is_file():
            continue
        best = read_record(path)["recipes"][0]
        if best["differences"]:
            found.append(
                f"{channel}: the simulated objects differ from your data. Compared with "
                f"{best['recipe']}, the most similar recipe, {listed(best['differences'])}. "
                "Results on simulated objects may not hold for your data. Choose recipes that look "
                "like them (`phantoms: {test: {recipes: …}}`)."
            )
    return found


def _row(found: dict[str, Any]) -> list[str]:
    """Write the row of one recipe: how similar its phantoms are."""
    numbers = (found[name] for name in ("histogram", "wasserstein", "octaves", "noise"))
    verdict = listed(found["differences"]) if found["differences"] else "similar"
    return [found["recipe"], *(number(value, 2) for value in numbers), verdict]


def _crop(block: NDArray[np.generic], camera: dict[str, Any]) -> NDArray[np.float32]:
    """Project the middle eighth of the planes along Z, in photons."""
    counts = middle(block, 0).astype(np.float32)
    return (counts - np.float32(camera["offset"])) / np.float32(camera["gain"])


def _draw_curves(figure: Any, curves: dict[str, Any]) -> None:
    histogram, spectrum = figure.subplots(1, 2)
    colors = {
        name: COLORS[i % len(COLORS)] for i, name in enumerate(n for n in curves if n != "data")
    }
    for name, curve in curves.items():
        style = {
            "color": colors.get(name, "black"),
            "linewidth": 2.0 if name == "data" else 1.2,
            "label": "your data" if name == "data" else name,
        }
        share = np.array(curve["share"])
        histogram.plot(np.array(curve["noise_units"])[share > 0], share[share > 0], **style)
        power = np.array(curve["power"])
        spectrum.plot(np.array(curve["frequency"])[power > 0], power[power > 0], **style)
    histogram.set_yscale("log")
    histogram.set_xlabel("brightness (σ of the noise)")
    histogram.set_ylabel("share of the voxels per σ")
    histogram.legend(fontsize=8)
    spectrum.set_xscale("log")
    spectrum.set_yscale("log")
    spectrum.set_xlabel("frequency in XY (1/µm)")
    spectrum.set_ylabel("share of the power")
    few_log_ticks(spectrum)
