"""Stores: the same bytes however they are made; whole volumes as files."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import UserError
from decon3d.files import read_json
from decon3d.optics.psf import fingerprint, fwhm_um, normalised_psf
from decon3d.optics.resampling import core_centroid
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms import stores
from decon3d.phantoms.contact_sheet import _title, contact_sheet, pick
from decon3d.phantoms.simulated import draw_volume, simulate_volume
from decon3d.phantoms.stores import members
from decon3d.phantoms.variation import Variation, varied_psf
from decon3d.seeds import generator
from decon3d.settings import (
    Channel,
    ObjectFile,
    Phantoms,
    PsfVariation,
    Simulation,
    Split,
)
from decon3d.volumes.camera import Camera
from support.phantom_stores import LONG, OPTICS, OTHER_PSF, PHANTOMS, PSF, VOXEL, make


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
    camera = {"offset": 100, "gain": 1, "read_noise": 1, "bits": None}
    assert camera.items() <= about["camera"].items() and not about["camera"]["correlation"]
    assert any("phantoms.photons is not known" in line for line in about["assumed"])
    assert about["shape"] == [8, 16, 16] and about["volumes"] == 4
    assert about["unit_um"] == 0.1 and set(about["arrays"]) == {"object", "image", "image_b"}
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
    monkeypatch.setattr(stores, "__version__", "99.0")  # a release with the same algorithm
    make(path)
    assert made == [0, 1, 2, 3]


KILLED = """
import sys
import numpy as np
sys.path[:0] = {paths!r}
from support.phantom_stores import LONG, make
if __name__ == "__main__":
    make({path!r}, split=LONG, processes=2)
"""


def test_a_killed_run_leaves_no_worker_and_is_finished_to_the_same_bytes(tmp_path):
    path, record = tmp_path / "test.zarr", tmp_path / "test.zarr.progress"
    code = KILLED.format(paths=sys.path, path=str(path))
    run = subprocess.Popen([sys.executable, "-c", code])
    while run.poll() is None and len(read_json(record)["done"] if record.exists() else []) < 3:
        time.sleep(0.01)
    workers = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    run.kill()
    assert run.wait() == -signal.SIGKILL
    assert len(workers) == 2
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert 3 <= len(read_json(record)["done"]) < 20
    torn = path / "image" / "c" / "0" / "0" / "0" / "0.0123abcd.partial"
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(b"torn")
    make(path, split=LONG, processes=2)
    assert content(path) == content(make(tmp_path / "whole.zarr", split=LONG))


def test_a_psf_that_varies_stands_in_the_store(tmp_path):
    variation = PsfVariation(depth_um=(0, 10), width=(0.9, 1.1))
    split = Split(count=3, recipes={"spheres": 1}, psf_variation=variation)
    optics = OPTICS.model_copy(update={"sample_index": 1.45})
    stores = [
        make(tmp_path / str(i), split=split, name="train", optics=optics, processes=i)
        for i in (1, 2)
    ]
    assert content(stores[0]) == content(stores[1])
    drawn = zarr.open_group(str(stores[0]), mode="r").attrs["psf_variation"]
    assert len({v["depth_um"] for v in drawn}) == 3
    assert all(0 <= v["depth_um"] <= 10 and 0.9 <= v["width"] <= 1.1 for v in drawn)
    plain = make(tmp_path / "plain", split=split.model_copy(update={"psf_variation": None}))
    assert zarr.open_group(str(plain), mode="r").attrs["psf_variation"] == [None] * 3


def test_a_varied_psf_is_as_wide_and_as_deep_as_said():
    optics = OPTICS.model_copy(update={"sample_index": 1.4})
    channel = Channel(emission_um=0.525)
    data = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=VOXEL)
    psf = normalised_psf(data, VOXEL, {})

    def varied(depth, width):
        variation = Variation(depth, width)
        return varied_psf(psf, variation, optics=optics, channel=channel)

    np.testing.assert_allclose(varied(None, 1.0).data, psf.data)
    np.testing.assert_allclose(varied(0.0, 1.0).data, psf.data)
    wide = varied(None, 1.25)
    ratio = np.divide(fwhm_um(wide.data, VOXEL), fwhm_um(psf.data, VOXEL))
    assert ratio == pytest.approx([1.25] * 3, rel=0.03)
    deep = varied(20.0, 1.0)
    assert fwhm_um(deep.data, VOXEL)[0] > 1.1 * fwhm_um(psf.data, VOXEL)[0]
    assert core_centroid(deep.data) == pytest.approx([n // 2 for n in deep.data.shape], abs=0.1)


def test_an_own_object_goes_through_a_store(tmp_path):
    tifffile.imwrite(tmp_path / "cell.tif", generator(1).random((20, 40, 40)).astype(np.float32))
    split = Split(count=2, recipes={"cell": 1})
    phantoms = PHANTOMS.model_copy(
        update={"objects": {"cell": ObjectFile(path=str(tmp_path / "cell.tif"))}}
    )
    one = make(tmp_path / "one", split=split, phantoms=phantoms)
    two = make(tmp_path / "two", split=split, phantoms=phantoms, processes=2)
    assert content(one) == content(two)
    about = zarr.open_group(str(one), mode="r").attrs["objects"]["cell"]
    assert about["highest"] == pytest.approx(1, abs=1e-5) and len(about["digest"]) == 16


def test_counts_that_the_camera_cannot_hold_are_refused(tmp_path):
    with pytest.raises(UserError, match="8 bits"):
        make(tmp_path / "s", camera=Camera(bits=8, gain=2))


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
    with pytest.raises(UserError, match="memory ran out; use fewer processes"):
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


def test_with_doses_every_test_object_is_imaged_at_each(tmp_path):
    split = Split(count=2, recipes={"tubules": 1, "rln_mixed": 1}, doses=[1e5, 1e6])
    planned = members(split, name="test", photons=(50, 500), seed=1, stream=("d", "c"))
    assert [m.photons for m in planned] == [1e5, 1e6] * 4
    assert len({m.seed for m in planned}) == 4
    assert [m.seed for m in planned[::2]] == [m.seed for m in planned[1::2]]
    phantoms = Phantoms(shape=(6, 20, 24), background_photons=0, test=split)
    path = tmp_path / "test.zarr"
    make(path, split=split, phantoms=phantoms)
    images = np.asarray(zarr.open_group(str(path), mode="r")["image"])
    for dim, bright in images.reshape(4, 2, -1):
        assert np.corrcoef(dim, bright)[0, 1] > 0.99


def test_a_contact_sheet_is_drawn(store, tmp_path):
    figure = contact_sheet(store)
    assert [a.get_title().split("\n")[0] for a in figure.axes[:4]] == [
        "0: rln_mixed",
        "1: rln_mixed",
        "2: tubules",
        "3: tubules",
    ]
    figure.savefig(tmp_path / "sheet.png")
    pair = {
        "measured": {},
        "names": ["day_2/embryo_17_left_dorsal_500nM_confocal_tile_003.ome.tif"],
    }
    assert _title(pair, 0).replace("\n", "") == pair["names"][0]
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
