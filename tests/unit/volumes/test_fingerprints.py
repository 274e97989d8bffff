"""A fingerprint changes with a file's size, time or inode, and with nothing else."""

import os
import shutil

import numpy as np
import pytest
import tifffile

from decon3d.volumes import fingerprints
from decon3d.volumes.fingerprints import fresh_fingerprint, ome_set

XML = (
    '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    '<Image ID="Image:0"><Pixels ID="Pixels:0"><TiffData><UUID FileName="{0}">u</UUID></TiffData>'
    "</Pixels></Image></OME>"
)


def replaced(path, *, seconds=0):
    """Put a copy in a file's place, with its time moved."""
    stat = path.stat()
    shutil.copy(path, path.with_name("copy"))
    time = stat.st_mtime_ns + int(seconds * 1e9)
    os.utime(path.with_name("copy"), ns=(time, time))
    os.replace(path.with_name("copy"), path)


def write_zarr(folder, files=8):
    for index in range(files):
        chunk = folder / "0" / "c" / str(index // 4) / str(index)
        chunk.parent.mkdir(parents=True, exist_ok=True)
        chunk.write_bytes(bytes(10))
    (folder / "zarr.json").write_text("{}")


@pytest.mark.parametrize("seconds", [-1000, 0, 1000])
def test_a_replaced_file_is_noticed_whatever_its_time(tmp_path, seconds):
    path = tmp_path / "v.bin"
    path.write_bytes(b"abc")
    before = fresh_fingerprint(path)
    assert fresh_fingerprint(path) == before
    replaced(path, seconds=seconds)
    assert fresh_fingerprint(path) != before


def test_every_plane_counts(tmp_path):
    for z in range(3):
        tifffile.imwrite(tmp_path / f"z{z}.tif", np.zeros((4, 4), np.uint16))
    before = fresh_fingerprint(tmp_path)
    replaced(tmp_path / "z1.tif", seconds=-1000)
    assert fresh_fingerprint(tmp_path) != before


def test_every_file_of_an_ome_tiff_set_counts(tmp_path):
    xml = XML.format("a&amp;b.ome.tif") + XML.format("c.ome.tif")
    for name in ("a&b.ome.tif", "c.ome.tif"):
        tifffile.imwrite(
            tmp_path / name, np.zeros((4, 4), np.uint8), description=xml, metadata=None
        )
    assert ome_set(str(tmp_path / "c.ome.tif")) == [str(tmp_path / "a&b.ome.tif")]
    before = fresh_fingerprint(tmp_path / "c.ome.tif")
    replaced(tmp_path / "a&b.ome.tif", seconds=-1000)
    assert fresh_fingerprint(tmp_path / "c.ome.tif") != before


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_files_that_a_companion_names_count(tmp_path, encoding):
    set_of_two = XML.format("a.ome.tif") + XML.format("b.ome.tif")
    (tmp_path / "set.companion.ome").write_text(set_of_two, encoding=encoding)
    only = '<OME><BinaryOnly MetadataFile="set.companion.ome" UUID="u"/></OME>'
    for name in ("a.ome.tif", "b.ome.tif"):
        tifffile.imwrite(
            tmp_path / name, np.zeros((4, 4), np.uint8), description=only, metadata=None
        )
    path = tmp_path / "a.ome.tif"
    assert ome_set(str(path)) == [str(tmp_path / n) for n in ("b.ome.tif", "set.companion.ome")]
    before = fresh_fingerprint(path)
    replaced(tmp_path / "b.ome.tif", seconds=-1000)
    assert fresh_fingerprint(path) != before
    whole = fresh_fingerprint(tmp_path)
    replaced(tmp_path / "set.companion.ome", seconds=-1000)
    assert fresh_fingerprint(tmp_path) != whole


def test_a_rewritten_deleted_or_new_chunk_is_noticed(tmp_path):
    store = tmp_path / "v.zarr"
    write_zarr(store)
    seen = {fresh_fingerprint(store)}
    chunk = store / "0" / "c" / "1" / "5"
    os.utime(chunk, ns=(10**18, 10**18))
    seen.add(fresh_fingerprint(store))
    chunk.unlink()
    seen.add(fresh_fingerprint(store))
    (store / "0" / "c" / "1" / "9").write_bytes(b"")
    seen.add(fresh_fingerprint(store))
    assert len(seen) == 4
    shutil.copytree(store, tmp_path / "w.zarr", copy_function=shutil.copy2)
    assert fresh_fingerprint(tmp_path / "w.zarr") in seen


def test_of_many_files_a_sample_and_all_folders_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "MOST_FILES", 6)
    monkeypatch.setattr(fingerprints, "SAMPLED", 3)
    store = tmp_path / "v.zarr"
    write_zarr(store)
    before = fresh_fingerprint(store)
    # As zarr writes: a new file in the old one's place.
    replaced(store / "0" / "c" / "1" / "7", seconds=-1000)
    assert fresh_fingerprint(store) != before


def test_linked_folders_are_looked_into_once(tmp_path):
    store = tmp_path / "v.zarr"
    write_zarr(tmp_path / "elsewhere")
    store.mkdir()
    (store / "0").symlink_to(tmp_path / "elsewhere" / "0")
    (tmp_path / "elsewhere" / "0" / "loop").symlink_to(tmp_path / "elsewhere" / "0")
    before = fresh_fingerprint(store)
    os.utime(tmp_path / "elsewhere" / "0" / "c" / "1" / "5", ns=(10**18, 10**18))
    assert fresh_fingerprint(store) != before
