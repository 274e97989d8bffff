"""Drawings: each function takes arrays and returns one matplotlib figure, without file access.

Colours: viridis and grey for images, Okabe and Ito's palette for lines, which people with any
common colour blindness can tell apart.
"""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import patheffects, ticker
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from decon3d.evaluation.catalogue import METRICS, VOXELWISE
from decon3d.evaluation.statistics import Estimate
from decon3d.report.colours import INVENTED, MISSED
from decon3d.report.labels import INPUT, TRUTH, VARIANTS, method_label, prior_weight
from decon3d.report.views import Scene, Triple, line

WIDTH = 10.0  # inches; 1,500 pixels at 150 dpi
TALLEST = 9.0
"""Greatest height of an XY picture and the XZ picture below it, in inches."""
FAINT = 1e-3
"""Share of a PSF's peak at which its pictures end."""
REACH = 99.9
"""Percentile of the absolute deviations at which their colours end."""
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
GREY = "#555555"
DEVIATIONS = LinearSegmentedColormap.from_list(
    "deviations", ["#0a3d91", INVENTED, "#ffffff", MISSED, "#8a3d00"]
)
"""Colours of deviations from below to above 0; of the consistency map, from invented light to
missed light."""
GROUP_STYLES = {
    "seen": ("#0072B2", "o", "seen structure"),
    "unseen": ("#D55E00", "^", "unseen structure"),
    "measured": ("#CC79A7", "s", "measured pairs"),
    "volume": ("#009E73", "D", "your volumes"),
}
"""Colour, marker and label of each group of volumes with truth."""
OUTLINE = [patheffects.withStroke(linewidth=2.5, foreground="black")]
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titley": 1.0,  # else each drawing measures all labels on top of the axes; there are none
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "decon3d",
}


def projections(panels: Sequence[tuple[str, Scene]]) -> tuple[Figure, tuple[float, float]]:
    """Draw maximum projections along Z (XY) and along Y (XZ), all at one display range.

    Parameters
    ----------
    panels
        Label and scene; the first one is the raw image.

    Returns
    -------
    figure, (low, high)
        The display range in counts: the 0.5 and 99.8 percentiles of all projections together.
    """
    views = [(label, s.size_um, s.counts.max(axis=0), s.counts.max(axis=1)) for label, s in panels]
    pooled = np.concatenate([v.ravel() for _, _, *both in views for v in both])
    low, high = map(float, np.nanpercentile(pooled, [0.5, 99.8]))
    high = max(high, low + 1e-6)
    return xy_above_xz(views, cmap="gray", shown=(low, high), unit="counts"), (low, high)


def deviations(
    panels: Sequence[tuple[str, Scene]], *, unit: str, limit: float | None = None
) -> Figure:
    """Draw the values farthest from 0 along Z (XY) and along Y (XZ), in colours for both signs.

    Parameters
    ----------
    panels
        Label and scene, whose counts are deviations.
    unit
        Label of the colour bar.
    limit
        The value at which the colours end; None = that of `limit_of`.
    """
    views = [
        (label, s.size_um, farthest(s.counts, 0), farthest(s.counts, 1)) for label, s in panels
    ]
    if limit is None:
        limit = limit_of([view for _, _, *both in views for view in both])
    return xy_above_xz(
        views, cmap=DEVIATIONS, shown=(-limit, limit), unit=unit, extend="both", ink="black"
    )


def farthest(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Project along an axis: the value farthest from 0, with its sign; NaN counts as 0."""
    known = np.nan_to_num(values)
    index = np.argmax(np.abs(known), axis=axis, keepdims=True)
    return np.take_along_axis(known, index, axis).squeeze(axis)


def limit_of(views: Sequence[NDArray[np.floating]]) -> float:
    """Return the value at which symmetric colours end, one for all pictures."""
    values = np.abs(np.concatenate([np.ravel(view) for view in views]))
    return max(float(np.nanpercentile(values, REACH)), 1e-6)


def xy_above_xz(
    views: Sequence[tuple[str, Triple, NDArray[np.floating], NDArray[np.floating]]],
    *,
    cmap: str | Colormap,
    shown: tuple[float, float],
    unit: str,
    extend: Literal["neither", "both"] = "neither",
    ink: str = "white",
) -> Figure:
    """Draw an XY picture above an XZ picture per panel, on one length scale, with a colour bar.

    Parameters
    ----------
    views
        Label, size in µm (Z, Y, X), XY and XZ picture of each panel.
    cmap, shown, extend
        Colours, the values at both ends of the colour bar, and which ends stand for all values
        beyond them.
    unit
        Label of the colour bar.
    ink
        Colour of labels on the pictures. White has a black outline.
    """
    outline = OUTLINE if ink == "white" else []
    columns = len(views) if len(views) <= 5 else min(math.ceil(len(views) / 2), 5)
    rows = math.ceil(len(views) / columns)
    wide = WIDTH if columns <= 4 else 1.2 * WIDTH
    depth, height, width = views[0][1]
    panel = min((wide - 0.9) / columns - 0.12, 4.2, TALLEST * width / (height + depth))
    pitch = max(panel, 0.9) + 0.12
    tall, flat = panel * height / width, max(panel * depth / width, 0.15)
    labels = [textwrap.fill(label, round(pitch / 0.08)) for label, *_ in views]
    title, gap = 0.12 + 0.17 * max(1 + label.count("\n") for label in labels), 0.06
    row = title + tall + gap + flat + 0.15
    size = (columns * pitch + 0.9, rows * row)
    figure = Figure(figsize=size)
    image = None
    for i, (label, (_, size_um, xy, xz)) in enumerate(zip(labels, views, strict=True)):
        left = (i % columns) * pitch / size[0]
        top = 1 - (i // columns * row + title) / size[1]
        for name, view, inches, offset in (("XY", xy, tall, 0.0), ("XZ", xz, flat, tall + gap)):
            bottom = top - (offset + inches) / size[1]
            axes = figure.add_axes((left, bottom, panel / size[0], inches / size[1]))
            image = axes.imshow(
                view,
                cmap=cmap,
                vmin=shown[0],
                vmax=shown[1],
                aspect="auto",
                interpolation="antialiased",
                extent=(0, size_um[2], size_um[1 if name == "XY" else 0], 0),
            )
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
            if i == 0:
                axes.text(
                    0.02,
                    0.97,
                    name,
                    transform=axes.transAxes,
                    color=ink,
                    va="top",
                    fontsize=8,
                    path_effects=outline,
                )
            if name == "XY":
                axes.set_title(label, pad=4, loc="left")
                if i == 0:
                    _scale_bar(axes, size_um[2], size_um[1], ink)
    assert image is not None
    bar = figure.add_axes(
        (
            columns * pitch / size[0] + 0.06 / size[0],
            1 - (title + tall) / size[1],
            0.12 / size[0],
            tall / size[1],
        )
    )
    figure.colorbar(image, cax=bar, label=unit, extend=extend)
    bar.grid(False)
    _fit_width(figure)
    return figure


def _fit_width(figure: Figure) -> None:
    """Set the width of a figure to that of its content; the axes keep their sizes."""
    width, height = figure.get_size_inches()
    needed = figure.get_tightbbox().x1 + 0.06
    for axes in figure.axes:
        x, y, w, h = axes.get_position().bounds
        axes.set_position((x * width / needed, y, w * width / needed, h))
    figure.set_size_inches(needed, height)


def profiles(panels: Sequence[tuple[str, Scene]], *, centre_um: Triple) -> Figure:
    """Draw counts along X and along Z through one place."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    styles = [(GREY, "-"), *((COLORS[i % len(COLORS)], "-") for i in range(len(panels) - 1))]
    for axes, axis, name in zip(figure.subplots(1, 2), (2, 0), ("X", "Z"), strict=True):
        for (label, scene), style in zip(panels, styles, strict=True):
            places, counts = line(scene, centre_um=centre_um, axis=axis)
            color, dashes = ("black", "--") if label == TRUTH else style
            axes.plot(places, counts, dashes, color=color, label=label, linewidth=1.5)
        half = min(4.0, max(abs(places[0]), abs(places[-1])))
        axes.set(xlim=(-half, half), xlabel=f"distance along {name} (µm)", ylabel="counts")
    axes.legend(loc="upper right")
    return figure


def training_curve(
    history: pd.DataFrame, *, best_step: int | None, input_psnr: float | None
) -> Figure:
    """Draw the loss and the validation PSNR over the steps, with the step that was kept.

    Parameters
    ----------
    history
        Columns `step`, `loss`, `val_loss` and one that starts with `val_psnr`.
    input_psnr
        Validation PSNR of the blurred images, in dB.
    """
    figure = Figure(figsize=(WIDTH, 3.1), layout="constrained")
    left, right = figure.subplots(1, 2)
    for column, label, color in (
        ("loss", "training", COLORS[0]),
        ("val_loss", "validation", COLORS[1]),
    ):
        if column in history:
            left.plot(history["step"], history[column], color=color, label=label)
    left.set(xlabel="step", ylabel="loss", yscale="log")
    left.grid(True, which="both")
    scores = [c for c in history if str(c).startswith("val_psnr")]
    if scores:
        right.plot(history["step"], history[scores[0]], color=COLORS[1], label="network")
    if input_psnr is not None:
        right.axhline(input_psnr, color=GREY, linestyle="--", label=method_label(INPUT))
    right.set(xlabel="step", ylabel="validation PSNR, affine-matched (dB)")
    if best_step is not None:
        for axes in (left, right):
            axes.axvline(best_step, color="black", linestyle=":", label=f"kept: step {best_step}")
    for axes in (left, right):
        axes.legend(loc="best")
    return figure


def tuning_curve(curve: pd.DataFrame, *, chosen: dict[str, float], measure: str) -> Figure:
    """Draw the score over the iterations for each λ, with the chosen point.

    Parameters
    ----------
    curve
        Columns `weight` (λ), `iterations`, `score` (higher is better).
    chosen
        The choice: its λ under its setting's name, `iterations` and `score`.
    measure
        What the score is.
    """
    weights = sorted(set(curve["weight"]))
    wide = WIDTH if len(weights) > 1 else 0.6 * WIDTH
    figure = Figure(figsize=(wide, 3.4), layout="constrained")
    axes, peaks = figure.subplots(1, 2) if len(weights) > 1 else (figure.subplots(), None)
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 0.9, len(weights)))
    best = []
    for weight, shade in zip(weights, shades, strict=True):
        run = curve[curve["weight"] == weight].sort_values("iterations")
        label = f"λ = {weight:.2g}" if weight else "no regularisation"
        axes.plot(run["iterations"], run["score"], ".-", color=shade, label=label, markersize=4)
        best.append(run["score"].max())
    top = curve["score"].max()
    # Early iterations lie far below the top and are cut off.
    below = (top - curve["score"].median()) * 2
    axes.set(
        xscale="log", xlabel="iterations", ylabel=measure, ylim=(top - below, top + below / 10)
    )
    few_log_ticks(axes)
    mark: dict[str, Any] = {
        "marker": "o",
        "markersize": 11,
        "fillstyle": "none",
        "color": COLORS[1],
        "markeredgewidth": 2,
        "linestyle": "none",
    }
    axes.plot(chosen["iterations"], chosen["score"], label="chosen", **mark)
    axes.legend(loc="best", fontsize=8, ncols=1 + len(weights) // 6)
    if peaks is not None:
        peaks.plot(weights, best, ".-", color=GREY)
        peaks.plot(prior_weight(chosen), chosen["score"], **mark)
        peaks.set(xscale="log", xlabel="λ of the prior", ylabel="best at this λ")
        few_log_ticks(peaks)
    return figure


def few_log_ticks(axes: Axes) -> None:
    """Label a logarithmic X axis at 1, 2 and 5 times powers of ten only, so no labels overlap."""
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=6))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def psf_views(
    psf: NDArray[np.floating], *, voxel_size_um: Triple, fwhm_um: Triple | None
) -> Figure:
    """Draw the three planes through the PSF's middle, gamma 0.5.

    The pictures end where the PSF falls below a thousandth of its peak.

    Parameters
    ----------
    psf
        Z Y X.
    fwhm_um
        Full widths at half maximum (Z, Y, X), drawn as an ellipse.
    """
    z, y, x = (n // 2 for n in psf.shape)
    planes = {
        "XY": (psf[z], 2, 1),
        "XZ": (psf[:, y], 2, 0),
        "YZ": (psf[:, :, x], 1, 0),
    }
    size = [n * v for n, v in zip(psf.shape, voxel_size_um, strict=True)]
    bright = np.argwhere(psf >= FAINT * psf.max())
    reach = [
        (max(abs(bright[:, axis] - middle)) + 1.5) * voxel
        for axis, (middle, voxel) in enumerate(zip((z, y, x), voxel_size_um, strict=True))
    ]
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    peak = float(psf.max())
    for axes, (name, (plane, across, down)) in zip(
        figure.subplots(1, 3), planes.items(), strict=True
    ):
        image = axes.imshow(
            np.sqrt(np.clip(plane / peak, 0, None)),
            cmap="viridis",
            vmin=0,
            vmax=1,
            interpolation="nearest",
            extent=(-size[across] / 2, size[across] / 2, size[down] / 2, -size[down] / 2),
        )
        axes.set(title=name, xlabel=f"{name[0]} (µm)", ylabel=f"{name[1]} (µm)")
        lateral = max(reach[1:])
        wide, high = (reach[0] if axis == 0 else lateral for axis in (across, down))
        axes.locator_params(axis="x", nbins=5 if wide >= high else 3)
        axes.locator_params(axis="y", nbins=5)
        axes.set_xlim(-min(wide, size[across] / 2), min(wide, size[across] / 2))
        axes.set_ylim(min(high, size[down] / 2), -min(high, size[down] / 2))
        axes.grid(False)
        if fwhm_um is not None:
            angle = np.linspace(0, 2 * np.pi, 200)
            axes.plot(
                fwhm_um[across] / 2 * np.cos(angle),
                fwhm_um[down] / 2 * np.sin(angle),
                color="white",
                linewidth=1,
                linestyle="--",
            )
    bar = figure.colorbar(image, ax=figure.axes, shrink=0.8, ticks=np.sqrt([0, 0.01, 0.1, 0.5, 1]))
    bar.ax.set_yticklabels(["0", "0.01", "0.1", "0.5", "1"])
    bar.set_label("intensity, relative to the peak")
    bar.ax.grid(False)
    return figure


def metric_plot(
    values: Mapping[tuple[str, str, str, str], tuple["pd.Series[float]", Estimate]],
    *,
    methods: Sequence[str],
) -> Figure:
    """Draw every volume as a point, with mean and interval, for each metric and variant.

    Parameters
    ----------
    values
        One channel's values and their mean, by metric, variant, method and group.
    methods
        From top to bottom.
    """
    metrics, variants, groups = (
        [name for name in order if name in {key[part] for key in values}]
        for order, part in ((VOXELWISE, 0), (VARIANTS, 1), (GROUP_STYLES, 3))
    )
    figure = Figure(
        figsize=(WIDTH, 2 * (0.85 + 0.2 * len(methods) * len(groups))), layout="constrained"
    )
    figure.set_layout_engine("constrained", wspace=0.06, hspace=0.06)  # ticks stay apart
    grid = figure.subplots(len(variants), len(metrics), squeeze=False, sharey=True)
    mark: dict[str, Any] = {"markersize": 7, "markeredgewidth": 1.8, "markerfacecolor": "white"}
    for (metric, variant, method, group), (points, mean) in values.items():
        axes = grid[variants.index(variant), metrics.index(metric)]
        color, marker, _ = GROUP_STYLES[group]
        y = methods.index(method) + 0.7 * ((groups.index(group) + 0.5) / len(groups) - 0.5)
        small: dict[str, Any] = {"alpha": 0.35, "markersize": 4, "markeredgewidth": 0}
        axes.plot(points, np.full(len(points), y), marker, color=color, **small)
        if mean.n:
            axes.plot(mean.cautious, [y, y], color=color, linewidth=2)
            axes.plot(mean.mean, y, marker, color=color, **mark)
    for row, variant in zip(grid, variants, strict=True):
        for axes, metric in zip(row, metrics, strict=True):
            info = METRICS[metric]
            unit = f" ({info.unit})" if info.unit else ""
            axes.set_title(f"{info.label}, {VARIANTS[variant]}", loc="left")
            axes.set(xlabel=f"{info.label}{unit}, {info.target}")
            axes.grid(False, axis="y")
            axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        row[0].set_yticks(range(len(methods)), [method_label(m) for m in methods])
        row[0].set_ylim(len(methods) - 0.45, -0.55)
    styles = (GROUP_STYLES[group] for group in groups)
    handles = [Line2D([], [], color=c, marker=m, label=label, **mark) for c, m, label in styles]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(groups))
    return figure


def _scale_bar(axes: Axes, width_um: float, height_um: float, ink: str) -> None:
    """Draw a bar of a round length, about a fifth of the width, in the lower left corner."""
    outline = OUTLINE if ink == "white" else []
    length = round_length(width_um / 5)
    x, y = 0.04 * width_um, height_um * 0.955
    axes.plot(
        [x, x + length],
        [y, y],
        color=ink,
        linewidth=3,
        solid_capstyle="butt",
        path_effects=outline and [patheffects.withStroke(linewidth=5, foreground="black")],
    )
    axes.text(
        x,
        y - 0.015 * height_um,
        f"{length:g} µm",
        color=ink,
        ha="left",
        va="bottom",
        fontsize=8,
        path_effects=outline,
    )
    axes.set(xlim=(0, width_um), ylim=(height_um, 0))


def round_length(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most `most`."""
    power = 10.0 ** math.floor(math.log10(most))
    return max(digit * power for digit in (1, 2, 5) if digit * power <= most * 1.0001)
