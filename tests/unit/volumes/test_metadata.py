"""Channel names, colours and times of an acquisition are kept, whatever its format says them in."""

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.units import micrometres, seconds
from decon3d.volumes.ome_tiff import write_ome_tiff
from decon3d.volumes.reader import open_volume
from decon3d.volumes.writer import create_level, image_attributes
from support.records import volume_record
from support.volumes import VOXEL, ome_tiff, run_ingest

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
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=VOXEL,
        windows=[(0, 1)] * 3,
        channel_names=["dapi", "gfp", "rfp"],
        channel_colors=list(COLORS),
        time_interval_s=interval,
    )
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
        tmp_path / "v.ome.tif",
        level,
        name="v",
        voxel_size_um=VOXEL,
        channel_names=["dapi", "gfp", "rfp"],
        channel_colors=list(COLORS),
        time_interval_s=2.0,
    )
    with tifffile.TiffFile(tmp_path / "v.ome.tif") as file:
        assert file.is_bigtiff and len(file.series[0].levels) > 1
    volume = open_volume(tmp_path / "v.ome.tif")
    assert np.array_equal(volume.data.compute(), wide)
    assert (volume.channel_colors, volume.time_interval_s) == (COLORS, 2.0)


def record(names, colors=()):
    options = {"channel_names": list(names), "channel_colors": list(colors), "voxel_size_um": VOXEL}
    return volume_record("v", shape=(16, 2, 4, 5, 6), time_interval_s=2.0, **options)


@pytest.mark.parametrize(
    ("times", "seconds"),
    [
        (None, 2.0),
        ([0, 1, 2], 2.0),
        ([0, 5, 10], 10.0),
        ([4], 2.0),
        ([0, 5, 6], None),
        ([3, 1], None),
    ],
)
def test_chosen_times_have_their_own_interval(times, seconds):
    assert record(["a", "b"]).kept({"x": 0}, times)["time_interval_s"] == seconds


def test_a_channel_keeps_its_name_in_the_file_if_it_has_one():
    chosen = {"gfp": 1, "dapi": 0}
    named = record(["DAPI", "GFP narrow"], ["0000FF", "00FF00"]).kept(chosen, None)
    assert named["channel_names"] == ["GFP narrow", "DAPI"]
    assert named["channel_colors"] == ["00FF00", "0000FF"]
    assert named["voxel_size_um"] == VOXEL
    assert record(["DAPI", "channel 1"]).kept(chosen, None)["channel_names"] == ["gfp", "DAPI"]


def test_every_plane_of_an_ome_tiff_has_its_position(tmp_path):
    data = zarr.array(COUNTS, chunks=(1, 1, 2, 24, 20))
    write_ome_tiff(
        tmp_path / "v.ome.tif",
        data,
        name="v",
        voxel_size_um=VOXEL,
        channel_names=["a", "b", "c"],
        channel_colors=[],
        time_interval_s=None,
        position_um=(7.0, -2.0, 1500.0),
    )
    volume = open_volume(tmp_path / "v.ome.tif")
    assert volume.position_um == (7.0, -2.0, 1500.0)
    assert np.array_equal(volume.data.compute(), COUNTS)
    with tifffile.TiffFile(tmp_path / "v.ome.tif") as file:
        planes = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]["Plane"]
    assert len(planes) == 60
    for plane in planes:
        assert plane["PositionZ"] == pytest.approx(7.0 + VOXEL[0] * plane["TheZ"])
        assert (plane["PositionX"], plane["PositionY"]) == (1500.0, -2.0)


def test_a_position_is_the_translation_of_every_level():
    made = image_attributes(
        name="v",
        factors=[(1, 1, 1), (1, 2, 2)],
        voxel_size_um=VOXEL,
        windows=[(0, 1)],
        channel_names=["a"],
        position_um=(7.0, -2.0, 1500.0),
    )
    levels = made["ome"]["multiscales"][0]["datasets"]
    shifts = [level["coordinateTransformations"][1]["translation"] for level in levels]
    assert shifts[0] == [0, 0, 7.0, -2.0, 1500.0]
    assert shifts[1] == pytest.approx([0, 0, 7.0, -2.0 + VOXEL[1] / 2, 1500.0 + VOXEL[2] / 2])


@pytest.mark.parametrize(
    ("unit", "metres"),
    [
        ("m", 1.0),
        ("dm", 0.1),
        ("cm", 1e-2),
        ("mm", 1e-3),
        ("µm", 1e-6),
        ("nm", 1e-9),
        ("pm", 1e-12),
        ("fm", 1e-15),
        ("am", 1e-18),
        ("zm", 1e-21),
        ("ym", 1e-24),
        ("dam", 10.0),
        ("hm", 100.0),
        ("km", 1e3),
        ("Mm", 1e6),
        ("Gm", 1e9),
        ("Tm", 1e12),
        ("Pm", 1e15),
        ("Em", 1e18),
        ("Zm", 1e21),
        ("Ym", 1e24),
        ("Å", 1e-10),
        ("thou", 2.54e-5),
        ("li", 0.0254 / 12),
        ("in", 0.0254),
        ("ft", 0.3048),
        ("yd", 0.9144),
        ("mi", 1609.344),
        ("ua", 149597870700.0),
        ("ly", 9.4607304725808e15),
        ("pc", 3.0856775814913673e16),
        ("pt", 0.0254 / 72),
        ("pixel", None),
        ("reference frame", None),
        ("micrometer", 1e-6),
        ("micrometre", 1e-6),
        ("nanometer", 1e-9),
        ("angstrom", 1e-10),
        ("micron", 1e-6),
        ("um", 1e-6),
        ("\\u00B5m", 1e-6),
        ("Micron", 1e-6),
        ("inches", 0.0254),
        ("furlong", None),
        ("", 1e-6),
    ],
)
def test_units_of_length(unit, metres):
    found = micrometres(2.0, unit)
    assert found == (None if metres is None else pytest.approx(2e6 * metres, rel=1e-12))


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "", "a", None, [1]])
def test_what_is_no_number_is_no_length(value):
    assert micrometres(value, "µm") is None and seconds(value, "s") is None
