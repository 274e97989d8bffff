"""Wide planes are ingested in little memory, and nothing that is found depends on how."""

import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.volumes import channel_accumulator, slabs
from decon3d.volumes import ingest as ingesting
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import Volume
from decon3d.volumes.slabs import SlabFile, strips
from support.volumes import own_volume

SHAPE = (32, 300, 200)
CAP = 2**18
"""A seventh of the volume in uint16, two rows of the chunks of the OME-Zarr."""


def deskewed(dtype):
    """Noise in a sheared box with fill around it and bright specks."""
    rng = np.random.default_rng(1)
    image = rng.poisson(100, SHAPE).astype(dtype)
    z, y, _ = np.indices(SHAPE)
    image[np.abs(y - 2 * z - 100) > 90] = 7
    image[4, 100:110] = 65535
    return image


def write_tiff(path, image):
    tifffile.imwrite(path, image, photometric="minisblack")


def write_zarr(path, image):
    own_volume(path, image, chunk=(8, 40, 200))


def run(path, folder):
    return ingest(
        str(path),
        record_path=folder / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=(1, 1, 1),
        times=None,
        key="d",
    )


@pytest.fixture
def little(monkeypatch):
    """Allow little memory; the sizes of what is read and counted at a time, in bytes and voxels."""
    sizes = {"read": [], "counted": []}
    read, of = Volume.read, channel_accumulator.Histogram.of.__func__

    def reading(self, *place):
        values = read(self, *place)
        sizes["read"].append(values.nbytes)
        return values

    def counting(cls, values, **options):
        sizes["counted"].append(values.size)
        return of(cls, values, **options)

    def start():
        monkeypatch.setattr(slabs, "SLAB_BYTES", CAP)
        monkeypatch.setattr(ingesting, "SLAB_BYTES", CAP)
        monkeypatch.setattr(channel_accumulator, "STRIP_VOXELS", CAP // 2)
        monkeypatch.setattr(Volume, "read", reading)
        monkeypatch.setattr(channel_accumulator.Histogram, "of", classmethod(counting))
        return sizes

    return start


@pytest.mark.parametrize("write", [write_tiff, write_zarr])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32, ">u2"])
def test_regions_are_small_and_results_the_same(write, dtype, tmp_path, little):
    image = deskewed(np.dtype(dtype).newbyteorder("=") if write is write_zarr else dtype)
    write(tmp_path / "v", image)
    whole = run(tmp_path / "v", tmp_path / "whole")
    sizes = little()
    cut = run(tmp_path / "v", tmp_path / "cut")
    assert asdict(replace(cut, path=whole.path)) == asdict(whole)
    assert whole.no_data == {"0": 7.0} and whole.filled["0"] > 1e5
    assert np.array_equal(cut.open().data[0, 0].compute(), image)
    assert max(sizes["read"]) <= CAP < image.nbytes / 4
    assert max(sizes["counted"]) <= CAP // 2
    files = [
        [p.relative_to(f) for p in sorted(f.rglob("*"))]
        for f in (tmp_path / "cut", tmp_path / "whole")
    ]
    assert files[0] == files[1]  # the slab's own file is gone


def test_memory_does_not_grow_with_the_plane(tmp_path, little):
    peaks = []
    little()
    for height in (600, 2400):
        own_volume(tmp_path / "v", np.full((32, height, 100), 100, np.uint16), chunk=(8, 40, 100))
        tracemalloc.start()
        run(tmp_path / "v", tmp_path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_a_slab_in_a_file_is_written_in_whole_chunks(tmp_path, little, monkeypatch):
    write_tiff(tmp_path / "v", deskewed("uint16"))
    little()
    starts = []
    write = zarr.Array.__setitem__

    def writing(self, place, values):
        if self.shape == (1, 1, *SHAPE):
            starts.append(tuple(s.start for s in place[2:]))
        write(self, place, values)

    monkeypatch.setattr(zarr.Array, "__setitem__", writing)
    run(tmp_path / "v", tmp_path / "r")
    assert starts == [(0, 0), (0, 128)]


def test_a_slab_file_gives_back_what_it_got(tmp_path):
    image = np.random.default_rng(0).normal(size=(5, 11, 7)).astype(">f4")
    slab = SlabFile(tmp_path, image.shape, image.dtype)
    for z in (slice(3, 5), slice(0, 3)):
        for y in (slice(0, 4), slice(4, 11)):
            slab[z, y] = image[z, y]
    assert np.array_equal(slab[:, 2:9], image[:, 2:9])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("height", "rows"), [(7, [7]), (8, [8]), (20, [8, 12]), (24, [8, 8, 8])])
def test_strips_hold_whole_cells(height, rows):
    found = list(strips((4, height, 10), multiple=8, most=1, reach=3))
    assert [inner.stop - inner.start for _, inner in found] == rows
    assert found[-1][0].stop == height and found[0][0].start == 0
    assert all(wide.start == max(0, sum(rows[:i]) - 3) for i, (wide, _) in enumerate(found))
