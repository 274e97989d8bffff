"""Headers of all inputs: every problem before any job, in one list, read once."""

import json
import os
import time

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import ConfigError, UserError
from decon3d.preflight import check_headers, check_places, check_targets, list_inputs
from decon3d.settings import Settings
from decon3d.volumes import fingerprints, headers
from decon3d.volumes.headers import Header, read_headers
from decon3d.volumes.volume import Reading
from support.configs import simulated_dataset

STACK = np.zeros((6, 16, 16), np.uint16)
VOXEL = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}


def write(path, data=STACK, axes="ZYX", **metadata):
    tifffile.imwrite(path, data, ome=True, metadata={"axes": axes, **VOXEL, **metadata})
    return str(path)


def sources(*paths):
    return [(path, Reading()) for path in paths]


def settings(volumes, channel=None, **changes):
    """A dataset of files, without a voxel size of its own."""
    dataset = {
        **simulated_dataset(),
        "simulate": None,
        "voxel_size_um": None,
        "volumes": volumes,
        **changes,
    }
    dataset["channels"] = {"gfp": {"emission_um": 0.525, **(channel or {})}}
    return Settings.model_validate({"datasets": {"d": dataset}, "methods": {"rl": {"kind": "rl"}}})


def problems(config, tmp_path):
    with pytest.raises(ConfigError) as caught:
        check_headers(config, list_inputs(config), cache=tmp_path / "cache.json")
    return caught.value.problems


def test_every_kind_of_problem_is_in_one_list(tmp_path):
    good = write(tmp_path / "good.ome.tif")
    tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((6, 16, 16, 3), np.uint8), photometric="rgb")
    tifffile.imwrite(tmp_path / "bare.tif", STACK)
    (tmp_path / "text.tif").write_text("no TIFF")
    (tmp_path / "empty.tif").touch()
    (tmp_path / "folder").mkdir()
    write(tmp_path / "coarse.ome.tif", PhysicalSizeZ=0.6)
    write(tmp_path / "small.ome.tif", STACK[:, :8])
    write(tmp_path / "complex.ome.tif", STACK.astype(np.complex64))
    (tmp_path / "cut.ome.tif").write_bytes((tmp_path / "good.ome.tif").read_bytes()[:100])
    names = [
        "good.ome",
        "rgb",
        "bare",
        "text",
        "empty",
        "coarse.ome",
        "complex.ome",
        "cut.ome",
        "gone",
    ]
    volumes = [{"name": n.replace(".", "_"), "path": str(tmp_path / f"{n}.tif")} for n in names]
    volumes.append({"name": "folder", "path": str(tmp_path / "folder")})
    volumes.append({"name": "ref", "path": good, "reference": str(tmp_path / "small.ome.tif")})
    found = problems(settings(volumes, {"index": 1}, times=[0, 3]), tmp_path)

    def line(*words):
        return [text for text in found if all(word in text for word in words)]

    assert line("rgb.tif") and line("text.tif") and line("empty.tif") and line("folder")
    assert line("cut.ome.tif") and line("gone.tif", "does not exist; check the path")
    assert line("complex.ome.tif", "complex64")
    assert line("datasets.d.voxel_size_um is missing: ", "bare.tif", "[Z, Y, X]")
    assert line("datasets.d.channels.gfp.index: 1", "1 channel, counted from 0")
    assert line("datasets.d.times: 3", "1 time point, counted from 0")
    assert line("coarse.ome.tif has voxels of 0.6 × 0.1 × 0.1 µm", "voxel_size_um")
    assert line("the reference", "small.ome.tif", "1 × 1 × 6 × 8 × 16")
    assert not [text for text in found if "\n" in text or "Error" in text]
    assert len(found) == len(set(found))


def test_psf_files_bead_stacks_pairs_and_objects_are_looked_at_too(tmp_path):
    good = write(tmp_path / "good.ome.tif")
    (tmp_path / "text.tif").write_text("no TIFF")
    text = str(tmp_path / "text.tif")
    tifffile.imwrite(tmp_path / "bare.tif", STACK)
    bare = str(tmp_path / "bare.tif")
    for psf, said in (
        ({"source": "file", "path": text}, "datasets.d.channels.gfp.psf.path: "),
        ({"source": "file", "path": bare}, "datasets.d.channels.gfp.psf.voxel_size_um is missing"),
        (
            {"source": "beads", "path": text, "bead_diameter_um": 0.1},
            "datasets.d.channels.gfp.psf.path: ",
        ),
        (
            {"source": "beads", "path": bare, "bead_diameter_um": 0.1},
            "datasets.d.channels.gfp.psf.voxel_size_um is missing",
        ),
        (
            {"source": "beads", "path": good, "bead_diameter_um": 0.1, "channel": 2},
            "datasets.d.channels.gfp.psf.channel is 2",
        ),
    ):
        (found,) = problems(settings(good, {"psf": psf}), tmp_path)
        assert found.startswith(said)
    series = write(tmp_path / "series.ome.tif", np.stack([STACK] * 2), "TZYX")
    raw = [good, write(tmp_path / "b.ome.tif"), text]
    truth = [series, write(tmp_path / "c.ome.tif", PhysicalSizeX=0.2), bare]
    pairs = {"raw": raw, "truth": truth}
    found = problems(settings(good, pairs=pairs, voxel_size_um=[0.3, 0.1, 0.1]), tmp_path)
    assert [line.split(": ")[0] for line in found] == ["datasets.d.pairs"] * 3
    assert "has 2 time points" in found[0] and "0.3 × 0.1 × 0.2 µm" in found[1]
    assert text in found[2]
    whole = settings(good).model_dump()
    whole["phantoms"] = {"objects": {"mine": {"path": text}}}
    (found,) = problems(Settings.model_validate(whole), tmp_path)
    assert found.startswith("phantoms.objects.mine.path: ") and text in found


def test_one_bad_file_among_many_is_named_and_many_alike_share_a_line(tmp_path):
    for i in range(40):
        write(tmp_path / f"v{i:02d}.ome.tif")
    (tmp_path / "v17.ome.tif").write_bytes(b"II*\0\0\0\0\0")
    pattern = str(tmp_path / "*.tif")
    (found,) = problems(settings(pattern), tmp_path)
    assert "v17.ome.tif" in found
    first, second = problems(settings(pattern, {"index": 2}), tmp_path)
    assert "v17.ome.tif" in second
    assert first.endswith("(the same holds for 38 more: v01.ome.tif, v02.ome.tif, v03.ome.tif, …)")


def test_headers_are_read_once_and_again_where_a_file_changed(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{i}.ome.tif") for i in range(20)]
    cache = tmp_path / "cache" / "headers.json"
    before = read_headers(sources(*paths), cache=cache)
    assert all(isinstance(header, Header) for header in before.values())
    assert headers.kept_headers(cache) == before
    read = []
    monkeypatch.setattr(
        headers, "read_header", lambda source: read.append(source[0]) or before[source]
    )
    assert read_headers(sources(*paths), cache=cache) == before and not read
    stat = os.stat(paths[3])
    replaced = write(tmp_path / "other.ome.tif")  # same size, same time: another inode
    os.utime(replaced, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(replaced, paths[3])
    os.utime(paths[4], ns=(0, 0))  # older than before
    read_headers(sources(*paths), cache=cache)
    assert sorted(read) == sorted(paths[3:5])


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"a": 1}', "\0\1", '[{"stamp": 1, "header": {"path": "PATH"}}]']
)
def test_a_damaged_cache_is_no_problem(tmp_path, content):
    path = write(tmp_path / "a.ome.tif")
    cache = tmp_path / "headers.json"
    cache.write_text(content.replace("PATH", path))
    (source,) = sources(path)
    assert read_headers([source], cache=cache)[source].shape == (1, 1, 6, 16, 16)
    assert [entry["header"]["path"] for entry in json.loads(cache.read_text())] == [path]
    folder = tmp_path / "a file" / "headers.json"  # cannot be written
    (tmp_path / "a file").touch()
    assert isinstance(read_headers([source], cache=folder)[source], Header)


def test_what_failed_beside_others_is_read_once_more_alone(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{i}.ome.tif") for i in range(3)]
    calls = []

    def read(source):
        calls.append(source[0])
        if source[0] == paths[1] and calls.count(paths[1]) == 1:
            raise UserError("Too many open files")
        return Header(source[0], (1, 1, 6, 16, 16), 2, None)

    monkeypatch.setattr(headers, "read_header", read)
    found = read_headers(sources(*paths), cache=tmp_path / "c.json")
    assert all(isinstance(header, Header) for header in found.values())
    assert sorted(calls) == sorted([*paths, paths[1]])


def test_the_other_files_of_a_set_are_part_of_its_stamp(tmp_path, monkeypatch):
    path, other = write(tmp_path / "a.ome.tif"), write(tmp_path / "b.ome.tif")
    header = Header(path, (1, 1, 6, 16, 16), 2, None, files=(path, other))
    read = []
    monkeypatch.setattr(headers, "read_header", lambda source: read.append(source) or header)
    for _ in range(2):
        read_headers(sources(path), cache=tmp_path / "c.json")
    assert len(read) == 1
    (tmp_path / "b.ome.tif").unlink()
    read_headers(sources(path), cache=tmp_path / "c.json")
    assert len(read) == 2


def test_a_folder_that_cannot_be_listed_is_one_line(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fingerprints, "plane_files", refuse)
    (source,) = sources(str(tmp_path))
    error = read_headers([source], cache=tmp_path / "c.json")[source]
    assert str(error) == f"{tmp_path} cannot be read: Permission denied"


def test_problems_are_not_kept(tmp_path):
    path = str(tmp_path / "a.tif")
    (tmp_path / "a.tif").write_text("x")
    (source,) = sources(path)
    assert isinstance(read_headers([source], cache=tmp_path / "c.json")[source], UserError)
    assert not headers.kept_headers(tmp_path / "c.json")


def test_the_metadata_of_an_ome_zarr_are_part_of_its_stamp(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(2, 2), dtype="u2")
    before = headers._stamp(*sources(str(tmp_path / "a.zarr")))
    array = tmp_path / "a.zarr" / "0" / ".zarray"
    array.write_text(array.read_text().replace("2", "33"))
    fingerprints.forget_fingerprints()
    assert headers._stamp(*sources(str(tmp_path / "a.zarr"))) != before


def test_headers_that_are_kept_are_not_read_again(tmp_path, monkeypatch):
    paths = [write(tmp_path / f"{i}.ome.tif") for i in range(5)]
    first = read_headers(sources(*paths), cache=tmp_path / "cache.json")
    read = []
    monkeypatch.setattr("decon3d.volumes.headers.read_header", read.append)
    assert read_headers(sources(*paths), cache=tmp_path / "cache.json") == first
    assert read == []


def test_a_date_in_the_future_is_named_before_any_job(tmp_path):
    path = write(tmp_path / "a.ome.tif")
    os.utime(path, (time.time() + 3600,) * 2)
    assert problems(settings(path), tmp_path) == [
        f"{path} has a date in the future; correct the clock, or touch {path}"
    ]
    os.utime(path)
    check_headers(settings(path), list_inputs(settings(path)), cache=tmp_path / "cache.json")


def test_a_place_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    check_places(tmp_path)
    (tmp_path / "logs").touch()
    (tmp_path / "benchmarks").symlink_to(tmp_path / "gone")
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "results")
    with pytest.raises(ConfigError) as caught:
        check_places(tmp_path)
    first, second, third = caught.value.problems
    assert third == f"{tmp_path}/benchmarks is not a folder; move it away"
    assert first.startswith(f"{tmp_path}/results cannot be written to; ")
    assert second == f"{tmp_path}/logs is not a folder; move it away"


def test_targets_of_unknown_datasets_and_methods_are_named(tmp_path):
    known = settings(write(tmp_path / "a.ome.tif"))
    good = [
        "preview",
        "results/d/report.html",
        "results/index.html",
        "results/d/finished/rl.json",
    ]
    check_targets([*good, "--report", "results/old/report.html"], known)
    wrong = ["results/worm/report.html", "results/d/restored/v/rln.ome.zarr/zarr.json"]
    with pytest.raises(ConfigError) as caught:
        check_targets([*good, *wrong], known)
    assert caught.value.problems == [
        "results/worm/report.html: unknown dataset 'worm'; known: d",
        "results/d/restored/v/rln.ome.zarr/zarr.json: unknown method 'rln'; known: rl",
    ]


def test_pages_of_microscopes_are_no_dataset(tmp_path):
    known = settings([{"name": "a", "path": str(tmp_path)}])
    targets = ["instrument", "results/instruments/scope.html"]
    check_targets(targets, known, instruments=["scope"])
    with pytest.raises(ConfigError, match=r"scope\.html: unknown instrument 'scope'; known: a, b"):
        check_targets(targets, known, instruments=["b", "a"])


def test_two_files_of_one_volume_are_told(tmp_path):
    parts = ["a_C0.ome.tif", "a_C1.ome.tif"]
    data = "".join(
        f'<TiffData IFD="0" PlaneCount="6" FirstC="{c}"><UUID FileName="{name}">urn:uuid:{c}</UUID>'
        "</TiffData>"
        for c, name in enumerate(parts)
    )
    sizes = " ".join(f'{key}="{value}"' for key, value in VOXEL.items())
    for c, name in enumerate(parts):
        xml = (
            f'<OME UUID="urn:uuid:{c}"><Image Name="a"><Pixels DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="16" SizeY="16" SizeZ="6" SizeC="2" SizeT="1" {sizes}>{data}</Pixels></Image>'
            "</OME>"
        )
        tifffile.imwrite(tmp_path / name, STACK, description=xml, metadata=None)
    (text,) = problems(settings(f"{tmp_path}/*.ome.tif"), tmp_path)
    assert "a_C1.ome.tif" in text and "a_C0.ome.tif belong to one volume" in text
    one = settings(str(tmp_path / parts[0]))
    (header,) = check_headers(one, list_inputs(one), cache=tmp_path / "cache.json").values()
    assert header.shape == (1, 2, 6, 16, 16)


def test_series_and_axes_reach_the_files(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.ome.tif", ome=True) as file:
        for name in ("left", "right"):
            file.write(STACK, metadata={"axes": "TYX", "Name": name, **VOXEL})
    path = str(tmp_path / "v.ome.tif")
    (text,) = problems(settings(path), tmp_path)
    assert "2 images: 0 (left), 1 (right)" in text
    (text,) = problems(settings(path, series="left"), tmp_path)
    assert "6 time points of one plane" in text and "axes: ZYX" in text
    right = settings(path, series=1, axes="ZYX")
    found = check_headers(right, list_inputs(right), cache=tmp_path / "cache.json")
    assert found[path, Reading(1, "ZYX")].shape == (1, 1, 6, 16, 16)


def test_frames_of_another_region_of_the_camera_are_named(tmp_path):
    write(tmp_path / "v.tif", spacing=0.3)
    for name, shape in (("dark", (12, 9, 8)), ("flat", (12, *STACK.shape[1:]))):
        tifffile.imwrite(
            tmp_path / f"{name}.tif", np.ones(shape, np.uint16), photometric="minisblack"
        )
    camera = {"dark": str(tmp_path / "d*.tif"), "flat": str(tmp_path / "flat.tif")}
    (found,) = problems(settings(str(tmp_path / "v.tif"), camera=camera), tmp_path)
    height, width = STACK.shape[1:]
    assert found == (
        f"datasets.d.camera.dark: {tmp_path}/dark.tif has 9 × 8 pixels (Y, X), but "
        f"{tmp_path}/v.tif has {height} × {width}; give frames of the same region of the camera"
    )
