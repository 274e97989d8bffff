"""A source file that is replaced by one of the same size and an older or equal time is noticed."""

import json
import os
import re
import shutil
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
import tifffile

from decon3d.files import write_json
from decon3d.volumes.manifest import finish_store
from support.records import bundle_info
from support.volumes import own_volume
from support.workflow import Workplace

VOXEL = [0.3, 0.15, 0.15]
TRAINING = {"steps": 4, "crop": [8, 16, 16], "batch": 2, "validate_every": 2}
OPTICS = {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333}
COMMON = {"voxel_size_um": VOXEL, "optics": OPTICS, "camera": {"offset": 100}}
CONFIG = {
    "datasets": {
        "cells": {
            "volumes": [
                {"name": "stack", "path": "data/v.tif", "reference": "data/truth.tif"},
                {"name": "set", "path": "data/set0.ome.tif"},
                {"name": "planes", "path": "data/planes"},
                {"name": "zarr", "path": "data/v.ome.zarr"},
            ],
            "channels": {
                "psf": {
                    "emission_um": 0.5,
                    "psf": {"source": "file", "path": "data/psf.tif", "voxel_size_um": VOXEL},
                },
            },
            **COMMON,
        },
        "pairs": {
            "volumes": "data/v.tif",
            "channels": {
                "a": {
                    "emission_um": 0.5,
                    "psf": {
                        "source": "beads",
                        "path": "data/beads.tif",
                        "bead_diameter_um": 0.1,
                        "voxel_size_um": VOXEL,
                    },
                }
            },
            "pairs": {"raw": "data/low/*.tif", "truth": "data/high/*.tif"},
            **COMMON,
        },
    },
    "methods": {
        "old": {"bundle": "data/bundle"},
        "new": {"kind": "rln", "training": {**TRAINING, "start_from": "data/start"}},
    },
    "phantoms": {
        "shape": [12, 32, 32],
        "train": {"count": 1, "recipes": {"mine": 1}},
        "val": {"count": 1, "recipes": {"mine": 1}},
        "test": {"count": 1, "recipes": {"tubules": 1}},
        "objects": {"mine": {"path": "data/own.tif"}},
    },
}
# Files that are replaced together, and the jobs that notice it themselves.
GROUPS = [
    (
        [
            "v.tif",
            "set1.ome.tif",
            "planes/z3.tif",
            "v.ome.zarr/0/c/0/0/0/0/0",
            "psf.tif",
            "beads.tif",
        ],
        {"ingest": 5, "psf": 2},
    ),
    (
        ["truth.tif", "high/a.tif", "own.tif"],
        {"evaluate_network": 4, "evaluate_input": 2, "measured_pairs": 1, "phantoms": 2},
    ),
    (["bundle/model.keras", "start/model.keras"], {"restore_prepare_on_sample": 2, "train": 2}),
]


def write_files(folder):
    rng = np.random.default_rng(1)
    for name in ("planes", "low", "high", "bundle", "start"):
        (folder / name).mkdir(parents=True)
    image = rng.poisson(200, (2, 16, 32, 32)).astype(np.uint16)
    names = ("v", "truth", "own", "beads", "low/a", "low/b", "low/c", "high/a", "high/b", "high/c")
    for name in names:
        tifffile.imwrite(folder / f"{name}.tif", image[0], photometric="minisblack")
    tifffile.imwrite(folder / "psf.tif", np.ones((5, 5, 5), np.float32), photometric="minisblack")
    for z, plane in enumerate(image[0]):
        tifffile.imwrite(folder / "planes" / f"z{z}.tif", plane)
    planes = "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="16">'
        f'<UUID FileName="set{c}.ome.tif">urn:uuid:{c}</UUID></TiffData>'
        for c in range(2)
    )
    channels = '<Channel ID="Channel:0:0"/><Channel ID="Channel:0:1"/>'
    for c in range(2):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME '
            f'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{c}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="32" SizeY="32" SizeZ="16" SizeC="2" SizeT="1">{channels}{planes}</Pixels>'
            "</Image></OME>"
        )
        tifffile.imwrite(
            folder / f"set{c}.ome.tif",
            image[c],
            description=xml,
            metadata=None,
            photometric="minisblack",
        )
    own_volume(folder / "v.ome.zarr", image[0], chunk=(16, 32, 32), voxel_size_um=VOXEL)
    for name in ("bundle", "start"):
        write_json(folder / name / "model.json", asdict(bundle_info()))
        with zipfile.ZipFile(folder / name / "model.keras", "w") as file:
            model = {
                "name": "rln",
                "layers": [
                    {
                        "class_name": "InputLayer",
                        "config": {"batch_shape": [None, None, None, None, 1]},
                    }
                ],
            }
            file.writestr("config.json", json.dumps({"config": model}))


@pytest.fixture(scope="module")
def touched(tmp_path_factory):
    """A workplace in which all results are there and up to date, as far as Snakemake knows."""
    place = Workplace(tmp_path_factory.mktemp("replaced"))
    write_files(place.folder / "data")
    place.configure(CONFIG)
    summary = place.run("--summary")
    assert summary.code == 0, summary.output[-3000:]
    for path in re.findall(r"^(results/\S+)", summary.output, re.MULTILINE):
        (place.folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".zarr/zarr.json"):  # one without a manifest would be made again
            finish_store((place.folder / path).parent, {})
        else:
            (place.folder / path).write_text("{}")
    run = place.run("--touch", "--forceall")
    assert run.code == 0, run.output[-3000:]
    return place


def test_nothing_is_to_be_done_before(touched):
    run = touched.run("--dry-run")
    assert "Nothing to be done" in run.output, run.output[-3000:]


@pytest.mark.parametrize(("names", "jobs"), GROUPS)
def test_an_older_or_equal_file_in_its_place_is_noticed(touched, names, jobs):
    paths = [touched.folder / "data" / name for name in names]
    times = {path.parent: path.parent.stat().st_mtime_ns for path in paths}
    for older, path in enumerate(paths):
        os.link(path, touched.folder / f"{older}.first")
        copy = shutil.copy(path, touched.folder / "copy")
        time = path.stat().st_mtime_ns - (older % 2) * 10**12
        os.utime(copy, ns=(time, time))
        os.replace(copy, path)
        os.utime(path.parent, ns=(times[path.parent],) * 2)
    run = touched.run("--dry-run")
    for older, path in enumerate(paths):
        os.replace(touched.folder / f"{older}.first", path)
        os.utime(path.parent, ns=(times[path.parent],) * 2)
    reasons = run.output.partition("Reasons:")[2]
    changed = re.search(r"params have changed[^:]*:\n\s+(.*)", reasons)
    assert changed and set(jobs) <= set(changed[1].split(", ")), run.output[-3000:]
    assert {rule: run.jobs[rule] for rule in jobs} == jobs


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("noise/psf.json", "measure"),
        ("plans/old.json", "restore_plan"),
        ("evaluation/old/volumes.json", "evaluate_network"),
        ("tables/metrics.csv", "report"),
    ],
)
def test_a_deleted_record_or_table_is_made_again(touched, name, rule):
    path = touched.folder / "results" / "cells" / name
    kept = path.rename(touched.folder / "kept")
    run = touched.run("--dry-run")
    kept.rename(path)
    assert run.jobs[rule] == 1, run.output[-3000:]
