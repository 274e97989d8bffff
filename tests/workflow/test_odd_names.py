"""Clone, data and results in folders with odd names; a plate of offset-subtracted counts."""

import shutil

import numpy as np
import pytest
import tifffile
import zarr

from decon3d import paths
from decon3d.volumes.reader import open_volume
from support.configs import simulated_dataset
from support.paths import ROOT
from support.workflow import Workplace

ODD = "a b [1] (x)'s #1 100% é"
VOXEL = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.15, "PhysicalSizeX": 0.15}
PLACE = (3.0, 20.0, -10.0)


def counts():
    values = np.random.default_rng(0).poisson(20, (12, 32, 32)).astype(np.int16) - 15
    values[4:8, 8:20, 8:20] += 200
    return values


def field(path):
    """An image of a plate, of signed counts, with its place on the stage."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=counts(), chunks=(4, 32, 32))
    steps = [
        {"type": "scale", "scale": list(VOXEL.values())},
        {"type": "translation", "translation": list(PLACE)},
    ]
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def plate(path):
    zarr.open_group(path, mode="w", zarr_format=2).attrs["plate"] = {"wells": [{"path": "A/1"}]}
    well = zarr.open_group(f"{path}/A/1", mode="w", zarr_format=2)
    well.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
    for number in range(2):
        field(f"{path}/A/1/{number}")


@pytest.fixture
def place(tmp_path):
    """A clone and a folder of data below a folder with an odd name."""
    folder = tmp_path / ODD
    for name in ("workflow", "scripts", "envs", "profiles"):
        shutil.copytree(
            ROOT / name, folder / "clone" / name, ignore=shutil.ignore_patterns("*cache*")
        )
    shutil.copy(ROOT / "Snakefile", folder / "clone")
    (folder / "data {}").mkdir()
    return Workplace(folder)


def test_odd_names_are_taken_literally(place):
    data = place.folder / "data {}"
    plate(data / "p.zarr")
    tifffile.imwrite(data / "v [1] <R>.ome.tif", counts() + 15, metadata={"axes": "ZYX", **VOXEL})
    dataset = simulated_dataset(simulate=None, voxel_size_um=None, volumes=[f"{data}/*"], camera={})
    place.configure({"datasets": {"d": dataset}, "methods": {"rl": {"iterations": 2}}})
    clone = [
        "--snakefile",
        "clone/Snakefile",
        "--profile",
        "clone/profiles/local",
        "--configfile",
        "config.yaml",
        "--cores",
        "1",
    ]
    run = place.snakemake(paths.finished("d", "rl"), *clone)
    assert run.code == 0, run.output[-3000:]
    for name in ("p_A_1_0", "p_A_1_1", "v_1_R_"):
        restored = open_volume(place.folder / paths.restored("d", name, "rl"))
        assert restored.shape[2:] == (12, 32, 32)
        assert restored.position_um == (PLACE if name[0] == "p" else None)
    ingested = open_volume(place.folder / "results/d/ingest/p_A_1_1.ome.zarr")
    assert np.array_equal(ingested.read(0, 0, (slice(None),) * 3), counts())
    again = place.snakemake(paths.finished("d", "rl"), *clone, "-n")
    assert again.code == 0 and again.jobs == {}, again.output[-3000:]
    refused = place.snakemake("--sdm", "apptainer", *clone, "-n")
    assert refused.code != 0 and "Apptainer cannot use a clone" in refused.output


def test_what_snakemake_replaces_is_refused_by_name(place):
    tifffile.imwrite(place.folder / "data {}/v {gfp}.tif", counts() + 15)
    dataset = simulated_dataset(simulate=None, volumes="data {}/*.tif")
    place.configure({"datasets": {"d": dataset}, "methods": {"rl": {}}})
    said = {
        str(ROOT): "'{gfp}' in a path, here in 'data {}/v {gfp}.tif'",
        "c{}": "'{' in a path, here",
    }
    (place.folder / "clone").rename(place.folder / "c{}")
    for clone, replaced in said.items():
        options = [
            "--snakefile",
            f"{clone}/Snakefile",
            "--configfile",
            "config.yaml",
            "--cores",
            "1",
        ]
        run = place.snakemake("-n", *options)
        assert run.code != 0 and f"Snakemake replaces {replaced}" in run.output
        assert "Traceback" not in run.output
