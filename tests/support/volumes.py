"""Volumes as arrays and files, for tests."""

from pathlib import Path

import numpy as np
import tifffile
import zarr

from decon3d.volumes.ingest import ingest
from decon3d.volumes.volume_record import VolumeRecord
from decon3d.volumes.writer import create_level, image_attributes, write_metadata

TCZYX = np.random.default_rng(0).integers(90, 4000, (2, 3, 5, 40, 36)).astype(np.uint16)
VOXEL = (0.5, 0.2, 0.1)
"""Voxel size of `ome_tiff`, µm (Z Y X)."""


def ome_tiff(path: Path) -> None:
    """Write TCZYX with the metadata of a microscope."""
    meta = {
        "axes": "TCZYX",
        "Channel": {"Name": ["dapi", "gfp", "rfp"]},
        "PhysicalSizeZ": 500.0,
        "PhysicalSizeZUnit": "nm",
        "PhysicalSizeY": 0.2,
        "PhysicalSizeYUnit": "µm",
        "PhysicalSizeX": 0.1,
        "TimeIncrement": 3.0,
        "TimeIncrementUnit": "s",
    }
    tifffile.imwrite(path, TCZYX, metadata=meta, ome=True)


def run_ingest(source: Path, folder: Path, **options) -> VolumeRecord:
    """Ingest the second channel of a file into `folder`."""
    defaults = dict(channels={"gfp": 1}, voxel_size_um=None, times=None, key="datasets.d")
    target = folder / "results" / "v.json"
    return ingest(str(source), record_path=target, name="v", **{**defaults, **options})


DESKEWED_SHAPE = (24, 60, 64)


def noise(mean: float = 120.0, seed: int = 0) -> np.ndarray:
    """Poisson counts of one mean, uint16 (Z Y X)."""
    return np.random.default_rng(seed).poisson(mean, DESKEWED_SHAPE).astype(np.uint16)


def deskewed(fill: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Counts in a slanted band with fill beside it, and where the fill is."""
    z, _, x = np.indices(DESKEWED_SHAPE)
    outside = (x < 20 - z // 2) | (x > 60 - z)
    return np.where(outside, fill, noise()).astype(np.uint16), outside


def own_volume(
    store: Path,
    values: np.ndarray,
    *,
    chunk,
    shard=None,
    voxel_size_um=(1, 1, 1),
    channel="a",
    attributes=None,
) -> None:
    """Write one time point and channel (Z Y X) as this project does, without a pyramid."""
    level = create_level(
        store, shape=(1, 1, *values.shape), dtype=values.dtype, chunk=chunk, shard=shard
    )
    level[0, 0] = values
    write_metadata(
        store,
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=voxel_size_um,
        channel_names=[channel],
        windows=[(0, 1)],
        attributes=attributes,
    )


def volume_on_paper(store: Path, *, shape, channels=("a",), chunk, voxel_size_um=(1, 1, 1)) -> None:
    """An OME-Zarr of uint16 (T, C, Z, Y, X) from elsewhere, which stores no chunk: all zeros."""
    create_level(store, shape=shape, dtype="uint16", chunk=chunk)
    attributes = image_attributes(
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=voxel_size_um,
        channel_names=list(channels),
        windows=[(0, 1000)] * len(channels),
    )
    zarr.create_group(store, attributes=attributes)
