"""Memory: blocks that a device does not hold are computed in tiles; a plan's estimate holds."""

import json
import tracemalloc

import numpy as np
import pytest
import zarr
from scipy.ndimage import uniform_filter

from decon3d.classical.channel import bytes_per_voxel
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.photons import PhotonScale
from decon3d.classical.recipe import Recipe
from decon3d.errors import DeviceMemoryError
from decon3d.restoration import part as part_module
from decon3d.restoration.part import restore_part
from support.gaussians import gaussian_psf
from support.known_restorers import LOCAL
from support.volumes import TCZYX


class Small:
    """A mean over 5 x 5 x 5 voxels on a device that holds so many."""

    holds = 0
    largest = 0

    def restore(self, block, origin, inner):
        if block.size > Small.holds:
            raise DeviceMemoryError("OOM when allocating")
        Small.largest = max(Small.largest, block.size)
        return uniform_filter(block.astype(np.float32), 5)[inner]


@pytest.fixture
def planned(machine, monkeypatch):
    Small.largest = 0
    monkeypatch.setattr(part_module, "open_restorer", lambda state, **_: Small())
    return machine, machine.plan(state=LOCAL, parts=2)


def restored(made, part):
    marker = made.folder / "parts" / f"{part}.json"
    restore_part(made.folder / "plan.json", [LOCAL, LOCAL], part=part, marker=marker, threads=1)
    return json.loads(marker.read_text())


def test_a_part_computes_its_blocks_in_tiles_that_fit_and_leaves_plan_and_other_parts(planned):
    made, plan = planned
    before = (made.folder / "plan.json").read_bytes()
    Small.holds = 10**9
    assert restored(made, 0)["halvings"] == 0
    Small.holds, Small.largest = np.prod([n + 4 for n in plan.volumes[0].block]) // 3, 0
    assert restored(made, 1)["halvings"] >= 2
    assert 0 < Small.largest <= Small.holds
    assert (made.folder / "plan.json").read_bytes() == before
    made.finish()
    result = zarr.open_array(str(made.folder / "v.out" / "0"))[0, 0]
    expected = uniform_filter(TCZYX[0, 2].astype(np.float32), 5, mode="reflect")
    assert np.allclose(result, expected, rtol=1e-6)


def test_what_no_halving_helps_is_said(planned):
    made, _ = planned
    Small.holds = 1
    with pytest.raises(DeviceMemoryError, match="not even small blocks fit"):
        restored(made, 0)


COARSE = {"tv_weight": 0.005, "coarse_to_fine": True}


@pytest.mark.parametrize(
    ("options", "iterations"),
    [
        ({}, (2,)),
        ({"tv_weight": 0.005}, (2,)),
        ({"roughness_weight": 0.1}, (2,)),
        ({"photons": PhotonScale(0.0, 1.0, "config")}, (2,)),
        ({"tv_weight": 0.005}, (1, 2)),
        (COARSE, (2,)),
        (COARSE, (1, 2)),
    ],
    ids=[
        "rl",
        "rltv",
        "RL roughness",
        "consensus",
        "snapshots",
        "coarse to fine",
        "coarse to fine, snapshots",
    ],
)
def test_a_block_takes_no_more_memory_than_planned(options, iterations):
    psf = gaussian_psf((9, 9, 9), (1.5, 1.5, 1.5))
    recipe = Recipe(background=10.0, initial=2.0, voxel_size_um=(1.0, 1.0, 1.0), **options)
    runs = [Run(recipe, iterations)]
    block = np.full((48, 96, 96), 12, np.float32)
    Estimator(runs, psf=psf, threads=1)(block[:16, :16, :16])  # imports do not count
    tracemalloc.start()
    try:
        result = Estimator(runs, psf=psf, threads=1)(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    used = (peak - result.nbytes) / block.size
    print(used, bytes_per_voxel(runs))
    assert 0.75 * bytes_per_voxel(runs) < used < bytes_per_voxel(runs)
