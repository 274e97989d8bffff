"""Channel names, colours and times of an acquisition are kept, whatever its format says them in."""

import numpy as np
import pytest
import tifffile
import zarr
from test_volumes import VOXEL, ome_tiff, run_ingest

from decon3d.volumes.ingest import VolumeRecord
from decon3d.volumes.ome_tiff import write_ome_tiff
from decon3d.volumes.reader import open_volume
from decon3d.volumes.writer import create_level, image_attributes

COUNTS = np.random.default_rng(0).integers(90, 4000, (4, 3, 5, 24, 20)).astype(np.uint16)
COLORS = ("0000FF", "FF8000", "FFFFFF")
RGBA = [255 * 2**8 + 255, 0xFF8000FF - 2**32, None]
"""The same as OME says them: RGBA as a signed integer; None is none, which means white."""


def as_ome_tiff(path, interval, unit):
    channels = {"Name": ["dapi", "gfp", "rfp"], "Color": RGBA}
    time = {"TimeIncrement": interval, **({"TimeIncrementUnit": unit} if unit else {})}
    meta = {"axes": "TCZYX", "Channel": channels, **time}
    tifffile.imwrite(path, COUNTS, metadata=meta, ome=True)


def as_imagej(path, interval, unit):
    ramp = np.arange(256)
    tables = [
        np.stack([ramp * int(c[i : i + 2], 16) // 255 for i in (0, 2, 4)]).astype(np.uint8)
        for c in COLORS
    ]
    meta = {"axes": "TZCYX", "LUTs": tables, "finterval": interval}
    meta |= {"tunit": unit} if unit else {}
    tifffile.imwrite(path, COUNTS.transpose(0, 2, 1, 3, 4), imagej=True, metadata=meta)


def as_ome_zarr(path, interval, unit):
    level = create_level(path, shape=COUNTS.shape, dtype="uint16", chunk=(5, 24, 20))
    level[:] = COUNTS
    attributes = image_attributes(
        name="v", factors=[(1, 1, 1)], voxel_size_um=VOXEL, windows=[(0, 1)] * 3,
        channel_names=["dapi", "gfp", "rfp"], channel_colors=list(COLORS), time_interval_s=interval,
    )  # fmt: skip
    attributes["ome"]["multiscales"][0]["axes"][0]["unit"] = unit
    zarr.create_group(path, attributes=attributes)


@pytest.mark.parametrize(
    ("write", "interval", "unit", "seconds"),
    [
        (as_ome_tiff, 1500.0, "ms", 1.5),
        (as_ome_tiff, 2.0, "min", 120.0),
        (as_ome_tiff, 3.0, None, 3.0),
        (as_ome_tiff, 3.0, "reference frame", None),
        (as_imagej, 2.0, "min", 120.0),
        (as_imagej, 0.25, None, 0.25),
        (as_ome_zarr, 1500.0, "millisecond", 1.5),
        (as_ome_zarr, 2.0, "hour", 7200.0),
    ],
)
def test_colours_and_time_are_read(write, interval, unit, seconds, tmp_path):
    write(tmp_path / "v", interval, unit)
    volume = open_volume(tmp_path / "v")
    assert volume.time_interval_s == seconds
    assert volume.channel_colors == COLORS
    assert np.array_equal(volume.data.compute(), COUNTS)


def test_a_converted_tiff_keeps_colours_and_time(tmp_path):
    as_ome_tiff(tmp_path / "v.ome.tif", 2.0, "min")
    record = run_ingest(tmp_path / "v.ome.tif", tmp_path, voxel_size_um=VOXEL)
    view = record.open()
    assert (view.channel_colors, view.time_interval_s) == (COLORS, 120.0)
    assert view.channel_names == ("dapi", "gfp", "rfp")


def test_a_file_without_colours_has_none(tmp_path):
    ome_tiff(tmp_path / "v.tif")
    assert open_volume(tmp_path / "v.tif").channel_colors == ()


def test_an_ome_tiff_with_a_pyramid_is_read_at_full_resolution(tmp_path):
    wide = np.tile(COUNTS[:1, :, :2], (1, 1, 1, 12, 15))
    level = zarr.array(wide, chunks=(1, 1, 2, 288, 300))
    write_ome_tiff(
        tmp_path / "v.ome.tif", level, name="v", voxel_size_um=VOXEL,
        channel_names=["dapi", "gfp", "rfp"], channel_colors=list(COLORS), time_interval_s=2.0,
    )  # fmt: skip
    with tifffile.TiffFile(tmp_path / "v.ome.tif") as file:
        assert file.is_bigtiff and len(file.series[0].levels) > 1
    volume = open_volume(tmp_path / "v.ome.tif")
    assert np.array_equal(volume.data.compute(), wide)
    assert (volume.channel_colors, volume.time_interval_s) == (COLORS, 2.0)


def record(names, colors=()):
    return VolumeRecord(
        "v", "v", "v", (16, 2, 4, 5, 6), "uint16", VOXEL, "metadata", list(names), list(colors),
        2.0, {}, {}, {}, {}, {}, {}, {},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("times", "seconds"),
    [(None, 2.0), ([0, 1, 2], 2.0), ([0, 5, 10], 10.0), ([4], 2.0), ([0, 5, 6], None), ([3, 1], None)],
)  # fmt: skip
def test_chosen_times_have_their_own_interval(times, seconds):
    assert record(["a", "b"]).kept({"x": 0}, times)["time_interval_s"] == seconds


def test_a_channel_keeps_its_name_in_the_file_if_it_has_one():
    chosen = {"gfp": 1, "dapi": 0}
    named = record(["DAPI", "GFP narrow"], ["0000FF", "00FF00"]).kept(chosen, None)
    assert named["channel_names"] == ["GFP narrow", "DAPI"]
    assert named["channel_colors"] == ["00FF00", "0000FF"]
    assert named["voxel_size_um"] == VOXEL
    assert record(["DAPI", "channel 1"]).kept(chosen, None)["channel_names"] == ["gfp", "DAPI"]
