"""A device whose memory does not hold a block: the plan is rewritten, the work starts over."""

import json
import tracemalloc

import numpy as np
import pytest
import zarr
from scipy.ndimage import uniform_filter
from test_restoration import LOCAL, known_restorer, machine  # noqa: F401
from test_volumes import TCZYX

from decon3d.classical.channel import bytes_per_voxel
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.photons import PhotonScale
from decon3d.classical.recipe import Recipe
from decon3d.errors import DeviceMemoryError
from decon3d.restoration import part as part_module
from decon3d.restoration.part import ReplannedError, restore_part, run_part
from decon3d.restoration.plan import halve_blocks, load_plan


class Small:
    """A mean over 5 x 5 x 5 voxels on a device that holds so many."""

    holds = 0
    largest = 0

    def restore(self, block, origin):
        if block.size > Small.holds:
            raise DeviceMemoryError("OOM when allocating")
        Small.largest = max(Small.largest, block.size)
        return uniform_filter(block.astype(np.float32), 5)


@pytest.fixture
def planned(machine, monkeypatch):  # noqa: F811
    Small.largest = 0
    monkeypatch.setattr(part_module, "open_restorer", lambda state, **_: Small())
    return machine, machine.plan(state=LOCAL, parts=2)


def restored(made, part):
    marker = made.folder / "parts" / f"{part}.json"
    restore_part(made.folder / "plan.json", [LOCAL, LOCAL], part=part, marker=marker, threads=1)
    return json.loads(marker.read_text())


def test_blocks_are_halved_until_they_fit_and_all_starts_over(planned):
    made, plan = planned
    whole = np.prod([n + 4 for n in plan.volumes[0].block])
    Small.holds = 10**9
    assert restored(made, 0)["plan"] == plan.digest
    Small.holds, Small.largest = whole // 3, 0
    marker = restored(made, 1)
    smaller = load_plan(made.folder / "plan.json")
    assert smaller.halvings >= 2 and smaller.block_memory_gb < plan.block_memory_gb / 2
    assert 0 < Small.largest <= Small.holds
    # Part 0, whose job was over, has been done again by part 1: nothing is left to do.
    again = json.loads((made.folder / "parts" / "0.json").read_text())
    assert again["plan"] == marker["plan"] == smaller.digest
    assert again["blocks"] + marker["blocks"] == plan.bounds[-1]
    made.finish(smaller)
    result = zarr.open_array(str(made.folder / "v.out" / "0"))[0, 0]
    expected = uniform_filter(TCZYX[0, 2].astype(np.float32), 5, mode="reflect")
    assert np.allclose(result, expected, rtol=1e-6)


def test_a_finished_part_is_done_again_by_one_part_only(machine, monkeypatch):  # noqa: F811
    Small.holds = 10**9
    monkeypatch.setattr(part_module, "open_restorer", lambda state, **_: Small())
    plan = machine.plan(state=LOCAL, parts=3)
    restored(machine, 2)
    calls = []

    def run(plan, states, *, part, **options):
        calls.append(part)
        if calls in ([0], [0, 2, 0, 1]):
            raise DeviceMemoryError("OOM when allocating")
        if calls == [0, 2, 0]:  # part 2 is done again; part 1 starts and rewrites the plan, too
            restored(machine, 1)
        run_part(plan, states, part=part, **options)

    monkeypatch.setattr(part_module, "run_part", run)
    restored(machine, 0)
    assert calls == [0, 2, 0, 1, 2, 1, 0]
    plan = load_plan(machine.folder / "plan.json")
    assert plan.halvings == 2
    machine.finish(plan)


def test_a_part_whose_plan_was_rewritten_stops(planned):
    made, plan = planned
    Small.holds = 10**9
    smaller = halve_blocks(plan, made.folder / "plan.json")
    assert halve_blocks(plan, made.folder / "plan.json") == smaller  # another part was first
    marker = made.folder / "parts" / "0.json"
    with pytest.raises(ReplannedError):
        run_part(plan, [LOCAL, LOCAL], part=0, marker=marker, threads=1, current=lambda: False)
    assert not marker.exists()


def test_what_no_halving_helps_is_said(planned):
    made, _ = planned
    Small.holds = 1
    with pytest.raises(DeviceMemoryError, match="not even small blocks fit"):
        restored(made, 0)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tv_weight": 0.005},
        {"roughness_weight": 0.1},
        {"photons": PhotonScale(0.0, 1.0, "config")},
    ],
    ids=["rl", "rltv", "RL roughness", "consensus"],
)
def test_a_block_takes_no_more_memory_than_planned(options):
    psf = np.zeros((9, 9, 9), np.float32)
    psf[4, 4, 4] = 1
    recipe = Recipe(background=10.0, initial=2.0, voxel_size_um=(1.0, 1.0, 1.0), **options)
    runs = [Run(recipe, (2,))]
    block = np.full((48, 96, 96), 12, np.float32)
    tracemalloc.start()
    try:
        result = Estimator(runs, psf=psf, threads=1)(block)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    used = (peak - result.nbytes) / block.size
    print(used, bytes_per_voxel(runs))
    assert 0.75 * bytes_per_voxel(runs) < used < bytes_per_voxel(runs)
