"""The whole chain on a tiny config: two volumes, two channels, two methods."""

import copy
import os
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from ome_zarr_models.v05.image import Image

from decon3d.volumes.reader import open_volume
from support.configs import simulated_dataset
from support.paths import ROOT
from support.workflow import Workplace

RULES = {
    "psf",
    "phantoms",
    "simulate",
    "ingest",
    "measure",
    "psf_fit",
    "train",
    "tune",
    "restore_prepare",
    "restore_plan",
    "restore_part_cpu",
    "restore_part_gpu",
    "restore_finish",
    "restore_phantoms_cpu",
    "restore_phantoms_gpu",
    "evaluate",
    "evaluate_network",
    "evaluate_sample",
    "evaluate_input",
    "likeness",
    "report",
    "index",
    "all",
}
END = {"report", "index", "all"}
RESTORE = {"restore_prepare", "restore_plan", "restore_finish"}
VOXEL = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.15, "PhysicalSizeX": 0.15}
CONFIG = {
    "seed": 3,
    "datasets": {
        "cells": {
            "volumes": "data/*.ome.tif",
            "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
            "camera": {"offset": 100, "gain": 2.0},
            "channels": {
                "dapi": {"index": 1, "emission_um": 0.46},
                "gfp": {"index": 0, "emission_um": 0.525},
            },
        }
    },
    "methods": {
        "rltv": {"iterations": 4, "tv_weight": 0.002},
        "rln": {
            "training": {"steps": 4, "crop": [8, 16, 16], "batch": 2, "validate_every": 2},
        },
    },
    "phantoms": {
        "shape": [12, 32, 32],
        "train": {"count": 2, "recipes": {"rln_mixed": 1}},
        "val": {"count": 1, "recipes": {"rln_mixed": 1}},
        "test": {"count": 1, "recipes": {"rln_mixed": 1, "tubules": 1}},
    },
    "restoration": {"parts": 2},
}


def write_volumes(folder):
    """Two acquisitions of two channels and two time points, blobs on a background."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name in ("one", "two"):
        smooth = rng.random((2, 2, 12, 40, 36)) ** 8 * 4000
        counts = (100 + rng.poisson(smooth + 10)).astype(np.uint16)
        meta = {"axes": "TCZYX", "Channel": {"Name": ["a", "b"]}, **VOXEL}
        tifffile.imwrite(folder / f"{name}.ome.tif", counts, metadata=meta, ome=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workplace whose chain has run, and what the run said."""
    place = Workplace(tmp_path_factory.mktemp("chain"))
    write_volumes(place.folder / "data")
    place.configure(CONFIG)
    run = place.run()
    assert run.code == 0, run.output[-5000:]
    return place, run


def test_every_rule_ran(finished):
    _, run = finished
    assert set(run.jobs) == RULES - {"simulate", "tune"}


def test_the_results_are_those_of_the_contract(finished):
    folder = finished[0].folder / "results" / "cells"
    for channel in ("dapi", "gfp"):
        assert (folder / "psf" / channel / "psf.json").is_file()
        assert (folder / "training" / channel / "test.zarr" / "zarr.json").is_file()
        assert (folder / "models" / channel / "rln" / "model.keras").is_file()
        for method in ("rltv", "rln"):
            store = zarr.open_group(folder / f"restored_phantoms/{channel}/{method}.zarr", mode="r")
            assert np.isfinite(store["restored"][:]).all()
    metrics = pd.read_csv(folder / "tables" / "metrics.csv")
    assert set(metrics["method"]) == {"input", "rltv", "rln"}
    assert set(metrics["channel"]) == {"dapi", "gfp"}
    tested = metrics[metrics["split"] == "test"]
    assert set(tested["recipe"]) == {"rln_mixed", "tubules"}
    page = (folder / "report.html").read_text()
    assert "Restoration of cells" in page and "http://" not in page.replace("http://www.w3.org", "")
    assert (folder.parent / "index.html").is_file()


@pytest.mark.parametrize("method", ["rltv", "rln"])
def test_restored_volumes_keep_grid_channels_and_counts(finished, method):
    folder = finished[0].folder
    for name in ("one", "two"):
        store = folder / "results" / "cells" / "restored" / name / f"{method}.ome.zarr"
        Image.from_zarr(zarr.open_group(store, mode="r"))
        restored = open_volume(store)
        assert restored.shape == (2, 2, 12, 40, 36)
        assert restored.voxel_size_um == pytest.approx((0.3, 0.15, 0.15))
        assert restored.channel_names == ("b", "a")  # the file's own
        assert np.isfinite(restored.data.compute()).all()
    if method != "rln":
        raw = tifffile.imread(folder / "data" / "two.ome.tif")[:, [1, 0]].astype(float)
        signal = restored.data.compute().sum((2, 3, 4)) - 100 * raw[0, 0].size
        ratio = signal / (raw.sum((2, 3, 4)) - 100 * raw[0, 0].size)
        # Light of objects beyond the faces is found again, so a little more than 1; the same
        # at every time point.
        assert np.all((ratio > 1) & (ratio < 1.1))
        assert ratio[0] == pytest.approx(ratio[1], rel=0.01)


def test_a_second_run_does_nothing(finished):
    run = finished[0].run()
    assert run.code == 0
    assert "Nothing to be done" in run.output


def test_pages_of_partial_results_are_made_again(finished, tmp_path):
    place = Workplace(tmp_path / "copy")
    shutil.copytree(finished[0].folder, place.folder, copy_function=shutil.copy2)
    for folder in ("finished", "evaluation", "plans"):
        shutil.rmtree(place.folder / "results" / "cells" / folder)
    script = [sys.executable, str(ROOT / "scripts" / "report_existing.py")]
    config = (place.folder / "config.yaml").read_text()
    subprocess.run(script, cwd=place.folder, input=config, text=True, check=True)
    assert {"report", "restore_finish"} <= set(place.run("--dry-run").jobs)


def test_a_volume_has_a_page_when_asked_and_snakemake_its_report(finished):
    place = finished[0]
    page = "results/cells/volumes/two.html"
    run = place.run(page)
    assert run.code == 0 and set(run.jobs) == {"volume_page"}, run.output[-3000:]
    assert "Inspect the volume<" in (place.folder / page).read_text()
    report = place.run("--report", "snakemake.zip", "all", page)
    assert report.code == 0, report.output[-3000:]
    names = zipfile.ZipFile(place.folder / "snakemake.zip").namelist()
    assert {"report.html", "summary.html", "two.html"} <= {name.split("/")[-1] for name in names}


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (
            lambda c: c["methods"]["rltv"].update(iterations=6),
            {"restore_part_cpu", "evaluate", "restore_phantoms_cpu", *RESTORE, *END},
        ),
        (
            lambda c: c["methods"]["rltv"].update(device="gpu"),
            {
                "restore_part_gpu",
                "evaluate_network",
                "evaluate_sample",
                "restore_phantoms_gpu",
                *RESTORE,
                *END,
            },
        ),
        (
            lambda c: c["methods"]["rln"]["training"].update(steps=6),
            {
                "train",
                "restore_part_gpu",
                "evaluate_network",
                "evaluate_sample",
                "restore_phantoms_gpu",
                *RESTORE,
                *END,
            },
        ),
        (lambda c: c["restoration"].update(memory_gb=1.5, parts=3), set()),
        (
            lambda c: c["methods"].update(rl={"iterations": 3}),
            {"restore_part_cpu", "evaluate", "restore_phantoms_cpu", *RESTORE, *END},
        ),
        (
            lambda c: c["phantoms"]["test"].update(count=2),
            {
                "phantoms",
                "likeness",
                "restore_phantoms_cpu",
                "restore_phantoms_gpu",
                "evaluate",
                "evaluate_network",
                "evaluate_input",
                *END,
            },
        ),
        (
            lambda c: c["datasets"]["cells"]["channels"]["gfp"].update(emission_um=0.53),
            RULES - {"simulate", "tune", "ingest", "measure"},
        ),
        (
            lambda c: c["datasets"]["cells"]["channels"]["gfp"].update(beads_um=0.2),
            {"psf_fit", *END},
        ),
        (
            lambda c: c["datasets"]["cells"].update(times=[0]),
            {
                "ingest",
                "measure",
                "psf_fit",
                "likeness",
                "restore_part_cpu",
                "restore_part_gpu",
                "evaluate",
                "evaluate_network",
                "evaluate_sample",
                "evaluate_input",
                *RESTORE,
                *END,
            },
        ),
    ],
    ids=[
        "iterations",
        "device",
        "steps",
        "memory",
        "method",
        "test count",
        "emission",
        "beads",
        "times",
    ],
)
def test_a_changed_key_reruns_what_depends_on_it(finished, change, rules):
    place, _ = finished
    config = copy.deepcopy(CONFIG)
    change(config)
    place.configure(config)
    try:
        run = place.run("--dry-run")
    finally:
        place.configure(CONFIG)
    assert set(run.jobs) == rules, run.output[-3000:]


def test_a_touched_volume_is_ingested_again_and_nothing_is_trained(finished):
    place, _ = finished
    volume = place.folder / "data" / "one.ome.tif"  # the voxel size comes from its metadata
    before = volume.stat()
    os.utime(volume)
    run = place.run("--dry-run")
    os.utime(volume, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert run.jobs["ingest"] == 1 and not set(run.jobs) & {"psf", "phantoms", "train"}


def test_only_the_changed_channel_is_trained_again(finished):
    place, _ = finished
    config = copy.deepcopy(CONFIG)
    config["datasets"]["cells"]["channels"]["gfp"]["emission_um"] = 0.53
    place.configure(config)
    try:
        run = place.run("--dry-run")
    finally:
        place.configure(CONFIG)
    assert run.jobs["train"] == 1 and run.jobs["phantoms"] == 3


def test_classical_methods_need_no_tensorflow_phantoms_or_training(workplace):
    (workplace.folder / "tensorflow.py").write_text("raise ImportError('not needed here')")
    workplace.configure({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}})
    # With two cores, two processes share the evaluation.
    run = workplace.run("--cores", "2", PYTHONPATH=str(workplace.folder))
    assert run.code == 0, run.output[-3000:]
    assert not set(run.jobs) & {"phantoms", "train", "tune", "restore_phantoms_cpu"}
    metrics = pd.read_csv(workplace.folder / "results" / "d" / "tables" / "metrics.csv")
    assert set(metrics["method"]) == {"input", "rl"}


def test_a_wrong_config_ends_before_any_job_with_all_problems(workplace):
    dataset = simulated_dataset(simulate=None, volumes="no/such.tif", voxel_size_um=[100, 0.1, 0.1])
    dataset["optics"]["numerical_aperture"] = 1.4
    workplace.configure(
        {"datasets": {"d/e": dataset}, "methods": {"rl": {}, "magic": {}}, "sede": 1}
    )
    run = workplace.run()
    assert run.code == 1
    assert "The config has 6 problems:" in run.output
    assert "Traceback" not in run.output and "Job stats" not in run.output


@pytest.mark.parametrize(
    ("profile", "config", "trains"),
    [
        ("profiles/demo", (), False),
        ("profiles/demo", ("--configfile", "config/demo_train.yaml"), True),
        ("profiles/local", (), False),
        ("slurm", (), False),
    ],
)
def test_every_profile_can_be_dry_run_from_the_root(profile, config, trains):
    run = Workplace(ROOT).snakemake("--profile", profile, *config, "--dry-run", "--nolock")
    assert run.code == 0, run.output[-3000:]
    if "Nothing to be done" not in run.output:
        assert "restore_part" in run.output
        assert ("train" in run.jobs) == trains


def test_a_folder_of_planes_is_ingested_again_when_one_of_them_changes(workplace):
    planes = np.random.default_rng(0).integers(90, 200, (6, 40, 36)).astype(np.uint16)
    folder = workplace.folder / "data" / "fish"
    folder.mkdir(parents=True)
    for z, plane in enumerate(planes):
        tifffile.imwrite(folder / f"z{z}.tif", plane)
    dataset = simulated_dataset(simulate=None, volumes="data/fish", voxel_size_um=[0.3, 0.1, 0.1])
    workplace.configure({"datasets": {"d": dataset}, "methods": {"rl": {}}})
    record = "results/d/ingest/fish.json"
    run = workplace.run(record)
    assert run.code == 0 and run.jobs == {"ingest": 1}, run.output[-3000:]
    assert open_volume(workplace.folder / "results/d/ingest/fish.ome.zarr").shape[2:] == (6, 40, 36)
    assert "Nothing to be done" in workplace.run("--dry-run", record).output
    tifffile.imwrite(folder / "z3.tif", planes[4])  # the folder itself does not change
    assert workplace.run("--dry-run", record).jobs == {"ingest": 1}
