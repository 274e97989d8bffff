"""What has no data keeps its value through plan, parts and finish, and costs nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.classical.kinds.rl import Rl
from decon3d.networks.inputs import network_input
from decon3d.restoration.finish import finish
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import make_plan
from decon3d.restoration.prepare import prepare_classical
from decon3d.settings import Restoration
from decon3d.volumes.camera import Camera
from decon3d.volumes.ingest import ingest
from decon3d.volumes.normalisation import Normalisation
from decon3d.volumes.statistics import channel_statistics
from support.deconvolution import PSF, boxes
from support.known_restorers import IDENTITY, LOCAL, Known
from support.volumes import deskewed


def volume(folder, image):
    tifffile.imwrite(folder / "v.tif", image, photometric="minisblack")
    return ingest(
        str(folder / "v.tif"),
        record_path=folder / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=(0.2, 0.1, 0.1),
        times=None,
        key="datasets.d",
    )


def planned(folder, record, state, **options):
    return make_plan(
        method="m",
        states={"a": state},
        records=[record],
        stores=[str(folder / "v.out")],
        channels={"a": 0},
        times=None,
        restoration=Restoration(**options),
        path=folder / "plan.json",
    )


def restored(folder, record, state, **options):
    plan = planned(folder, record, state, **options)
    marker = folder / f"{plan.digest}.json"
    restore_part(folder / "plan.json", [state], part=0, marker=marker, threads=1)
    return plan, json.loads(marker.read_text()), zarr.open_array(str(folder / "v.out" / "0"))[0, 0]


def test_voxels_without_data_keep_their_value_and_blocks_without_are_skipped(
    tmp_path, known_restorer
):
    image, outside = deskewed()
    image[:, :, :24] = 0
    outside[:, :, :24] = True
    state = replace(LOCAL, kind="identity")
    plan, marker, result = restored(tmp_path, volume(tmp_path, image), state, memory_gb=2e-5)
    assert np.array_equal(result == 0, outside)
    assert marker["no_data"] == outside.sum() and marker["not_finite"] == 0
    empty = sum(outside[plan.work.item(i).block.write].all() for i in plan.numbers(0))
    assert empty > 2 and Known.calls == plan.bounds[-1] - empty


def test_what_is_not_finite_stays_so_and_pyramids_average_the_rest(tmp_path, known_restorer):
    image = np.random.default_rng(1).normal(100, 5, (4, 30, 200)).astype(np.float32)
    image[:2, :, :9] = np.nan
    image[3, 3, 3] = np.inf
    record = volume(tmp_path, image)
    _, marker, result = restored(tmp_path, record, IDENTITY)
    finite = np.isfinite(image)
    assert np.array_equal(np.isnan(result), ~finite)
    assert np.array_equal(result[finite], image[finite])
    assert (marker["no_data"], marker["not_finite"]) == ((~finite).sum(), 0)
    finish(tmp_path / "plan.json", [record], progress=tmp_path, provenance={})
    coarse = zarr.open_array(str(tmp_path / "v.out" / "1"))[0, 0]
    expected = np.where(np.isfinite(image), image, np.nan).reshape(4, 30, 100, 2)
    assert np.array_equal(np.isnan(coarse), np.isnan(expected).all(3))
    assert np.allclose(coarse[2, :, 5:], expected[2, :, 5:].mean(2))
    assert coarse[3, 3, 1] == pytest.approx(image[3, 3, 2])


def test_richardson_lucy_with_fill_is_the_same_whole_and_tiled(tmp_path):
    _, outside = deskewed()
    image = np.random.default_rng(2).poisson(10, outside.shape)
    image[2:22, 12:48, 14:50] = boxes()[0]
    image = np.where(outside, 0, 100 + image).astype(np.uint16)
    record = volume(tmp_path, image)
    statistics = channel_statistics(
        [record], channel=0, camera_offset=100, fixed=None, key="datasets.d"
    )
    method = Rl(kind="rl", iterations=6)
    state = prepare_classical(
        method, statistics=statistics, psf=PSF, tuned={}, camera=Camera(offset=100)
    )
    _, _, whole = restored(tmp_path, record, state)
    plan, _, tiled = restored(tmp_path, record, state, parts=1, memory_gb=3e-3)
    assert plan.bounds[-1] > 1
    assert np.array_equal(whole == 0, outside)
    assert np.abs(whole - tiled).max() < 2e-3 * whole.max()
    beside = (np.roll(outside, -3, 2) | np.roll(outside, 3, 2)) & ~outside
    assert np.median(whole[beside]) == pytest.approx(110, abs=6)  # no dark rim


def test_a_network_sees_background_where_nothing_is():
    counts = np.full((4, 4, 4), 150, np.float32)
    counts[0] = np.nan
    values = network_input(counts, law=Normalisation(100, 50), background=110)[0]
    assert np.allclose(values[0], 0.2) and np.allclose(values[1:], 1)
