"""A store that was written here is read as it was written, or refused by the name of the file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from decon3d.errors import DamagedError
from decon3d.files import read_json, write_json
from decon3d.pairs.stores import write_store
from decon3d.volumes.checked_stores import open_array, open_group, open_store
from decon3d.volumes.manifest import MANIFEST, damages, is_own
from decon3d.volumes.reader import open_volume
from decon3d.volumes.writer import create_level, write_metadata, write_pyramid

COUNTS = np.random.default_rng(0).integers(90, 4000, (2, 1, 6, 50, 150)).astype(np.uint16)
COUNTS[0, 0, :2, :25, :75] = 0  # a chunk of nothing but the fill value
CHUNK = (2, 25, 75)


def write(path: Path, *, shard=None) -> Path:
    level = create_level(path, shape=COUNTS.shape, dtype="uint16", chunk=CHUNK, shard=shard)
    for time in range(2):
        level[time] = COUNTS[time]
    write_metadata(
        path,
        name="v",
        factors=write_pyramid(path),
        voxel_size_um=(1, 1, 1),
        channel_names=["a"],
        windows=[(0, 1)],
    )
    return path


@pytest.fixture(scope="module", params=["chunks", "shards"])
def pristine(request, tmp_path_factory):
    shard = (4, 50, 75) if request.param == "shards" else None
    return write(tmp_path_factory.mktemp(request.param) / "v.ome.zarr", shard=shard)


@pytest.fixture
def store(pristine, tmp_path):
    return Path(shutil.copytree(pristine, tmp_path / "v.ome.zarr"))


def files_of(store: Path, level: int = 0) -> list[Path]:
    return sorted(f for f in (store / str(level) / "c").rglob("*") if f.is_file())


def read_all(store: Path) -> None:
    for level in (0, 1):
        volume = open_volume(store, level=level)
        for time in range(2):
            volume.read(time, 0, (slice(None),) * 3)


def test_an_undamaged_store_reads_as_written(store):
    assert np.array_equal(open_volume(store).data.compute(), COUNTS)
    assert np.array_equal(zarr.open_group(store, mode="r")["0"][:], COUNTS)
    assert damages(store) == []
    files = read_json(store / MANIFEST)["files"]
    written = {str(f.relative_to(store)): f.stat().st_size for f in store.rglob("*") if f.is_file()}
    assert {name: size for name, (size, _) in files.items()} == {
        name: size for name, size in written.items() if name != MANIFEST
    }


def damage_file(path: Path, kind: str, rng: np.random.Generator) -> None:
    content = path.read_bytes()
    if kind == "deleted":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[: int(rng.integers(len(content)))])
    elif kind == "zeros":
        path.write_bytes(bytes(len(content)))
    elif kind == "flipped":
        bit = int(rng.integers(8 * len(content)))
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)


@pytest.mark.parametrize("kind", ["deleted", "cut", "zeros", "flipped"])
def test_every_damage_is_refused_by_the_name_of_its_file(store, kind):
    rng = np.random.default_rng(5)
    every = [*rng.permutation(files_of(store))[:4], *files_of(store, 1)[:1], *store.rglob("*.json")]
    for path in every:
        content = path.read_bytes()
        damage_file(path, kind, rng)
        with pytest.raises(DamagedError) as found:
            read_all(store)
        assert found.value.path == path, found.value
        assert [error.path for error in damages(store)] == [path]
        path.write_bytes(content)
    read_all(store)


def test_files_that_changed_places_are_refused(store):
    rng = np.random.default_rng(6)
    files = files_of(store)
    for _ in range(8):
        one, other = (files[i] for i in rng.permutation(len(files))[:2])
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)
        with pytest.raises(DamagedError) as found:
            read_all(store)
        assert found.value.path in (one, other)
        assert {error.path for error in damages(store)} == {one, other}
        one.write_bytes(first)
        other.write_bytes(second)


def test_a_valid_chunk_with_other_values_is_refused(store):
    volume = zarr.open_array(str(store / "0"), mode="r+")
    volume[:] = volume[:] + 1  # as a tool would that does not know of the manifest
    with pytest.raises(DamagedError, match=r"0/c/\S+ (does not match the manifest|has \d+ bytes)"):
        open_volume(store).read(0, 0, (slice(None),) * 3)


def test_only_what_is_read_is_compared(store):
    *_, last = files_of(store)
    last.unlink()
    volume = open_volume(store)
    assert np.array_equal(volume.read(0, 0, (slice(None),) * 3), COUNTS[0, 0])
    with pytest.raises(DamagedError):
        volume.read(1, 0, (slice(None),) * 3)


def test_sizes_show_what_is_missing_or_cut_without_reading(store):
    first, second, third, *_ = files_of(store)
    first.unlink()
    damage_file(second, "cut", np.random.default_rng(0))
    damage_file(third, "flipped", np.random.default_rng(0))
    assert [error.path for error in damages(store, look="sizes")] == [first, second]
    assert {first, second} <= {error.path for error in damages(store, look="checksums")}
    assert [error.path for error in damages(store)] == [first, second, third]


def test_an_altered_manifest_is_refused(store):
    content = read_json(store / MANIFEST)
    content["files"]["0/c/0/0/0/0/0"][1] ^= 1
    write_json(store / MANIFEST, content)
    with pytest.raises(DamagedError, match=r"manifest\.json is damaged"):
        open_volume(store)


def test_a_store_without_its_manifest_or_metadata_is_still_ours(store):
    (store / MANIFEST).unlink()
    assert is_own(store)
    with pytest.raises(DamagedError, match=r"manifest\.json is missing"):
        open_volume(store)


def test_a_chunk_that_is_missing_while_a_store_is_made_is_an_error(tmp_path):
    level = create_level(tmp_path / "v", shape=COUNTS.shape, dtype="uint16", chunk=CHUNK)
    level[0] = COUNTS[0]
    with pytest.raises(DamagedError, match=r"0/c/1/0/\S+ is missing"):
        open_array(tmp_path / "v", "0")[1]
    with pytest.raises(DamagedError, match="is missing"):
        write_metadata(
            tmp_path / "v",
            name="v",
            factors=[(1, 1, 1)],
            voxel_size_um=(1, 1, 1),
            channel_names=["a"],
            windows=[(0, 1)],
        )
    assert not is_own(tmp_path / "v")


def test_a_store_that_changes_is_no_longer_finished(store):
    create_level(store, shape=COUNTS.shape, dtype="uint16", chunk=CHUNK)
    assert not is_own(store) and not (store / "zarr.json").exists()


def test_pairs_are_checked_too(tmp_path):
    values = np.random.default_rng(1).random((3, 4, 5, 6)).astype(np.float32)
    values[1] = 0  # the fill value
    write_store(tmp_path / "s", {"image": values, "object": values}, {"volumes": 3})
    group = open_store(tmp_path / "s")
    assert np.array_equal(group["image"][:], values)
    damage_file(tmp_path / "s/object/c/2/0/0/0", "flipped", np.random.default_rng(2))
    with pytest.raises(DamagedError, match="object/c/2/0/0/0 does not match its checksum"):
        open_group(tmp_path / "s")["object"][:]
    (tmp_path / "s/image/c/1/0/0/0").unlink()
    with pytest.raises(DamagedError, match="image/c/1/0/0/0 is missing"):
        open_group(tmp_path / "s")["image"][1]


def test_a_store_from_elsewhere_may_leave_out_chunks(tmp_path):
    array = zarr.create_group(tmp_path / "s").create_array(
        "a", shape=(4, 4), dtype="f4", chunks=(2, 2)
    )
    assert not is_own(tmp_path / "s")
    assert np.array_equal(open_group(tmp_path / "s")["a"][:], array[:])
