"""Make the picture of the README: the light-sheet example, raw and restored.

    DECON3D_REFERENCE_DATA=folder .venv/bin/python docs/images/make.py

It takes about a minute. The data are those of config/examples/lightsheet.yaml: cells from the
sample data of pycudadecon (MIT). `decon3d.deconvolve` restores a crop with the measured PSF; it
chooses the number of iterations.
"""

import logging
import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import tifffile
from matplotlib import pyplot as plt
from matplotlib.colors import PowerNorm
from numpy.typing import NDArray
from PIL import Image

import decon3d

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("DECON3D_REFERENCE_DATA", HERE.parents[2] / "shared" / "data"))
VOXEL_UM = (0.157, 0.1019, 0.1019)
CROP = np.s_[14:88, 120:300, 170:350]
CAMERA = {"offset": 98, "read_noise": 1.5}
BAR_UM = 5.0
GAMMA = 0.7


def restored(raw: NDArray[Any]) -> NDArray[np.float32]:
    """Restore counts (Z Y X) by Richardson-Lucy with the measured PSF."""
    measured = {
        "source": "file",
        "path": str(DATA / "lightsheet" / "psf.tif"),
        "voxel_size_um": [0.1, 0.1019, 0.1019],
        "accept_pedestal": True,
    }
    psf = decon3d.make_psf(
        modality="light_sheet",
        numerical_aperture=1.1,
        immersion_index=1.333,
        sheet_thickness_um=0.8,
        emission_um=0.525,
        voxel_size_um=VOXEL_UM,
        measured=measured,
    )
    return decon3d.deconvolve(raw, psf=psf, method="rl", camera=CAMERA)


def draw(path: Path, volumes: dict[str, NDArray[Any]]) -> None:
    """Draw maximum projections along Z and Y. The contrast of each volume is its own."""
    z, y, x = (n * v for n, v in zip(next(iter(volumes.values())).shape, VOXEL_UM, strict=True))
    mpl.rcParams.update(
        {"font.size": 9, "text.color": "white", "figure.facecolor": "black", "figure.dpi": 94}
    )
    figure, axes = plt.subplots(
        2,
        len(volumes),
        figsize=(8, 8 / 2 * (y + z) / x + 0.35),
        height_ratios=[y, z],
        squeeze=False,
    )
    for column, (title, counts) in zip(axes.T, volumes.items(), strict=True):
        low, high = np.percentile(counts, [1, 99.97])
        for panel, axis, height in zip(column, (0, 1), (y, z), strict=True):
            panel.imshow(
                counts.max(axis=axis),
                cmap="gray",
                norm=PowerNorm(GAMMA, vmin=low, vmax=high),
                extent=(0, x, height, 0),
                interpolation="bicubic",
            )
            panel.set_axis_off()
        column[0].set_title(title, loc="left")
    axes[0, 0].plot([1, 1 + BAR_UM], [y - 1, y - 1], color="white", linewidth=3)
    axes[0, 0].text(1, y - 1.6, f"{BAR_UM:g} µm")
    axes[0, 0].text(x - 0.5, y - 0.6, "X Y", ha="right")
    axes[1, 0].text(x - 0.5, z - 0.5, "X Z", ha="right")
    figure.subplots_adjust(0, 0, 1, 0.95, wspace=0.01, hspace=0.01)
    figure.canvas.draw()
    Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("L").save(path, optimize=True)
    plt.close(figure)


def main() -> None:
    """Restore the crop and draw it beside the raw counts."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    raw = tifffile.imread(DATA / "lightsheet" / "volume.tif")[CROP]
    draw(HERE / "raw_restored.png", {"raw": raw, "Richardson-Lucy": restored(raw)})


if __name__ == "__main__":
    main()
