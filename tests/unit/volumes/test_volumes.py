"""Reading and writing volumes: axes, voxel sizes, counts."""

import sys
from datetime import timedelta
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr_models.v05.image import Image

from decon3d.errors import UserError
from decon3d.volumes.reader import Reading, open_volume
from decon3d.volumes.statistics import channel_statistics
from decon3d.volumes.volume_record import load_record
from decon3d.volumes.writer import create_level, write_metadata, write_pyramid
from support.volumes import TCZYX, VOXEL, ome_tiff, run_ingest

RNG = np.random.default_rng(1)


def imagej_tiff(path):
    data = TCZYX.transpose(0, 2, 1, 3, 4)
    meta = {"axes": "TZCYX", "spacing": 0.5, "unit": "um", "finterval": 3.0}
    tifffile.imwrite(path, data, imagej=True, resolution=(10.0, 5.0), metadata=meta)


def ome_zarr_04(path):
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("s0", data=TCZYX, chunks=(1, 1, 2, 20, 20))
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    axes += [{"name": a, "type": "space", "unit": "nanometer"} for a in "zyx"]
    scale = {"type": "scale", "scale": [3.0, 1.0, 500.0, 200.0, 100.0]}
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": axes,
            "datasets": [{"path": "s0", "coordinateTransformations": [scale]}],
        }
    ]


def ome_zarr_05(path):
    array = create_level(path, shape=TCZYX.shape, dtype="uint16", chunk=(2, 20, 20))
    array[:] = TCZYX
    write_metadata(
        path,
        name="x",
        factors=[(1, 1, 1)],
        voxel_size_um=VOXEL,
        windows=[(0, 1)] * 3,
        channel_names=["dapi", "gfp", "rfp"],
        time_interval_s=3.0,
    )


@pytest.mark.parametrize("write", [ome_tiff, imagej_tiff, ome_zarr_04, ome_zarr_05])
def test_every_format_gives_the_same_volume(write, tmp_path):
    path = str(tmp_path / ("v.zarr" if "zarr" in write.__name__ else "v.tif"))
    write(path)
    volume = open_volume(path)
    assert volume.shape == TCZYX.shape
    assert volume.voxel_size_um == pytest.approx(VOXEL)
    assert volume.time_interval_s == 3.0
    region = (slice(1, 4), slice(3, 30), slice(0, 9))
    assert np.array_equal(volume.read(1, 2, region), TCZYX[(1, 2, *region)])
    assert np.array_equal(volume.data[0, 1].compute(), TCZYX[0, 1])
    if write in (ome_tiff, ome_zarr_05):
        assert volume.channel_names == ("dapi", "gfp", "rfp")


def test_a_bare_stack_is_z_y_x_without_a_voxel_size(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", TCZYX[0, 0])
    volume = open_volume(tmp_path / "v.tif")
    assert volume.shape == (1, 1, 5, 40, 36)
    assert volume.voxel_size_um is None


@pytest.mark.parametrize(
    ("array", "said"),
    [(np.zeros((4, 5, 6), np.complex64), "complex64"), (np.zeros((40, 50, 3), np.uint8), "RGB")],
)
def test_what_is_no_volume_is_refused(array, said, tmp_path):
    tifffile.imwrite(
        tmp_path / "v.tif",
        array,
        photometric="rgb" if array.ndim == 3 and array.shape[-1] == 3 else "minisblack",
    )
    with pytest.raises(UserError, match=said):
        open_volume(tmp_path / "v.tif")


def test_a_file_that_is_no_tiff_is_refused(tmp_path):
    (tmp_path / "v.tif").write_text("no tiff")
    with pytest.raises(UserError, match="cannot be read as TIFF"):
        open_volume(tmp_path / "v.tif")


def test_ingest_keeps_counts_and_metadata(tmp_path):
    ome_tiff(tmp_path / "v.tif")
    run_ingest(tmp_path / "v.tif", tmp_path)
    record = load_record(tmp_path / "results" / "v.json")
    view = record.open()
    assert np.array_equal(view.data.compute(), TCZYX)
    assert view.voxel_size_um == pytest.approx(VOXEL)
    assert view.channel_names == ("dapi", "gfp", "rfp")
    assert record.histogram(1).counts.sum() == TCZYX[:, 1].size
    Image.from_zarr(zarr.open_group(record.path, mode="r"))


def test_an_ome_zarr_is_read_in_place(tmp_path):
    ome_zarr_05(tmp_path / "v.zarr")
    record = run_ingest(tmp_path / "v.zarr", tmp_path, times=[1])
    assert record.path == str(tmp_path / "v.zarr")
    assert [p.name for p in (tmp_path / "results").iterdir()] == ["v.json"]
    assert record.histogram(1).counts.sum() == TCZYX[1, 1].size


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"channels": {"far": 3}}, r"datasets\.d\.channels\.far\.index: 3, but .* has 3 channel"),
        ({"times": [0, 7]}, r"datasets\.d\.times: 7, but .* has 2 time points"),
    ],
)
def test_what_a_volume_lacks_is_named(options, said, tmp_path):
    ome_tiff(tmp_path / "v.tif")
    with pytest.raises(UserError, match=said):
        run_ingest(tmp_path / "v.tif", tmp_path, **options)


def test_a_missing_voxel_size_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", TCZYX[0, 0])
    with pytest.raises(UserError, match=r"datasets\.d\.voxel_size_um"):
        run_ingest(tmp_path / "v.tif", tmp_path, channels={"a": 0})


def test_volumes_of_another_microscope_do_not_mix(tmp_path):
    ome_tiff(tmp_path / "v.tif")
    one = run_ingest(tmp_path / "v.tif", tmp_path)
    two = run_ingest(tmp_path / "v.tif", tmp_path, voxel_size_um=(0.6, 0.2, 0.1))
    with pytest.raises(UserError, match="make two datasets"):
        channel_statistics([one, two], channel=1, camera_offset=None, fixed=None, key="datasets.d")


def test_nan_and_saturation_are_counted(tmp_path):
    values = RNG.normal(100, 5, (4, 30, 30)).astype(np.float32)
    values[0, 0, :3] = np.nan
    tifffile.imwrite(tmp_path / "f.tif", values, photometric="minisblack")
    record = run_ingest(tmp_path / "f.tif", tmp_path, channels={"a": 0}, voxel_size_um=VOXEL)
    assert record.not_finite == {"0": 3}
    full = np.full((4, 30, 30), 255, np.uint8)
    full[0] = 3
    tifffile.imwrite(tmp_path / "u.tif", full, photometric="minisblack")
    record = run_ingest(tmp_path / "u.tif", tmp_path, channels={"a": 0}, voxel_size_um=VOXEL)
    assert record.saturated == {"0": 2700}


def test_a_pyramid_averages_and_balances_the_axes(tmp_path):
    data = RNG.normal(100, 5, (1, 1, 20, 300, 140)).astype(np.float32)
    level = create_level(tmp_path / "v", shape=data.shape, dtype="float32", chunk=(20, 64, 64))
    level[:] = data
    factors = write_pyramid(tmp_path / "v")
    assert factors == [(1, 1, 1), (1, 2, 1), (1, 4, 2)]
    second = zarr.open_array(str(tmp_path / "v" / "2"))[0, 0]
    expected = data[0, 0].reshape(20, 75, 4, 70, 2).mean((2, 4))
    assert np.allclose(second, expected, rtol=1e-5)


class VendorFile:
    """What bioio gives of a file with two time points, two channels and five planes."""

    scenes = ("first", "second")
    physical_pixel_sizes = (0.3, 0.1, 0.1)
    channel_names = ("dapi", "gfp")
    time_interval = timedelta(seconds=2)
    dims = SimpleNamespace(order="TCZYX")
    counts = np.arange(2 * 2 * 5 * 6 * 7, dtype=np.uint16).reshape(2, 2, 5, 6, 7)

    def __init__(self, path):
        self.dask_data = da.from_array(self.counts)

    def set_scene(self, number):
        self.dask_data = da.from_array(self.counts + np.uint16(number))


def test_a_vendor_format_is_read_through_bioio_where_it_is_installed(tmp_path, monkeypatch):
    path = tmp_path / "cells.czi"
    path.write_bytes(b"ZISRAWFILE")
    monkeypatch.setitem(sys.modules, "bioio", None)
    with pytest.raises(UserError, match="pip install bioio"):
        open_volume(path)
    refused = SimpleNamespace(UnsupportedFileFormatError=KeyError)
    monkeypatch.setitem(sys.modules, "bioio", SimpleNamespace(BioImage=VendorFile))
    monkeypatch.setitem(sys.modules, "bioio_base", SimpleNamespace(exceptions=refused))
    monkeypatch.setitem(sys.modules, "bioio_base.exceptions", refused)
    with pytest.raises(UserError, match=r"2 images: 0 \(first\), 1 \(second\)"):
        open_volume(path)
    volume = open_volume(path, reading=Reading(series="second"))
    assert volume.shape == (2, 2, 5, 6, 7) and volume.voxel_size_um == (0.3, 0.1, 0.1)
    assert volume.channel_names == ("dapi", "gfp") and volume.time_interval_s == 2
    region = (slice(1, 3), slice(0, 6), slice(2, 4))
    assert np.array_equal(volume.read(1, 0, region), VendorFile.counts[1, 0][region] + 1)
