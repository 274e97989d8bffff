"""A two-channel time series with known spots, raw and restored, as a run leaves it behind."""

from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

from decon3d import paths
from decon3d.settings import Settings, load_settings
from decon3d.volumes.ingest import ingest
from decon3d.volumes.writer import create_level, default_chunk, write_metadata, write_pyramid

VOXEL = (0.3, 0.1, 0.1)
SHAPE = (3, 2, 10, 48, 48)
SPOTS = {0: ((10, 12), (10, 36)), 1: ((30, 12), (10, 36))}
"""Y and X of the spots of each channel at the first time point; both channels have the second."""
STEP = 6
"""Voxels by which all spots move along Y per time point."""


def series_settings(root: Path, **channels: object) -> Settings:
    return load_settings(
        {
            "datasets": {
                "pair": {
                    "volumes": str(root / "pair.ome.tif"),
                    "optics": {
                        "modality": "widefield",
                        "numerical_aperture": 1.2,
                        "immersion_index": 1.333,
                    },
                    "channels": channels
                    or {
                        "dapi": {"index": 0, "emission_um": 0.46},
                        "gfp": {"index": 1, "emission_um": 0.525},
                    },
                }
            },
            "methods": {"rl": {}},
        }
    )


def make_series(root: Path, *, metadata: dict | None = None) -> Settings:
    """Write volume, record and the store of `rl`, twice as bright as raw above the background."""
    sharp = np.zeros(SHAPE, np.float32)
    for time in range(SHAPE[0]):
        for channel, spots in SPOTS.items():
            for y, x in spots:
                sharp[time, channel, 5, y + STEP * time, x] = 60_000
    light = gaussian_filter(sharp, (0, 0, 1.5, 2, 2))
    noise = np.random.default_rng(1).normal(0, 1, SHAPE)
    raw = np.clip(100 + light + noise, 0, None).astype(np.uint16)
    pixels = {f"PhysicalSize{axis}": v for axis, v in zip("ZYX", VOXEL, strict=True)}
    tifffile.imwrite(
        root / "pair.ome.tif",
        raw,
        ome=True,
        metadata={"axes": "TCZYX", "TimeIncrement": 30.0, **pixels, **(metadata or {})},
    )
    settings = series_settings(root)
    ingest(
        str(root / "pair.ome.tif"),
        record_path=root / paths.ingested("pair", "pair"),
        name="pair",
        channels={"dapi": 0, "gfp": 1},
        voxel_size_um=None,
        times=None,
        key="datasets.pair",
    )
    store = root / paths.restored("pair", "pair", "rl")
    level = create_level(store, shape=SHAPE, dtype="float32", chunk=default_chunk(SHAPE[2:]))
    level[:] = 100 + 2 * light
    write_metadata(
        store,
        name="pair",
        factors=write_pyramid(store),
        voxel_size_um=VOXEL,
        channel_names=["dapi", "gfp"],
        windows=[(0.0, 1000.0)] * 2,
    )
    return settings
