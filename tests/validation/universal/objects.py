"""Objects by other people's code: scikit-image's blobs, photos and noise, and EPFL's hollow bars.

Each is a volume in a file, of which a phantom is a crop at random, as of a user's own object.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import skimage.data
import skimage.util
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.files import replacing
from decon3d.phantoms.sections import ObjectFile
from decon3d.phantoms.user_objects import OwnObject, open_own_object
from support.paths import REFERENCE_DATA

VERSION = 1
"""Raise it when an object changes."""
BARS = REFERENCE_DATA / "bars" / "truth.tif"
UNITS = {"blobs": 0.5, "relief": 0.5, "spots": 0.5, "bars": 1.0}
"""Voxels of the files, relative to the unit of a microscope's objects."""


def blobs() -> NDArray[np.float32]:
    """Add three sizes of scikit-image's `binary_blobs`, with brightness 1, 0.6 and 0.4."""
    total = np.zeros((128, 128, 128), np.float32)
    for seed, (fraction, share, bright) in enumerate(
        ((0.2, 0.08, 1.0), (0.1, 0.08, 0.6), (0.05, 0.08, 0.4))
    ):
        total += bright * skimage.data.binary_blobs(
            128, blob_size_fraction=fraction, n_dim=3, volume_fraction=share, rng=seed
        ).astype(np.float32)
    return total


def relief() -> NDArray[np.float32]:
    """Bend a sheet of two voxels along the grey values of a photo, with the photo's brightness."""
    photo = skimage.data.coins()[:256, :256].astype(np.float32) / 255
    height = 10 + 70 * gaussian_filter(photo, 3)
    away = np.abs(np.arange(96, dtype=np.float32)[:, None, None] - height)
    return np.clip(1.5 - away, 0, 1) * (0.3 + 0.7 * photo)


def spots() -> NDArray[np.float32]:
    """Scatter points by scikit-image's salt noise, with brightness 0.3 to 1."""
    points = skimage.util.random_noise(
        np.zeros((96, 192, 192)), mode="salt", amount=8e-5, rng=np.random.default_rng(4)
    )
    bright = np.random.default_rng(5).uniform(0.3, 1, points.shape)
    return (points * bright).astype(np.float32)


def own_objects(folder: Path) -> dict[str, OwnObject]:
    """Write the objects' files where they are missing, and open them; the bars if they are there.

    Their voxels are 1 µm: see `at_scale`.
    """
    files = {}
    for make in (blobs, relief, spots):
        path = folder / f"{make.__name__}.v{VERSION}.tif"
        if not path.exists():
            with replacing(path, ending=path.suffix) as temporary:
                tifffile.imwrite(temporary, make())
        files[make.__name__] = path
    if BARS.exists():
        files["bars"] = BARS
    return {
        name: open_own_object(
            name, ObjectFile(path=str(path), voxel_size_um=(1.0, 1.0, 1.0), axes="ZYX")
        )
        for name, path in files.items()
    }


def at_scale(own: Mapping[str, OwnObject], unit_um: float) -> dict[str, OwnObject]:
    """Give the objects the voxels that suit a microscope whose objects have this unit."""
    return {
        name: replace(found, voxel_size_um=(UNITS[name] * unit_um,) * 3)
        for name, found in own.items()
    }
