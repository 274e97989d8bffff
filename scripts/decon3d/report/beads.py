"""The figure of a bead stack: every bead with its verdict, their mean, the PSF, profiles."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from decon3d.files import read_json
from decon3d.report.plots import COLORS, GREY, WIDTH
from decon3d.report.templating import number

Image = NDArray[np.floating]
Triple = tuple[float, float, float]

COLUMNS = 8
_WORDS = {
    "duplicate": "found twice",
    "minor": "side maximum or faint neighbour",
    "clipped": "clipped",
    "dim": "too dim",
    "saturated": "saturated",
    "overlapping": "overlapping",
    "off_plane": "off the plane",
    "odd": "odd",
}


CAPTION = (
    "Above: each bead with its position (Z, Y, X), projected along Z and Y; green: used, orange: "
    "not used. Below: planes and lines through the averaged bead and the PSF. Square root of "
    "intensity."
)


def draw_beads(psf_path: Path) -> tuple[Figure, str, list[list[str]]]:
    """Draw the beads behind a PSF from the files beside it.

    Parameters
    ----------
    psf_path
        The PSF's TIFF; `psf.json`, `beads.tif`, `bead_measured.tif` and `bead_ideal.tif` lie
        beside it.

    Returns
    -------
    figure, caption, rows
        The rows are a table of two columns: what, and its value.
    """
    info = read_json(psf_path.with_suffix(".json"))
    crops = tifffile.imread(psf_path.with_name("beads.tif"))
    kept = [info["candidates"][i] for i in info["beads"]["pictured"]]
    crops = crops.reshape(len(kept), *crops.shape[-3:])  # a single bead is read as Z Y X
    voxel: Triple = tuple(info["file"]["voxel_size_um"])
    images = {
        "PSF": tifffile.imread(psf_path),
        "measured bead": tifffile.imread(psf_path.with_name("bead_measured.tif")),
        "ideal bead": tifffile.imread(psf_path.with_name("bead_ideal.tif")),
    }
    rows = math.ceil(len(kept) / COLUMNS)
    depth, height, width = (n * v for n, v in zip(crops.shape[1:], voxel, strict=True))
    across = max(width, 0.6 * (height + depth))
    panel = WIDTH / COLUMNS * (height + depth) / across + 0.45
    figure = Figure(figsize=(WIDTH, rows * panel + 5.6), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[rows * panel, 5.6])
    above, below = parts
    grid = above.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[len(kept) :]:
        axes.set_visible(False)
    for axes, crop, bead in zip(grid, crops, kept, strict=False):
        _bead(axes, crop, bead, voxel)
    _planes_and_profiles(below, images, tuple(info["voxel_size_um"]))
    return figure, CAPTION, _facts(info)


def _bead(axes: Axes, crop: Image, bead: dict[str, Any], voxel: Triple) -> None:
    """Draw one bead, XY above XZ, with a green frame if it was used, else an orange one."""
    xy, xz = crop.max(axis=0), crop.max(axis=1)
    dz, dy, dx = voxel
    peak = max(float(crop.max()), 1e-12)
    height, depth, width = xy.shape[0] * dy, xz.shape[0] * dz, xy.shape[1] * dx
    for view, top, size in ((xy, 0.0, height), (xz, 1.04 * height, depth)):
        axes.imshow(
            np.sqrt(np.clip(view / peak, 0, 1)),
            cmap="viridis",
            vmin=0,
            vmax=1,
            extent=(0, width, top + size, top),
            interpolation="nearest",
        )
    axes.set(xlim=(0, width), ylim=(1.04 * height + depth, 0), xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set(visible=True, color=COLORS[2 if bead["used"] else 1], linewidth=2)
    place = ", ".join(f"{p:.1f}" for p in bead["position_um"])
    verdict = "used" if bead["used"] else _WORDS[bead["kind"]]
    axes.set_title(f"{verdict}\n{place} µm", fontsize=7)


def _planes_and_profiles(figure: Any, images: dict[str, Image], voxel: Triple) -> None:
    grid = figure.subplots(2, 3, gridspec_kw={"width_ratios": [1, 1, 2.2]})
    for column, name in enumerate(("measured bead", "PSF")):
        data = images[name]
        z, y, _ = (n // 2 for n in data.shape)
        size = [n * v for n, v in zip(data.shape, voxel, strict=True)]
        for axes, plane, down in ((grid[0, column], data[z], 1), (grid[1, column], data[:, y], 0)):
            axes.imshow(
                np.sqrt(np.clip(plane / data.max(), 0, None)),
                cmap="viridis",
                vmin=0,
                vmax=1,
                extent=(-size[2] / 2, size[2] / 2, size[down] / 2, -size[down] / 2),
                interpolation="nearest",
            )
            axes.grid(False)
            axes.set(xlabel="X (µm)", ylabel=f"{'ZYX'[down]} (µm)")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(2))
        grid[0, column].set_title(name)
    styles = {"measured bead": (COLORS[0], "-"), "PSF": (COLORS[1], "-"), "ideal bead": (GREY, ":")}
    lateral, axial = grid[0, 2], grid[1, 2]
    for name, (color, line) in styles.items():
        data = images[name]
        for axes, axis, marker in ((lateral, 2, "."), (lateral, 1, "x"), (axial, 0, ".")):
            if name == "ideal bead" and axis == 1:
                continue  # as along X
            places, values = _profile(data, axis, voxel[axis])
            along = f" along {'ZYX'[axis]}" if axes is lateral else ""
            axes.plot(
                places,
                values,
                line if axis != 1 else "--",
                color=color,
                marker=marker,
                markersize=4,
                linewidth=1.2,
                label=f"{name}{along}",
            )
    for axes, words in ((lateral, "X, Y (µm)"), (axial, "Z (µm)")):
        axes.axhline(0.5, color=GREY, linewidth=0.7)
        axes.set(xlabel=words, ylabel="relative to the peak", ylim=(-0.03, 1.08))
        axes.legend(fontsize=7)


def _profile(data: Image, axis: int, step: float) -> tuple[Image, Image]:
    """Take the line through the middle voxel, relative to its maximum."""
    index: list[Any] = [n // 2 for n in data.shape]
    index[axis] = slice(None)
    values = data[tuple(index)]
    return (np.arange(len(values)) - len(values) // 2) * step, values / values.max()


def _facts(info: dict[str, Any]) -> list[list[str]]:
    """List the counts, the widths and how they differ between the halves of the field."""
    beads = info["beads"]
    rejected = ", ".join(f"{n} {_WORDS[kind]}" for kind, n in beads["rejected"].items())
    facts = [
        ["Beads used", f"{beads['used']} of {beads['found']}"],
        ["Not used", rejected or "none"],
        ["Beads shown", f"{len(beads['pictured'])} of {beads['found']}"],
        ["FWHM of the averaged bead (Z, Y, X; µm)", _widths(beads["fwhm_um"])],
        ["FWHM of the PSF (Z, Y, X; µm)", _widths(info["fwhm_um"])],
        ["Diameter of the beads, removed from the PSF (µm)", f"{beads['diameter_um']:g}"],
        ["Remaining noise (% of the peak)", f"{100 * info['noise_left']['of_peak']:.2g}"],
    ]
    for half in beads.get("over_the_field", []):
        change = f"{100 * half['change']:+.1f} ± {100 * half['uncertainty']:.1f}"
        what = f"Change of the width in {half['width']} over the field, along {half['axis']} (%)"
        facts.append([what, change.replace("-", "−")])
    if not beads.get("over_the_field"):
        facts.append(["Change of the widths over the field", "too few beads to compare"])
    return facts


def _widths(values: Sequence[float]) -> str:
    return ", ".join(number(v, 3) for v in values)
