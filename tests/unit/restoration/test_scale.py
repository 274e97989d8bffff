"""Planning at the size of a whole brain, and what time courses keep."""

import resource
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.blocks.geometry import BLOCK_COST
from decon3d.classical.kinds.rl import Rl
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import load_plan, make_plan
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import State
from decon3d.restoration.sample import CANDIDATES, sample_blocks
from decon3d.settings import Restoration
from decon3d.volumes.camera import Camera
from decon3d.volumes.ingest import ingest
from decon3d.volumes.statistics import channel_statistics
from support.deconvolution import PSF, boxes
from support.records import volume_record
from support.volumes import volume_on_paper

NETWORK = State("rln", (18, 18, 18), (2, 2, 2), True, 250.0, {"bundle": "b"})


def on_paper(store, shape):
    volume_on_paper(store, shape=(1, 1, *shape), chunk=(32, 128, 128))
    return volume_record(store, shape=(1, 1, *shape))


def test_ten_terabytes_are_planned_without_listing_their_blocks(tmp_path):
    shape = (12_500, 20_000, 20_000)
    record = on_paper(tmp_path / "v.zarr", shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plan = make_plan(
        method="rln",
        states={"a": NETWORK},
        records=[record],
        channels={"a": 0},
        times=None,
        stores=[str(tmp_path / "out")],
        path=tmp_path / "plan.json",
        restoration=Restoration(parts=1000, memory_gb=2, engine="tensorflow"),
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5e5  # kB
    assert load_plan(tmp_path / "plan.json") == plan
    work = plan.loads()
    assert sum(part["blocks"] for part in work) == plan.bounds[-1]
    assert max(w["blocks"] for w in work) - min(w["blocks"] for w in work) <= 1
    assert plan.block_memory_gb <= 2
    last = plan.work.item(plan.bounds[-1] - 1).block.write
    assert [part.stop for part in last] == list(shape)
    # All that a network computes twice because of the halo, with 2 GB for a block.
    computed = sum(part["computed_mvoxel"] for part in work) * 1e6
    assert computed < 1.9 * prod(shape)


@pytest.mark.parametrize("mirror", [True, False])
def test_parts_cost_the_same_whatever_sizes_are_mixed(tmp_path, mirror):
    large = on_paper(tmp_path / "large.zarr", (96, 768, 768))
    small = on_paper(tmp_path / "small.zarr", (16, 64, 64))
    stores = [str(tmp_path / "large"), *[str(tmp_path / "small")] * 500]
    plan = make_plan(
        method="rln",
        states={"a": replace(NETWORK, mirror=mirror)},
        times=None,
        stores=stores,
        records=[large, *[small] * 500],
        channels={"a": 0},
        path=tmp_path / "plan.json",
        restoration=Restoration(parts=4, memory_gb=0.25, engine="tensorflow"),
    )
    work = plan.loads()
    cost = [part["computed_mvoxel"] + part["blocks"] * BLOCK_COST / 1e6 for part in work]
    assert plan.block_memory_gb * 1e3 / 250 < 0.05 * np.mean(cost)  # blocks are small
    assert max(cost) < 1.05 * np.mean(cost)
    assert max(part["blocks"] for part in work) > 1.5 * min(part["blocks"] for part in work)


def test_a_sample_of_ten_terabytes_does_not_list_its_blocks(tmp_path):
    record = on_paper(tmp_path / "v.zarr", (12_500, 20_000, 20_000))
    assert sample_blocks([], channel=0, times=None, seed=1) == []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = sample_blocks([record], channel=0, times=None, seed=1)
    assert 0 < len(found) <= CANDIDATES and not any(block.any() for block in found)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5e5  # kB


def test_a_bleaching_time_course_keeps_its_course(tmp_path):
    light = np.pad(boxes()[0][:16, :24, :24], ((2, 2), (8, 8), (8, 8)))
    rng = np.random.default_rng(7)
    image = np.stack([100 + rng.poisson(factor * 20 * light) for factor in (1, 0.8, 0.6)])
    tifffile.imwrite(
        tmp_path / "v.tif",
        image.astype(np.uint16)[:, :, None],
        imagej=True,
        metadata={"axes": "TZCYX", "finterval": 2.0},
    )
    record = ingest(
        str(tmp_path / "v.tif"),
        record_path=tmp_path / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=(0.2, 0.1, 0.1),
        times=None,
        key="d",
    )
    statistics = channel_statistics([record], channel=0, camera_offset=100, fixed=None, key="d")
    state = prepare_classical(
        Rl(kind="rl", iterations=15),
        statistics=statistics,
        psf=PSF,
        tuned={},
        camera=Camera(offset=100),
    )
    make_plan(
        method="rl",
        states={"a": state},
        records=[record],
        channels={"a": 0},
        times=None,
        stores=[str(tmp_path / "out")],
        path=tmp_path / "plan.json",
        restoration=Restoration(),
    )
    restore_part(tmp_path / "plan.json", [state], part=0, marker=tmp_path / "0.json", threads=1)
    restored = zarr.open_array(str(tmp_path / "out" / "0"))[:, 0]
    ratio = (restored - 100).sum((1, 2, 3)) / (image - 100.0).sum((1, 2, 3))
    assert ratio == pytest.approx(np.mean(ratio), rel=0.01)
