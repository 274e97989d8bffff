"""The picture of a store: objects above, their images below, every recipe at least once."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from decon3d.optics.modalities import MODALITIES
from decon3d.volumes.checked_stores import open_group

COLUMNS = 6
CELLS = 12
PANEL_INCH = 1.75
LINE = 28
"""Characters of a line above a panel."""


def contact_sheet(store_path: str | Path) -> Figure:
    """Draw a store: its first volume of each recipe, and more of them up to twelve.

    Parameters
    ----------
    store_path
        A whole store of phantoms or of measured pairs.

    Returns
    -------
    Figure
        Per volume the object (above) and the image (below), each as the maximum projections of
        its middle eighth along Z (XY) and, below it, along Y (XZ), in true proportion and
        stretched to its own 0.1 and 99.9 percentiles; the title names volume, recipe and
        dose (of a measured pair its file), and where the PSF varies, its depth and width, or the
        type of microscope where every volume has its own. A projection of the whole volume would
        hide walls and networks.
    """
    store = open_group(store_path)
    about: dict[str, Any] = store.attrs.asdict()
    arrays: dict[str, Any] = {name: store[name] for name in ("object", "image")}
    picked = pick(about.get("recipes", ["pair"] * about["volumes"]))
    titles = [_title(about, index) for index in picked]
    above = 0.25 + 0.12 * max(title.count("\n") for title in titles)
    columns = min(COLUMNS, len(picked))
    rows = -(-len(picked) // columns)
    sizes = [np.multiply(arrays["object"].shape[1:], _voxel(about, index)) for index in picked]
    tall = PANEL_INCH * max((h + GAP * w + d) / w for d, h, w in sizes)
    figure = Figure(
        figsize=(columns * (PANEL_INCH + 0.1) + 0.3, rows * (2 * tall + above + 0.15) + 0.1),
        layout="constrained",
    )
    panels = figure.subplots(2 * rows, columns, squeeze=False)
    for panel in panels.ravel():
        panel.set_axis_off()
    for cell, index in enumerate(picked):
        row, column = divmod(cell, columns)
        for line, (name, array) in enumerate(arrays.items()):
            panel = panels[2 * row + line, column]
            depth, height, width = sizes[cell].tolist()
            _draw(panel, np.asarray(array[index]), (depth, height, width))
            if column == 0:
                panel.text(
                    -0.02,
                    0.5,
                    name,
                    transform=panel.transAxes,
                    rotation=90,
                    ha="right",
                    va="center",
                    fontsize=8,
                )
        panels[2 * row, column].set_title(titles[cell], fontsize=7.5, pad=3)
    return figure


GAP = 0.03
"""White between the two projections, of the width."""


def pick(recipes: list[str]) -> list[int]:
    """Choose volumes: the first of each recipe, then others spread evenly, in the store's order."""
    first = {recipe: recipes.index(recipe) for recipe in dict.fromkeys(recipes)}
    picked = set(first.values())
    rest = [i for i in range(len(recipes)) if i not in picked]
    room = min(max(CELLS - len(picked), 0), len(rest))
    picked |= {rest[i] for i in np.linspace(0, len(rest) - 1, room).round().astype(int)}
    return sorted(picked)


def _draw(panel: Axes, volume: NDArray[np.float32], size_um: tuple[float, float, float]) -> None:
    depth, height, width = size_um
    top = height + GAP * width
    views = ((middle(volume, 0), 0.0, height), (middle(volume, 1), top, top + depth))
    low, high = np.percentile(np.concatenate([view.ravel() for view, _, _ in views]), (0.1, 99.9))
    for view, start, end in views:
        panel.imshow(
            view,
            cmap="gray",
            vmin=low,
            vmax=max(high, low + 1e-6),
            interpolation="none",
            extent=(0, width, end, start),
        )
    panel.set_xlim(0, width)
    panel.set_ylim(top + depth, 0)


def middle(volume: NDArray[Any], axis: int) -> NDArray[Any]:
    """Project the middle eighth of an axis, at least one plane."""
    planes = max(volume.shape[axis] // 8, 1)
    first = (volume.shape[axis] - planes) // 2
    return volume.take(range(first, first + planes), axis).max(axis=axis)


def _voxel(about: dict[str, Any], index: int) -> list[float]:
    """Return the voxel size (Z, Y, X) of a volume, in µm."""
    own = about.get("microscopes")
    size: list[float] = (own[index] if own else about)["voxel_size_um"]
    return size


def _title(about: dict[str, Any], index: int) -> str:
    """Name a volume, in lines that fit above its panel."""
    if "measured" in about:
        return textwrap.fill(about["names"][index], LINE)
    lines = [f"{index}: {about['recipes'][index]}", f"{about['photons'][index]:.0f} photons"]
    if "microscopes" in about:
        modality = about["microscopes"][index]["optics"]["modality"]
        return "\n".join([*lines, MODALITIES[modality].label])
    varied = about["psf_variation"][index]
    if varied:
        depth = "" if varied["depth_um"] is None else f"depth {varied['depth_um']:.1f} µm, "
        lines.append(f"{depth}width × {varied['width']:.2f}")
    return "\n".join(textwrap.fill(line, LINE) for line in lines)
