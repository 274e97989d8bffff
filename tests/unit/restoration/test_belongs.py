"""A result belongs to its input: other voxels are restored again, equal ones are not."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import DamagedError, UserError
from decon3d.evaluation.consistency_maps import ChannelCheck, check_volume
from decon3d.evaluation.noise import Noise
from decon3d.files import read_record, write_record
from decon3d.optics.psf import normalised_psf
from decon3d.restoration.finish import finish
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import make_plan
from decon3d.restoration.restorers import State
from decon3d.settings import Restoration
from decon3d.volumes import channel_accumulator, slabs
from decon3d.volumes.channel_accumulator import ContentHash
from decon3d.volumes.ingest import ingest
from decon3d.volumes.volume_record import load_record
from support.known_restorers import IDENTITY, Known

IMAGE = np.random.default_rng(1).poisson(100, (2, 16, 24, 24)).astype(np.uint16)
"""T Z Y X; Z = 16, Y = X, so that all of the changes keep the shape."""
CHANGES = {
    "flipped in Z": IMAGE[:, ::-1],
    "rolled": np.roll(IMAGE, 3, axis=3),
    "transposed": IMAGE.swapaxes(2, 3),
    "times permuted": IMAGE[::-1],
    "two voxels exchanged": np.concatenate([IMAGE[..., 1::-1], IMAGE[..., 2:]], axis=-1),
}
PSF = normalised_psf(np.ones((3, 3, 3), np.float32), (0.3, 0.1, 0.1), {"source": "theory"})
NOISE = Noise(1.0, 0.0, 1.0, ((0.0, 0.0),) * 3, 1000, "camera")


@pytest.fixture
def run(tmp_path, known_restorer):
    """Ingest, plan, restore and finish a file; return (restored blocks, what the map says, volume)."""

    def whole(path="v.tif", state=IDENTITY):
        record = ingested(tmp_path / path, tmp_path / "v.json")
        plan_file, marker = tmp_path / "plan.json", tmp_path / "parts" / "0.json"
        store = str(tmp_path / "v.out")
        make_plan(
            method="m",
            states={"a": state},
            records=[record],
            stores=[store],
            channels={"a": 0},
            times=None,
            restoration=Restoration(parts=1, memory_gb=1e-4),
            path=plan_file,
        )
        Known.calls = 0
        restore_part(plan_file, [state], part=0, marker=marker, threads=1)
        finish(plan_file, [record], provenance={}, progress=marker.parent)
        check = ChannelCheck("a", 0, PSF, NOISE, 100.0)
        check_volume(
            record,
            restored=store,
            store=str(tmp_path / "v.map"),
            channels=[check],
            times=None,
            method="m",
            memory_gb=1,
            seed=1,
        )
        mapped = zarr.open_group(str(tmp_path / "v.map"), mode="r").attrs["decon3d"]
        return Known.calls, mapped, np.asarray(open_array(store))

    return whole


def open_array(store):
    return zarr.open_array(f"{store}/0", mode="r")[:, 0]


def write(path, image):
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": "TZYX"})


def ingested(path, record, **options):
    return ingest(
        str(path),
        record_path=record,
        name="v",
        channels={"a": 0},
        voxel_size_um=(0.3, 0.1, 0.1),
        times=None,
        key="d",
        **options,
    )


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_counts_in_another_order_are_restored_and_mapped_again(tmp_path, run, change):
    write(tmp_path / "v.tif", IMAGE)
    calls, first, values = run()
    assert calls > 0 and np.array_equal(values, IMAGE)
    write(tmp_path / "v.tif", CHANGES[change])
    calls, second, values = run()
    assert calls > 0 and np.array_equal(values, CHANGES[change])
    assert second["key"] != first["key"]


def test_what_is_equal_is_not_restored_again_wherever_it_lies(tmp_path, run):
    write(tmp_path / "v.tif", IMAGE)
    _, first, _ = run()
    shutil.copy(tmp_path / "v.tif", tmp_path / "copy.tif")
    calls, second, values = run("copy.tif")
    assert (calls, second) == (0, first) and np.array_equal(values, IMAGE)
    big_endian = IMAGE.astype(">u2")
    tifffile.imwrite(
        tmp_path / "big.tif", big_endian, byteorder=">", imagej=True, metadata={"axes": "TZYX"}
    )
    assert run("big.tif")[:2] == (0, first)


def test_a_copied_bundle_is_the_same_network():
    here, there = (
        replace(IDENTITY, values={"bundle": place, "bundle_digest": "ab"}) for place in ("a", "b")
    )
    other = replace(IDENTITY, values={"bundle": "a", "bundle_digest": "cd"})
    assert here.identity == there.identity != other.identity


def test_each_channel_and_time_point_has_its_hash(tmp_path):
    write(tmp_path / "v.tif", IMAGE)
    content = ingested(tmp_path / "v.tif", tmp_path / "v.json").content
    assert list(content) == ["0"] and list(content["0"]) == ["0", "1"]
    write(tmp_path / "w.tif", IMAGE[::-1])
    swapped = ingested(tmp_path / "w.tif", tmp_path / "w.json").content["0"]
    assert (swapped["0"], swapped["1"]) == (content["0"]["1"], content["0"]["0"])


def test_the_hash_does_not_depend_on_the_slabs(tmp_path, monkeypatch):
    wide = np.random.default_rng(2).integers(0, 999, (70, 40, 33)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "v.tif", wide, photometric="minisblack")
    whole = ContentHash()
    whole.add(wide)
    monkeypatch.setattr(slabs, "SLAB_BYTES", wide[:32].nbytes // 3)  # slabs in files
    monkeypatch.setattr(channel_accumulator, "STRIP_VOXELS", 33 * 7)
    found = ingested(tmp_path / "v.tif", tmp_path / "v.json").content
    assert found == {"0": {"0": whole.hexdigest()}}


EDITS = {
    "halo": lambda p: p.update(halo=[0, 0, 2]),
    "channels": lambda p: p["volumes"][0].update(channels={"a": 1}),
    "view": lambda p: p["volumes"][0].update(view="other.ome.zarr"),
    "times": lambda p: p["volumes"][0].update(times=[1, 0]),
    "warnings": lambda p: p.update(warnings={"v": ["odd"]}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_plan_is_refused_and_the_advice_helps(tmp_path, run, edit):
    write(tmp_path / "v.tif", IMAGE)
    run()
    path = tmp_path / "plan.json"
    plan = json.loads(path.read_text())
    EDITS[edit](plan)
    path.write_text(json.dumps(plan))
    with pytest.raises(UserError, match=r"plan\.json was changed after it was written"):
        restore_part(path, [IDENTITY], part=0, marker=tmp_path / "parts" / "0.json", threads=1)
    path.unlink()
    assert run()[0] == 0


def test_an_older_plan_is_refused_and_the_advice_helps(tmp_path, run):
    path = tmp_path / "plan.json"
    write(tmp_path / "v.tif", IMAGE)
    run()
    shutil.copy2(path, tmp_path / "old.json")
    write(tmp_path / "v.tif", CHANGES["flipped in Z"])
    run()
    other = replace(IDENTITY, values={"iterations": 2})
    with pytest.raises(DamagedError, match="was made for other prepared states"):
        restore_part(path, [other], part=0, marker=tmp_path / "parts" / "0.json", threads=1)
    shutil.copy2(tmp_path / "old.json", path)
    with pytest.raises(DamagedError, match=r"plan\.json is not the plan that .* was created for"):
        finish(path, [], progress=tmp_path / "parts", provenance={})
    path.unlink()
    assert np.array_equal(run()[2], CHANGES["flipped in Z"])
    shutil.rmtree(tmp_path / "v.out")
    with pytest.raises(DamagedError, match=r"zarr\.json is missing") as found:
        finish(path, [], progress=tmp_path / "parts", provenance={})
    assert path in found.value.files


def test_a_record_in_another_place_is_refused(tmp_path):
    ours, theirs = tmp_path / "results" / "d" / "a.json", tmp_path / "results" / "d" / "b.json"
    write_record(ours, {"x": 1})
    assert read_record(ours) == {"x": 1}
    shutil.copy(ours, theirs)
    with pytest.raises(UserError, match=r"b\.json is a copy of d/a\.json"):
        read_record(theirs)
    (tmp_path / "results").rename(tmp_path / "moved")
    assert read_record(tmp_path / "moved" / "d" / "a.json") == {"x": 1}


@pytest.mark.parametrize("part", ["values", "arrays"])
def test_an_edited_state_is_refused(tmp_path, part):
    state = replace(IDENTITY, values={"tv_weight": 0.1}, arrays={"psf": np.ones((3, 3), "f4")})
    state.save(tmp_path / "s.json")
    assert State.load(tmp_path / "s.json").identity == state.identity
    if part == "arrays":
        other = replace(state, arrays={"psf": np.zeros((3, 3), "f4")})
        other.save(tmp_path / "t.json")
        shutil.copy(tmp_path / "t.npz", tmp_path / "s.npz")
    else:
        text = (tmp_path / "s.json").read_text()
        (tmp_path / "s.json").write_text(text.replace("0.1", "0.2"))
    with pytest.raises(UserError, match=r"was changed after it was written|does not belong to"):
        State.load(tmp_path / "s.json")


def test_an_edited_record_is_refused(tmp_path):
    write(tmp_path / "v.tif", IMAGE)
    ingested(tmp_path / "v.tif", tmp_path / "v.json")
    text = (tmp_path / "v.json").read_text()
    (tmp_path / "v.json").write_text(text.replace('"name": "v"', '"name": "w"'))
    with pytest.raises(UserError, match=r"was changed after it was written"):
        load_record(tmp_path / "v.json")


@pytest.fixture
def in_place(tmp_path):
    """An OME-Zarr of another program, which is read in place."""
    store = tmp_path / "v.tif"  # where `run` looks
    axes = [{"name": "t", "type": "time"}]
    axes += [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    scale = [{"type": "scale", "scale": [1, 0.3, 0.1, 0.1]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    ome = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group = zarr.open_group(store, mode="w", attributes={"ome": ome})
    names = ("t", "z", "y", "x")
    group.create_array("0", data=IMAGE, chunks=(1, 8, 24, 24), dimension_names=names)
    return store


def test_chunks_rewritten_in_place_are_restored_again(run, in_place):
    calls, _, values = run()
    assert calls > 0 and np.array_equal(values, IMAGE)
    assert run()[0] == 0
    zarr.open_array(in_place / "0", mode="r+")[1] = IMAGE[1, ::-1]
    calls, _, values = run()
    assert calls > 0 and np.array_equal(values[1], IMAGE[1, ::-1])


def test_a_volume_that_changes_while_it_is_restored_fails_and_the_advice_helps(
    run, in_place, monkeypatch
):
    restore = Known.restore

    def changing(self, block, origin, inner):
        zarr.open_array(in_place / "0", mode="r+")[1] = IMAGE[0]
        return restore(self, block, origin, inner)

    monkeypatch.setattr(Known, "restore", changing)
    with pytest.raises(UserError, match=r"v\.tif has changed since .*run the same command again"):
        run()
    monkeypatch.setattr(Known, "restore", restore)
    assert np.array_equal(run()[2], np.stack([IMAGE[0], IMAGE[0]]))


def test_a_file_that_changes_while_it_is_ingested_fails(tmp_path, monkeypatch):
    write(tmp_path / "v.tif", IMAGE)
    add = ContentHash.add

    def changing(self, values):
        os.utime(tmp_path / "v.tif", (1, 1))
        add(self, values)

    monkeypatch.setattr(ContentHash, "add", changing)
    with pytest.raises(UserError, match=r"v\.tif has changed since"):
        ingested(tmp_path / "v.tif", tmp_path / "v.json")
    assert not (tmp_path / "v.json").exists()
