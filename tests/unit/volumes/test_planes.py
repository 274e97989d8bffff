"""Inputs of many files: a folder of planes; and of large ones: BigTIFF, sharded OME-Zarr."""

import tracemalloc

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.pairs.sources import _files
from decon3d.settings import Dataset, list_volumes
from decon3d.volumes.reader import Reading, open_volume
from support.volumes import VOXEL, own_volume, run_ingest

STACK = np.random.default_rng(0).integers(90, 4000, (12, 40, 36)).astype(np.uint16)
WHOLE = (slice(None),) * 3


@pytest.fixture
def folder(tmp_path):
    """Planes z0 … z11, and what else lies in such a folder."""
    made = tmp_path / "fish"
    made.mkdir()
    for z, plane in enumerate(STACK):
        ending = "TIF" if z == 3 else "tif"
        tifffile.imwrite(made / f"fish z{z}.{ending}", plane, compression="zlib", rowsperstrip=7)
    (made / "settings.xml").write_text("<exposure/>")
    (made / "._fish z0.tif").write_text("macOS")
    return made


def test_a_folder_of_planes_is_one_stack(folder, tmp_path):
    volume = open_volume(folder)
    assert volume.shape == (1, 1, 12, 40, 36) and volume.dtype == np.uint16
    assert volume.voxel_size_um is None
    region = (slice(2, 11), slice(3, 30), slice(0, 9))  # z10 comes after z9, not after z1
    assert np.array_equal(volume.read(0, 0, region), STACK[region])
    assert np.array_equal(volume.data[0, 0].compute(), STACK)
    record = run_ingest(folder, tmp_path, channels={"a": 0}, voxel_size_um=VOXEL)
    assert record.path.endswith("results/v.ome.zarr")
    assert np.array_equal(record.open().data[0, 0].compute(), STACK)
    assert record.histogram(0).counts.sum() == STACK.size


def test_planes_have_the_voxel_size_that_their_metadata_tell_in_full(tmp_path):
    for z in range(3):
        sizes = {f"PhysicalSize{a}": v for a, v in zip("ZYX", VOXEL, strict=True)}
        meta = {"axes": "YX", **sizes, "Channel": {"Name": "gfp", "Color": 0x00FF00FF}}
        tifffile.imwrite(tmp_path / f"{z}.ome.tif", STACK[z], ome=True, metadata=meta)
    volume = open_volume(tmp_path)
    assert volume.shape == (1, 1, 3, 40, 36) and volume.voxel_size_um == VOXEL
    assert (volume.channel_names, volume.channel_colors) == (("gfp",), ("00FF00",))


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (STACK[0, :39], r"z5\.tif has \(39, 36\) pixels \(Y, X\) of type uint16"),
        (STACK[0].astype(np.uint8), r"z5\.tif has \(40, 36\) pixels \(Y, X\) of type uint8"),
        (STACK[:4], r"z5\.tif is not a single plane"),
        (None, r"z5\.tif cannot be read"),
    ],
)
def test_an_odd_plane_is_named(folder, plane, said, tmp_path):
    name = folder / "fish z5.tif"
    if plane is None:
        name.write_bytes(b"half a TIFF")
    else:
        tifffile.imwrite(name, plane, photometric="minisblack")
    with pytest.raises(UserError, match=said):
        run_ingest(folder, tmp_path, channels={"a": 0}, voxel_size_um=VOXEL)


def test_a_folder_of_volumes_is_no_volume(tmp_path):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", STACK, photometric="minisblack")
    with pytest.raises(UserError, match=r"a\.tif is not a single plane .* give a glob"):
        open_volume(tmp_path)


def test_planes_are_read_one_at_a_time(tmp_path):
    plane = np.zeros((300, 300), np.uint16)
    for z in range(40):
        tifffile.imwrite(tmp_path / f"{z}.tif", plane)
    volume = open_volume(tmp_path)
    tracemalloc.start()
    volume.read(0, 0, (slice(0, 40), slice(0, 10), slice(0, 10)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * plane.nbytes


def test_the_config_lists_folders_as_volumes(folder):
    optics = {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333}
    channels = {"a": {"emission_um": 0.5}}
    dataset = Dataset(volumes=f"{folder.parent}/*/", optics=optics, channels=channels)
    (found,) = list_volumes("d", dataset).values()
    assert (found.name, found.path.rstrip("/")) == ("fish", str(folder))
    assert len(_files(str(folder))) == 13  # of pairs, a folder holds volumes, as before


def test_a_bigtiff_is_read(tmp_path):
    path = tmp_path / "v.btf"
    tifffile.imwrite(path, STACK, bigtiff=True, photometric="minisblack")
    assert path.read_bytes()[2] == 43
    assert np.array_equal(open_volume(path).read(0, 0, WHOLE), STACK)


def test_a_sharded_ome_zarr_is_read_in_place(tmp_path):
    store = tmp_path / "v.zarr"
    own_volume(store, STACK, chunk=(2, 10, 12), shard=(4, 20, 36), voxel_size_um=VOXEL)
    record = run_ingest(store, tmp_path, channels={"a": 0})
    assert record.path == str(store) and not (tmp_path / "results" / "v.ome.zarr").exists()
    assert record.open().array.shards == (1, 1, 4, 20, 36)
    assert np.array_equal(record.open().read(0, 0, WHOLE), STACK)
    assert record.histogram(0).counts.sum() == STACK.size


def names_of(*patterns, count=6):
    """Names of planes: `#` is their number."""
    return [name.replace("#", str(z)) for name in patterns for z in range(count)]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            names_of("z#.tif")[:3] + names_of("z#.tif")[4:],
            r"between z2\.tif and z4\.tif .*3 is mis",
        ),
        (names_of("f_C0_z#.tif", "f_C1_z#.tif"), r"f_C0_z0\.tif.* f_C# and _z# change"),
        (names_of("f_z#_ch00.tif", "f_z#_ch01.tif"), "one channel and time point"),
        (names_of("f_w1_#.tif", "f_w2_#.tif"), "one channel and time point"),
        (names_of("dapi_#.tif", "gfp_#.tif"), "dapi_0.* and gfp_0.* have different"),
        ([*names_of("z#.tif"), "MAX_z.tif"], r"z0\.tif and MAX_z\.tif have different"),
        ([*names_of("z#.tif"), "MAX_z1.tif"], r"z0\.tif and MAX_z1\.tif have different"),
        ([*names_of("z#.tif"), "z3 (copy).tif"], r"copy.* have different name patterns"),
        (["f_ch00.tif", "f_ch01.tif"], "the number of f_ch# looks like a channel"),
        (["f_c1.tif", "f_c2.tif", "f_c3.tif"], "looks like a channel"),
        (names_of("f_t#.tif"), "looks like a channel or time point"),
        ([*names_of("z#.tif"), "z03.tif"], "one channel and time point"),
    ],
)
def test_names_that_are_not_one_sequence_are_refused(names, said, tmp_path):
    for number, name in enumerate(names):
        tifffile.imwrite(tmp_path / name, STACK[number % 12])
    with pytest.raises(UserError, match=said):
        open_volume(tmp_path)
    volume = open_volume(tmp_path, reading=Reading(axes="ZYX"))  # as if confirmed
    assert volume.shape[2] == len(names)


@pytest.mark.parametrize(
    "names",
    [
        names_of("fish_ch00_z#.tif"),
        names_of("#.ome.tif"),
        [f"scan 2024-05-0{z + 1} 10h{7 * z:02d} plane {z:03d}.tif" for z in range(6)],
        [f"z{5 * z}.tif" for z in range(6)],
        [f"z{z:03d}_of_006.tiff" for z in range(1, 7)],
    ],
)
def test_one_sequence_is_read_in_its_order(names, tmp_path):
    for number, name in enumerate(names):
        tifffile.imwrite(tmp_path / name, STACK[number])
    assert np.array_equal(open_volume(tmp_path).read(0, 0, WHOLE), STACK[:6])


def test_a_cut_plane_is_refused_by_name(folder, tmp_path):
    whole = (folder / "fish z7.tif").read_bytes()
    (folder / "fish z7.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"fish z7\.tif"):
        run_ingest(folder, tmp_path, channels={"a": 0}, voxel_size_um=VOXEL)


def test_imagej_planes_state_no_step(tmp_path):
    for z in range(3):
        meta = {"axes": "YX", "unit": "um"}
        tifffile.imwrite(
            tmp_path / f"{z}.tif", STACK[z], imagej=True, resolution=(10, 10), metadata=meta
        )
    volume = open_volume(tmp_path)
    assert volume.voxel_size_um is None and "no size along Z" in volume.voxel_size_problem
