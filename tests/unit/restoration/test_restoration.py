"""The block machine, driven by restorers whose answer is known."""

import os
import re
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import zarr
from ome_zarr_models.v05.image import Image
from scipy.ndimage import uniform_filter

from decon3d.blocks import run as run_module
from decon3d.errors import UserError
from decon3d.restoration import plan as plan_module
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.finish import seam_index
from decon3d.restoration.restorers import State
from decon3d.volumes.reader import open_volume
from support.known_restorers import IDENTITY, LOCAL, Known
from support.volumes import TCZYX, VOXEL


def test_everything_survives_an_identity(machine):
    plan = machine.plan(volumes=("v", "w"), parts=5, output_dtype="input", memory_gb=1e-5)
    markers = [machine.part(i) for i in range(5)]
    assert sum(m["blocks"] for m in markers) == plan.bounds[-1] > 5
    machine.finish()
    for name in ("v", "w"):
        result = open_volume(machine.folder / f"{name}.out")
        assert np.array_equal(result.data.compute(), TCZYX[:, [2, 1]])
        assert result.dtype == np.uint16
        assert result.voxel_size_um == pytest.approx(VOXEL)
        assert result.channel_names == ("rfp", "gfp")
        assert result.time_interval_s == 3.0
        Image.from_zarr(zarr.open_group(result.path, mode="r"))


def test_a_finished_volume_keeps_its_block_and_one_that_is_not_finished_gets_a_new_one(machine):
    plan = machine.plan(memory_gb=1e-5, parts=5)
    replanned = machine.plan(memory_gb=1.0, parts=2)
    assert replanned.volumes[0].block != plan.volumes[0].block
    plan = machine.plan(memory_gb=1e-5, parts=5)
    for part in range(5):
        machine.part(part)
    machine.finish()
    before = {p: p.stat().st_mtime_ns for p in (machine.folder / "v.out").rglob("*")}
    again = machine.plan(memory_gb=1.0, parts=2)
    assert again.volumes == plan.volumes and len(again.bounds) == 3
    Known.calls = 0
    assert sum(machine.part(part)["blocks"] for part in range(2)) == plan.bounds[-1]
    machine.finish()
    assert Known.calls == 0
    assert {p: p.stat().st_mtime_ns for p in (machine.folder / "v.out").rglob("*")} == before
    other = machine.plan(state=LOCAL, memory_gb=1.0, parts=2)
    assert other.volumes[0].block != plan.volumes[0].block


def test_progress_says_blocks_rate_and_time_left(machine, monkeypatch, caplog):
    monkeypatch.setattr(run_module, "progress", partial(run_module.progress, seconds=0))
    plan = machine.plan(memory_gb=1e-5)
    blocks = plan.bounds[-1]
    with caplog.at_level("INFO", logger="decon3d"):
        machine.part(0)
    begun, *lines = [m for m in caplog.messages if m.startswith("m part 0: ")]
    assert begun.startswith(f"m part 0: {blocks} block(s) to do, ")
    amounts, rate = r"[\d.]+/[\d.]+ [kM]?voxel", r"\d{1,3}(\.\d+)? [kM]?voxel/s"
    line = rf"m part 0: {amounts} \(\d+ %\), {rate}, [\d:]+ left, "
    for count, text in enumerate(lines[:blocks], 1):
        assert re.fullmatch(line + f"{count}/{blocks} blocks", text)
    assert len(lines) >= blocks > 5


def test_chosen_times_only(machine):
    machine.plan(times=[1])
    machine.part(0)
    machine.finish()
    result = open_volume(machine.folder / "v.out").data.compute()
    assert np.array_equal(result, TCZYX[1:, [2, 1]])


@pytest.mark.parametrize("memory_gb", [1, 1.2e-4, 4e-5])
def test_any_tiling_gives_the_same_volume(machine, memory_gb):
    machine.plan(state=LOCAL, memory_gb=memory_gb)
    machine.part(0)
    result = zarr.open_array(str(machine.folder / "v.out" / "0"))[0, 0]
    whole = uniform_filter(TCZYX[0, 2].astype(np.float32), 5, mode="reflect")
    assert np.allclose(result, whole, rtol=1e-6)


def test_little_memory_that_costs_much_time_is_told(machine, caplog, monkeypatch):
    monkeypatch.setattr(plan_module, "MOST_WORK", 1.01)
    for memory_gb, told in ((1, False), (4e-5, True)):
        caplog.clear()
        machine.plan(state=LOCAL, memory_gb=memory_gb)
        assert (
            "with more memory (or fewer parts), the restoration is faster" in caplog.text
        ) == told


def test_restore_array_is_the_same_whole_and_tiled():
    image = TCZYX[0, 0]
    whole = restore_array(image, Known(LOCAL), LOCAL)
    tiled = restore_array(image, Known(LOCAL), LOCAL, block=(2, 8, 10))
    assert np.array_equal(whole, tiled)


def test_a_killed_part_goes_on_where_it_was(machine, monkeypatch):
    plan = machine.plan(memory_gb=1e-5)
    restore = Known.restore

    def killed(self, block, origin, inner):
        if Known.calls == 5:
            raise KeyboardInterrupt
        return restore(self, block, origin, inner)

    monkeypatch.setattr(Known, "restore", killed)
    with pytest.raises(KeyboardInterrupt):
        machine.part(0)
    progress = machine.folder / "parts" / "0.progress"
    with open(progress, "a") as stream:
        stream.write('{"key": "cut o')
    monkeypatch.setattr(Known, "restore", restore)
    marker = machine.part(0)
    assert marker["blocks"] == plan.bounds[-1]
    # One block may be lost between its restoration and its record, never more.
    assert Known.calls <= plan.bounds[-1] + 1
    machine.finish()
    result = open_volume(machine.folder / "v.out").data.compute()
    assert np.array_equal(result, TCZYX[:, [2, 1]].astype(np.float32))


def test_a_part_that_is_told_to_stop_says_so_and_goes_on_there(machine, monkeypatch):
    plan = machine.plan(memory_gb=1e-5)
    restore = Known.restore

    def told(self, block, origin, inner):
        if Known.calls == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return restore(self, block, origin, inner)

    monkeypatch.setattr(Known, "restore", told)
    left = plan.bounds[-1] - 5
    with pytest.raises(UserError, match=rf"stopped by SIGTERM with {left} of its blocks left"):
        machine.part(0)
    assert machine.part(0)["blocks"] == Known.calls == plan.bounds[-1]


def test_a_new_volume_does_not_undo_the_old_ones(machine):
    machine.plan(volumes=("v",))
    machine.part(0)
    machine.finish()
    calls = Known.calls
    machine.plan(volumes=("v", "w"))
    assert machine.part(0)["blocks"] == 2 * calls
    assert Known.calls == 2 * calls


def test_another_setting_starts_over(machine):
    machine.plan()
    machine.part(0)
    machine.finish()
    machine.plan(state=replace(IDENTITY, values={"iterations": 2}))
    with pytest.raises(UserError, match="is not recorded as done, and 3 more"):
        machine.finish()
    assert not (machine.folder / "v.out" / "zarr.json").exists()


def test_an_unfinished_volume_is_not_valid(machine):
    machine.plan(parts=2)
    machine.part(0)
    with pytest.raises(UserError, match="is not recorded as done"):
        machine.finish()


def test_too_little_memory_is_named(machine):
    with pytest.raises(UserError, match=r"restoration\.memory_gb"):
        machine.plan(state=replace(IDENTITY, bytes_per_voxel=1e9))


def test_integers_are_clipped_and_counted(machine, monkeypatch):
    monkeypatch.setattr(Known, "restore", lambda self, block, origin, inner: block[inner] * 100.0)
    machine.plan(output_dtype="input")
    marker = machine.part(0)
    chosen = TCZYX[:, [2, 1]].astype(float) * 100
    assert marker["clipped"] == np.count_nonzero(chosen > 65535)
    result = zarr.open_array(str(machine.folder / "v.out" / "0"))[:]
    assert np.array_equal(result, np.clip(chosen, 0, 65535))


def test_a_seam_is_measured(machine, monkeypatch):
    plan = machine.plan(memory_gb=2e-5)
    machine.part(0)
    volume = plan.volumes[0]
    level_0 = zarr.open_array(str(machine.folder / "v.out" / "0"))
    assert seam_index(level_0, volume)["y"] == pytest.approx(1, abs=0.15)
    level_0[:, :, :, : volume.block[1]] += 5000
    assert seam_index(level_0, volume)["y"] > 3


def test_states_come_back_from_disk(tmp_path):
    state = replace(LOCAL, arrays={"psf": np.ones((3, 3, 3), np.float32)})
    state.save(tmp_path / "s.json")
    loaded = State.load(tmp_path / "s.json")
    assert loaded.description == state.description
    assert np.array_equal(loaded.arrays["psf"], state.arrays["psf"])
    changed = replace(state, arrays={"psf": np.zeros((3, 3, 3), np.float32)})
    assert changed.description != state.description
