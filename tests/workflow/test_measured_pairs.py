"""Measured pairs, a method that starts from another's result, and a bundle used again."""

import json
import zipfile
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr

from decon3d.files import write_json
from decon3d.volumes.reader import open_volume
from support.configs import simulated_dataset
from support.instrument_pairs import Instrument, specimen
from support.records import bundle_info
from support.workflow import Workplace

TRAINING = {"steps": 4, "crop": [8, 16, 16], "batch": 2, "validate_every": 2}
VOXEL = [0.3, 0.15, 0.15]
CONFIG = {
    "datasets": {
        "fish": {
            "volumes": "volumes/*.tif",
            "voxel_size_um": VOXEL,
            "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
            "camera": {"offset": 100},
            "channels": {"gfp": {"emission_um": 0.525}},
            "pairs": {"raw": "low", "truth": "high/*.tif", "specimen": "(fish[0-9])_", "tiles": 2},
        }
    },
    "methods": {
        "first": {"kind": "rl", "iterations": 2},
        "rln": {"source": "first", "training": TRAINING},
    },
}
DATASET = simulated_dataset(voxel_size_um=[0.3, 0.15, 0.2])


INSTRUMENT = Instrument()


def write_files(folder):
    """Six pairs of three fish on a simulated instrument, and one volume of low exposure."""
    for name in ("volumes", "low", "high"):
        (folder / name).mkdir()
    for k in range(7):
        low, high, _ = INSTRUMENT.pair(specimen((12, 32, 48), k), photons=60, seed=k)
        if k == 6:
            tifffile.imwrite(folder / "volumes" / "night.tif", low)
        else:
            name = f"fish{k // 2}_{k}.tif"
            tifffile.imwrite(folder / "low" / name, low)
            tifffile.imwrite(folder / "high" / name, high)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("pairs"))
    write_files(place.folder)
    place.configure(CONFIG)
    run = place.run()
    assert run.code == 0, run.output[-5000:]
    return place, run


def test_pairs_take_the_place_of_phantoms(finished):
    place, run = finished
    assert run.jobs["measured_pairs"] == 1 and "phantoms" not in run.jobs
    folder = place.folder / "results" / "fish"
    pairs = json.loads((folder / "training" / "gfp" / "pairs.json").read_text())["pairs"]
    for pair in pairs:
        expected = tuple(-d * v for d, v in zip(INSTRUMENT.drift, VOXEL, strict=True))
        assert pair["shift_um"] == pytest.approx(expected, abs=0.06)
        # Gains of 2.2 and 0.5, a twentieth of the light, of which a fifth is bleached.
        middle = 0.8 * (1 - INSTRUMENT.bleaching / 4)
        assert pair["slope"] == pytest.approx(2.2 / 0.5 / 20 * middle, rel=0.15)
        assert 0.2 < pair["unevenness"] < 0.8  # of 0.44
    by_split = {
        split: {p["specimen"] for p in pairs if p["split"] == split}
        for split in ("train", "val", "test")
    }
    assert sorted(len(names) for names in by_split.values()) == [1, 1, 1]
    assert len(set.union(*by_split.values())) == 3
    metrics = pd.read_csv(folder / "tables" / "metrics.csv")
    assert "measured" in set(metrics["split"]) and "test" not in set(metrics["split"])
    assert set(metrics["method"]) == {"input", *CONFIG["methods"]}
    info = json.loads((folder / "models" / "gfp" / "rln" / "model.json").read_text())
    assert info["target_kernel"] == "measured"
    assert info["trained_on"]["made_as"]["source"] == "first"
    page = (folder / "report.html").read_text()
    assert "Measured pairs, other specimens" in page and "fish0_0" in page
    assert "Uneven (%)" in page


def test_a_second_step_starts_from_the_first_ones_result(finished):
    place, run = finished
    assert run.jobs["ingest_restored"] == 1 and run.jobs["pairs_after_cpu"] == 3
    folder = place.folder / "results" / "fish"
    plan = json.loads((folder / "plans" / "rln.json").read_text())["volumes"][0]
    assert plan["view"] == "results/fish/restored/night/first.ome.zarr" and plan["clip_at_zero"]
    assert np.isfinite(open_volume(folder / "restored/night/rln.ome.zarr").data).all()
    # It was trained and is tested on what the first step makes of the pairs ...
    test = zarr.open_group(folder / "after/first/training/gfp/test.zarr", mode="r")
    first = zarr.open_group(folder / "restored_phantoms/gfp/first.zarr", mode="r")["restored"][:]
    assert np.array_equal(test["image"][:], np.maximum(first, 0))
    # ... whose brightness its normalisation follows, not that of the raw volumes.
    scales = [
        json.loads((folder / name / "gfp.json").read_text())["normalisation"]["scale"]
        for name in ("statistics", "after/first/statistics")
    ]
    assert abs(scales[1] / scales[0] - 1) > 0.1
    assert (
        json.loads((folder / "prepared/gfp/rln.json").read_text())["values"]["scale"] == scales[1]
    )


def test_a_second_run_does_nothing(finished):
    run = finished[0].run()
    assert run.code == 0 and "Nothing to be done" in run.output


@pytest.fixture(scope="module")
def again(finished, tmp_path_factory):
    """The bundle on another volume, beside one whose network has lost its weights."""
    place = Workplace(tmp_path_factory.mktemp("again"))
    (place.folder / "broken").mkdir()
    write_json(place.folder / "broken" / "model.json", asdict(bundle_info()))
    layers = [{"config": {"batch_shape": [None, None, None, None, 1]}}]
    with zipfile.ZipFile(place.folder / "broken" / "model.keras", "w") as network:
        network.writestr("config.json", json.dumps({"config": {"name": "rln", "layers": layers}}))
    models = finished[0].folder / "results" / "fish" / "models"
    bundle = {"bundle": f"{models}/{{channel}}/rln"}
    place.configure(
        {
            "datasets": {"d": DATASET},
            "methods": {"night": bundle, "day": {"bundle": "broken"}},
        }
    )
    return place, bundle, place.run()


def test_a_run_in_which_a_method_failed_has_a_report_and_can_go_on(again):
    place, bundle, run = again
    assert run.code != 0
    page = (place.folder / "results" / "d" / "report.html").read_text()
    assert "logs/d/restore/day.0.log" in page
    log = (place.folder / "logs" / "d" / "restore" / "day.0.log").read_text()
    assert "does not match model.json" in log and "Traceback" not in log
    place.configure({"datasets": {"d": DATASET}, "methods": {"night": bundle}})
    run = place.run()
    assert run.code == 0, run.output[-3000:]
    assert "report" in run.jobs and "restore_part_gpu" not in run.jobs
    assert "logs/d/restore" not in (place.folder / "results" / "d" / "report.html").read_text()


def test_a_bundle_restores_again_without_pairs_or_training(again):
    place, _, run = again
    assert not set(run.jobs) & {"phantoms", "measured_pairs", "train", "tune"}
    page = (place.folder / "results" / "d" / "report.html").read_text()
    warning = (
        "the voxels are 0.3 × 0.15 × 0.2 µm wide (Z × Y × X), but the network was trained for "
        "0.3 × 0.15 × 0.15 µm"
    )
    assert f"small, night: {warning}." in page
    assert f"night on small: {warning}" in (place.folder / "logs/d/plan/night.log").read_text()
    missing_bundle = {"bundle": "$MODELS/{channel}/rln"}
    place.configure({"datasets": {"d": DATASET}, "methods": {"night": missing_bundle}})
    missing = place.run(MODELS="nothing")
    assert missing.code == 1 and "Job stats" not in missing.output
    assert "methods.night.bundle: the folder nothing/" in missing.output
