"""The picture of a store: objects above, their images below."""

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

COLUMNS = 8


def contact_sheet(store_path: str | Path, figure_path: str | Path) -> None:
    """Draw up to eight volumes of a store, spread evenly over it, as a PNG.

    Each column is one volume: the maximum projection along z of the object (above) and of the
    image (below), each stretched to its own 0.1 … 99.9 percentiles; axes in µm. The title names
    volume, recipe and dose.

    Parameters
    ----------
    store_path
        A whole store of `make_split`.
    figure_path
        The PNG.
    """
    about: dict[str, Any] = zarr.open_group(str(store_path), mode="r").attrs.asdict()
    rows = {
        name: zarr.open_array(str(Path(store_path) / name), mode="r")
        for name in ("object", "image")
    }
    _, dy, dx = about["voxel_size_um"]
    count, _, height, width = rows["image"].shape
    picked = np.unique(np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int))
    figure = Figure(figsize=(2.1 * len(picked) + 0.5, 4.9), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(picked), squeeze=False)
    for column, index in enumerate(picked):
        for row, (name, array) in enumerate(rows.items()):
            projection = np.asarray(array[index]).max(axis=0)
            low, high = np.percentile(projection, (0.1, 99.9))
            panel = panels[row, column]
            panel.imshow(
                projection, cmap="gray", vmin=low, vmax=max(high, low + 1e-6),
                extent=(0, width * dx, height * dy, 0), interpolation="nearest",
            )  # fmt: skip
            panel.tick_params(labelsize=7)
            if column:
                panel.set_yticklabels([])
            else:
                panel.set_ylabel(f"{name}, y / µm", fontsize=8)
        title = f"{index}: {about['recipes'][index]}\n{about['photons'][index]:.0f} photons"
        panels[0, column].set_title(title, fontsize=8)
        panels[1, column].set_xlabel("x / µm", fontsize=8)
    Path(figure_path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(figure_path, dpi=110, format="png")
