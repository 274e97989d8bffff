"""Stores: the same bytes however they are made; whole volumes as files."""

import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import UserError
from decon3d.files import read_json
from decon3d.optics.psf import Psf, fingerprint
from decon3d.phantoms import stores
from decon3d.phantoms.contact_sheet import contact_sheet, pick
from decon3d.phantoms.simulated import draw_volume, simulate_volume
from decon3d.phantoms.stores import make_split, members
from decon3d.settings import Camera, Channel, Optics, Phantoms, Simulation, Split

PHANTOMS = Phantoms(
    shape=(8, 16, 16),
    test=Split(count=2, recipes={"rln_mixed": 1, "tubules": 1}),
)
VOXEL = (0.2, 0.1, 0.1)
OPTICS = Optics(modality="confocal", numerical_aperture=1.2, immersion_index=1.333)
PSF = Psf(np.pad(np.full((3, 3, 3), 1 / 27, np.float32), ((0, 0), (1, 1), (1, 1))), VOXEL)
OTHER_PSF = Psf(np.full((3, 3, 3), 1 / 27, np.float32), VOXEL)


def make(path, **changes):
    options = {
        "split": PHANTOMS.test, "name": "test", "phantoms": PHANTOMS, "psf": PSF, "optics": OPTICS, "channel": Channel(emission_um=0.525),
        "camera": Camera(), "seed": 1, "stream": ("d", "c"),
    }  # fmt: skip
    make_split(path, **{**options, **changes})
    return path


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(tmp_path_factory.mktemp("store") / "test.zarr")


def test_a_store_holds_what_it_says(store):
    group = zarr.open_group(str(store), mode="r")
    assert sorted(group.array_keys()) == ["image", "image_b", "object"]
    for name in group.array_keys():
        array = group[name]
        assert (array.shape, array.chunks) == ((4, 8, 16, 16), (1, 8, 16, 16))
        assert array.dtype == np.float32
        assert np.isfinite(array[:]).all()
        assert (array[:].max(axis=(1, 2, 3)) > 120).all()
    assert (group["image"][:] != group["image_b"][:]).any()
    about = group.attrs.asdict()
    assert about["recipes"] == ["rln_mixed"] * 2 + ["tubules"] * 2
    assert about["photons"] == pytest.approx([50, 500, 50, 500])
    assert len(set(about["seeds"])) == 4
    assert about["camera"] == {"offset": 100, "gain": 1, "read_noise": 1, "bits": None}
    assert about["psf_fingerprint"] == fingerprint(PSF)
    assert about["voxel_size_um"] == list(VOXEL)
    assert not Path(f"{store}.progress").exists()


def test_two_processes_make_the_same_bytes_as_one(store, tmp_path):
    assert content(make(tmp_path / "test.zarr", processes=2)) == content(store)


def test_an_interrupted_store_is_finished_to_the_same_bytes(store, tmp_path, monkeypatch):
    path, made, original = tmp_path / "test.zarr", [], stores._make

    def failing(job, member):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(member.index)
        return original(job, member)

    monkeypatch.setattr(stores, "_make", failing)
    with pytest.raises(KeyboardInterrupt):
        make(path)
    assert not (path / "zarr.json").exists()
    assert read_json(f"{path}.progress")["done"] == [0, 1]

    def recording(job, member):
        made.append(member.index)
        return original(job, member)

    monkeypatch.setattr(stores, "_make", recording)
    make(path)
    assert made == [0, 1, 2, 3]
    assert content(path) == content(store)
    make(path)
    assert made == [0, 1, 2, 3]


def test_other_settings_start_over(store, tmp_path):
    path = tmp_path / "test.zarr"
    shutil.copytree(store, path)
    make(path, psf=OTHER_PSF)
    assert zarr.open_group(str(path), mode="r").attrs["psf_fingerprint"] == fingerprint(OTHER_PSF)
    make(path, seed=2)
    assert content(path)["image/c/0/0/0/0"] != content(store)["image/c/0/0/0/0"]


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.doc").write_text("years of work")
    with pytest.raises(UserError, match=r"thesis\.doc"):
        make(tmp_path)
    assert (tmp_path / "thesis.doc").exists()


def test_a_killed_worker_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "simulate", lambda *_, **__: os._exit(9))
    with pytest.raises(UserError, match="memory: use fewer processes"):
        make(tmp_path / "test.zarr", processes=2)


def test_training_volumes_come_in_proportion_and_depend_on_their_index_alone():
    def listed(count, name="train", stream=("d", "c")):
        split = Split(count=count, recipes={"rln_mixed": 3, "tubules": 1})
        return members(split, name=name, photons=(50, 500), seed=1, stream=stream)

    many = listed(400)
    assert Counter(member.recipe for member in many) == {"rln_mixed": 300, "tubules": 100}
    assert listed(8) == many[:8]
    logs = np.log([member.photons for member in many])
    assert np.log(50) <= logs.min() and logs.max() <= np.log(500)
    assert logs.mean() == pytest.approx(np.log(50 * 500) / 2, abs=0.1)
    seeds = [m.seed for m in [*many, *listed(400, "val"), *listed(400, stream=("d", "e"))]]
    assert len(set(seeds)) == 1200


def test_a_contact_sheet_is_drawn(store, tmp_path):
    figure = contact_sheet(store)
    assert [a.get_title().split("\n")[0] for a in figure.axes[:4]] == [
        "0: rln_mixed", "1: rln_mixed", "2: tubules", "3: tubules",
    ]  # fmt: skip
    figure.savefig(tmp_path / "sheet.png")
    assert pick(["a"] * 30 + ["b"])[-1] == 30
    assert len(pick(["a"] * 30 + ["b"])) == 12


def test_a_simulated_volume_is_a_microscope_file_with_its_truth(tmp_path):
    simulation = Simulation(shape=(6, 20, 24), photons=300, background_photons=5)
    names = {"seed": 1, "dataset": "d", "volume": "v", "camera": Camera(offset=0)}
    psfs = {"red": PSF, "green": OTHER_PSF}
    image, truth = draw_volume(simulation=simulation, psfs=psfs, **names)
    assert (image.shape, image.dtype) == ((1, 2, 6, 20, 24), np.uint16)
    assert (truth.shape, truth.dtype) == ((1, 2, 6, 20, 24), np.float32)
    assert np.corrcoef(truth[0].reshape(2, -1))[0, 1] < 0.5
    green, _ = draw_volume(simulation=simulation, psfs={"green": OTHER_PSF}, **names)
    np.testing.assert_array_equal(green[:, 0], image[:, 1])

    paths = [tmp_path / "v.ome.tif", tmp_path / "v.truth.ome.tif"]
    written = []
    for _ in range(2):
        simulate_volume(
            image_path=paths[0], truth_path=paths[1], simulation=simulation, psfs=psfs, **names
        )
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    for path, data in zip(paths, (image, truth), strict=True):
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            assert series.get_axes(squeeze=False) == "TCZYXS"
            np.testing.assert_array_equal(series.asarray(squeeze=False).reshape(data.shape), data)
            pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == list(VOXEL)
        assert [channel["Name"] for channel in pixels["Channel"]] == ["red", "green"]
