"""A volume of any size, and the plan of its restoration with RLN: for benchmarks and faults."""

import os
from math import ceil
from pathlib import Path

import keras
import numpy as np
from scipy.ndimage import gaussian_filter

from decon3d.networks.kinds import rln
from decon3d.optics.psf import normalised_psf
from decon3d.restoration.plan import Plan, make_plan
from decon3d.restoration.prepare import prepare_network
from decon3d.restoration.restorers import State
from decon3d.settings import Restoration
from decon3d.volumes.statistics import ChannelStatistics
from decon3d.volumes.volume_record import VolumeRecord
from decon3d.volumes.writer import create_level, write_metadata
from support.records import volume_record
from support.small_networks import write

VOXEL = (0.2, 0.1, 0.1)
TILE = (32, 256, 256)
OFFSET = 100


def scene() -> np.ndarray:
    """Blobs with photon noise on a camera's offset, uint16 (Z, Y, X): compresses as data do."""
    rng = np.random.default_rng(4)
    blobs = gaussian_filter((rng.random(TILE) > 0.999).astype(np.float32), (1, 2, 2), mode="wrap")
    return (OFFSET + rng.poisson(5 + 4e3 * blobs)).astype(np.uint16)


def synthesise(store: Path, shape: tuple[int, int, int]) -> VolumeRecord:
    """Write a compressed OME-Zarr of a shape (Z, Y, X), a slab at a time, and describe it."""
    level = create_level(store, shape=(1, 1, *shape), dtype="uint16", chunk=TILE)
    tile = scene()
    repeats = tuple(ceil(n / t) for n, t in zip(shape[1:], TILE[1:], strict=True))
    for number, start in enumerate(range(0, shape[0], TILE[0])):
        slab = np.tile(np.roll(tile, 37 * number, axis=(1, 2)), (1, *repeats))
        planes = min(TILE[0], shape[0] - start)
        level[0, 0, start : start + planes] = slab[:planes, : shape[1], : shape[2]]
    write_metadata(
        store,
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=VOXEL,
        channel_names=["a"],
        windows=[(0, 1000)],
    )
    return described(store, shape)


def described(store: Path, shape: tuple[int, int, int]) -> VolumeRecord:
    """Describe a volume that may be there on paper only."""
    return volume_record(store, shape=(1, 1, *shape), voxel_size_um=VOXEL)


def prepared(folder: Path) -> State:
    """Write an untrained RLN's bundle and prepare it for the scene."""
    keras.utils.set_random_seed(1)
    write(folder, rln.build(), "rln")
    bead = np.zeros((5, 5, 5))
    bead[1:4, 1:4, 1:4] = 1
    statistics = ChannelStatistics.of_image(scene(), camera_offset=OFFSET)
    return prepare_network(folder, statistics=statistics, psf=normalised_psf(bead, VOXEL, {}))


def planned(folder: Path, record: VolumeRecord, state: State, **options: object) -> Plan:
    """Plan the restoration into `folder`."""
    os.makedirs(folder, exist_ok=True)
    return make_plan(
        method="rln",
        states={"a": state},
        records=[record],
        stores=[str(folder / "v")],
        channels={"a": 0},
        times=None,
        restoration=Restoration(**options),
        path=folder / "plan.json",
    )
