"""A finished volume is whole, says what made it, and opens elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import DamagedError
from decon3d.report.run_status import _seams
from decon3d.restoration.finish import export_ome_tiff
from decon3d.volumes.ome_tiff import write_ome_tiff
from decon3d.volumes.reader import open_volume
from support.known_restorers import Known
from support.volumes import TCZYX, VOXEL


@pytest.fixture
def restored(machine):
    plan = machine.plan(output_dtype="input", memory_gb=1e-5)
    machine.part(0)
    shards = sorted(p for p in (Path(plan.volumes[0].store) / "0" / "c").rglob("*") if p.is_file())
    assert len(shards) == plan.bounds[-1]
    return machine, plan, shards


def test_a_missing_shard_is_found(restored):
    made, _, shards = restored
    shards[7].unlink()
    with pytest.raises(DamagedError, match=r"/0/c/\S+ is missing") as found:
        made.finish()
    assert found.value.files[-2:] == (shards[7], made.folder / "parts" / "0.json")


@pytest.mark.parametrize("damage", ["cut", "other", "flipped", "exchanged", "zeros", "empty"])
@pytest.mark.parametrize("seed", range(4))
def test_every_changed_shard_is_found_and_done_again(restored, damage, seed):
    made, plan, shards = restored
    rng = np.random.default_rng(seed)
    shard, other = (shards[i] for i in rng.permutation(len(shards))[:2])
    before = {path: path.read_bytes() for path in shards}
    content = before[shard]
    if damage == "cut":
        shard.write_bytes(content[: int(rng.integers(1, len(content)))])
    elif damage == "other":
        level_0 = zarr.open_array(str(made.folder / "v.out" / "0"), mode="r+")
        item = plan.work.item(int(rng.integers(plan.bounds[-1])))
        place = (item.time, item.channel, *item.block.write)
        level_0[place] = level_0[place] + 1
    elif damage == "flipped":
        bit = int(rng.integers(8 * len(content)))
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        shard.write_bytes(changed)
    elif damage == "exchanged":
        shard.write_bytes(before[other])
        other.write_bytes(content)
    else:
        shard.write_bytes(bytes(len(content) if damage == "zeros" else 0))
    calls = Known.calls
    with pytest.raises(DamagedError) as found:
        made.finish()
    for path in found.value.files:  # as `files.remove_damaged` does for files in `results`
        path.unlink(missing_ok=True)
    assert not (made.folder / "parts" / "0.json").exists()
    made.part(0)
    assert Known.calls - calls <= 2
    made.finish()
    assert {path: path.read_bytes() for path in shards} == before


@pytest.mark.parametrize("damage", ["cut", "missing", "key", "shape"])
def test_a_damaged_level_0_is_made_again_with_the_plan(restored, damage):
    made, plan, shards = restored
    metadata = made.folder / "v.out" / "0" / "zarr.json"
    text = metadata.read_text()
    if damage == "missing":
        metadata.unlink()
    else:
        key = plan.volumes[0].key
        other = text.replace(key, key[::-1]) if damage == "key" else text.replace("40", "41")
        metadata.write_text(text[:90] if damage == "cut" else other)
    of_plan = damage == "key"
    with pytest.raises(DamagedError, match="is not the plan" if of_plan else "zarr.json") as found:
        made.finish()
    assert made.folder / "plan.json" in found.value.files
    assert (made.folder / "parts" / "0.json" in found.value.files) is not of_plan
    for path in found.value.files:
        path.unlink(missing_ok=True)
    shards[0].unlink()
    with pytest.raises(DamagedError, match=r"plan\.json is missing"):
        made.part(0)
    made.plan(output_dtype="input", memory_gb=1e-5)
    made.part(0)
    made.finish()
    assert np.array_equal(open_volume(made.folder / "v.out").data.compute(), TCZYX[:, [2, 1]])


def test_a_volume_says_what_made_it(restored):
    made, plan, shards = restored
    half = shards[0].with_suffix(".0a1b.partial")
    half.write_bytes(b"killed")
    made.finish()
    assert not half.exists()
    content = json.loads((made.folder / "v.out" / "zarr.json").read_text())
    found = content["attributes"]["decon3d"]
    assert found["restorers"][0]["arrays_digest"] and found["key"] == plan.volumes[0].key
    assert {"config", "numpy", "zarr", "Python"} <= set(found["made_with"])
    assert set(found["seam_index"]) <= set("zyx") and found["no_data"] == 0


def test_the_worst_seam_is_shown():
    found = _seams({"a": {"seam_index": {"z": 1.01, "y": 0.9}}, "b": {"seam_index": {"z": 0.98}}})
    assert found == {"z": 0.98, "y": 0.9}


def test_an_ome_tiff_opens_with_the_right_axes_and_sizes(restored):
    made, plan, _ = restored
    made.finish()
    path = export_ome_tiff(plan, plan.volumes[0], made.records[0])
    written = path.stat().st_mtime_ns
    assert export_ome_tiff(plan, plan.volumes[0], made.records[0]) == path
    assert path.stat().st_mtime_ns == written
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff and file.is_ome
        assert file.series[0].axes == "TCZYX"
        assert np.array_equal(file.series[0].asarray(), TCZYX[:, [2, 1]])
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{a}"] for a in "ZYX"] == pytest.approx(VOXEL)
    assert {pixels[f"PhysicalSize{a}Unit"] for a in "ZYX"} == {"µm"}
    volume = open_volume(path)
    assert volume.voxel_size_um == pytest.approx(VOXEL)
    assert (volume.channel_names, volume.time_interval_s) == (("rfp", "gfp"), 3.0)


def test_an_ome_tiff_has_a_pyramid(tmp_path):
    data = np.random.default_rng(0).normal(100, 5, (1, 1, 3, 300, 520)).astype(np.float32)
    data[0, 0, 0, :9] = np.nan

    class Level:
        chunks, shape, dtype = (1, 1, 2, 300, 520), data.shape, data.dtype

        def __getitem__(self, index):
            return data[index]

    write_ome_tiff(
        tmp_path / "v.ome.tif",
        Level(),
        name="v",
        voxel_size_um=VOXEL,
        channel_names=["a"],
        channel_colors=["FF0080"],
        time_interval_s=None,
    )
    with tifffile.TiffFile(tmp_path / "v.ome.tif") as file:
        levels = file.series[0].levels
        assert [level.shape[-2:] for level in levels] == [
            (300, 520),
            (150, 260),
            (75, 130),
            (37, 65),
        ]
        assert np.array_equal(levels[0].asarray(), data[0, 0], equal_nan=True)
        expected = data[0, 0, 1].reshape(75, 4, 130, 4).mean((1, 3))
        assert np.allclose(levels[2].asarray()[1], expected, rtol=1e-5)
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert pixels["Channel"]["Color"] == int.from_bytes(b"\xff\x00\x80\xff", "big", signed=True)
    assert [p.name for p in tmp_path.iterdir()] == ["v.ome.tif"]
