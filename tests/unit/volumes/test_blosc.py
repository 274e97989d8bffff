"""A chunk of Blosc's that is cut is refused: its decoder would read beyond it."""

import numcodecs
import numpy as np
import pytest
import zarr

from decon3d.errors import UserError
from decon3d.volumes.ome_zarr import ZarrArray
from decon3d.volumes.reader import Reading, open_volume


def blosc_array(path, version, values):
    codec = numcodecs.Blosc("lz4") if version == 2 else zarr.codecs.BloscCodec(cname="lz4")
    zarr.create_array(path, data=values, chunks=(2, 10, 12), zarr_format=version, compressors=codec)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("kept", [0, 10, 355])
def test_a_cut_chunk_of_incompressible_data_is_refused_by_name(tmp_path, version, kept):
    values = np.random.default_rng(0).integers(0, 65535, (4, 20, 24)).astype(np.uint16)
    blosc_array(tmp_path / "v.zarr", version, values)
    volume = open_volume(tmp_path / "v.zarr", reading=Reading(axes="ZYX"))
    everything = (slice(0, 4), slice(0, 20), slice(0, 24))
    assert np.array_equal(volume.read(0, 0, everything), values)
    name = "1.0.1" if version == 2 else "c/1/0/1"
    chunk = tmp_path / "v.zarr" / name
    data = chunk.read_bytes()
    assert len(data) == 16 + 2 * 10 * 12 * 2  # not compressed
    chunk.write_bytes(data[:kept])
    with pytest.raises(UserError, match=name):
        volume.read(0, 0, everything)
    assert np.array_equal(volume.read(0, 0, (slice(0, 2), *everything[1:])), values[:2])


def test_the_store_of_another_codec_is_not_looked_at(tmp_path):
    zarr.create_array(tmp_path / "v.zarr", data=np.zeros((2, 4, 4), "u2"), compressors=None)
    assert not (ZarrArray(str(tmp_path / "v.zarr"))[:, :, :]).any()


def test_an_empty_shard_is_not_one_that_was_never_written(tmp_path):
    array = zarr.create_array(
        str(tmp_path / "a"), shape=(4, 8, 8), chunks=(2, 4, 4), shards=(4, 8, 8), dtype="uint16"
    )
    array[:] = 7
    (tmp_path / "a" / "c" / "0" / "0" / "0").write_bytes(b"")
    with pytest.raises(UserError, match="0/0/0 cannot be read: the file is empty"):
        ZarrArray(str(tmp_path / "a"))[:, :, :]
