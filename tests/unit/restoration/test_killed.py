"""A part that is killed at any moment leaves nothing that its next run does not mend."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from decon3d.classical.kinds.rl import Rl
from decon3d.restoration.finish import check_complete
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import make_plan
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import State
from decon3d.settings import Restoration
from decon3d.volumes.ingest import ingest
from decon3d.volumes.statistics import channel_statistics
from support.deconvolution import PSF
from support.paths import ROOT

PART = """
import sys
from decon3d.restoration.part import restore_part
from decon3d.restoration.restorers import State
plan, state, marker = sys.argv[1:]
restore_part(plan, [State.load(state)], part=0, marker=marker, threads=1)
"""
RNG = np.random.default_rng(8)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A volume, and a function that plans its restoration in a folder of its own."""
    folder = tmp_path_factory.mktemp("killed")
    image = RNG.poisson(100, (48, 96, 100)).astype(np.uint16)
    tifffile.imwrite(folder / "v.tif", image, photometric="minisblack")
    record = ingest(
        str(folder / "v.tif"),
        record_path=folder / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=(0.2, 0.1, 0.1),
        times=None,
        key="d",
    )
    statistics = channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="d")
    state = prepare_classical(Rl(kind="rl", iterations=6), statistics=statistics, psf=PSF, tuned={})
    state.save(folder / "state.json")

    def planned(name):
        return make_plan(
            method="m",
            states={"a": state},
            records=[record],
            channels={"a": 0},
            times=None,
            stores=[str(folder / name / "v")],
            path=folder / name / "plan.json",
            restoration=Restoration(memory_gb=5e-3),
        )

    return folder, planned


def start(folder, name):
    target = folder / name
    arguments = [target / "plan.json", folder / "state.json", target / "parts" / "0.json"]
    scripts = str(ROOT / "scripts")
    return subprocess.Popen(
        [sys.executable, "-c", PART, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": scripts},
    )


def shards(folder, name):
    level_0 = folder / name / "v" / "0"
    files = [p for p in level_0.rglob("*") if p.is_file() and p.suffix != ".partial"]
    return {p.relative_to(level_0): p.read_bytes() for p in files}


def finish(folder, name):
    target = folder / name
    restore_part(
        target / "plan.json",
        [State.load(folder / "state.json")],
        part=0,
        marker=target / "parts" / "0.json",
        threads=1,
    )


def test_two_kills_and_no_byte_differs(work):
    folder, planned = work
    plan = planned("undisturbed")
    assert plan.bounds[-1] >= 16
    finish(folder, "undisturbed")
    planned("killed")
    progress = folder / "killed" / "parts" / "0.progress"
    done = 0
    for kill, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 1)):
        process = start(folder, "killed")
        goal = done + int(RNG.integers(1, plan.bounds[-1] // 3))
        while process.poll() is None and not lines(progress) >= goal:
            time.sleep(0.002)
        time.sleep(float(RNG.uniform(0, 0.05)))
        process.send_signal(kill)
        assert process.wait(60) == code
        assert done < lines(progress) < plan.bounds[-1]
        done = lines(progress)
    assert not (folder / "killed" / "parts" / "0.json").exists()
    finish(folder, "killed")
    marker = json.loads((folder / "killed" / "parts" / "0.json").read_text())
    # No block was done twice: each has one line.
    assert marker["blocks"] == plan.bounds[-1] == lines(progress)
    assert shards(folder, "killed") == shards(folder, "undisturbed")
    assert check_complete(plan, folder / "killed" / "parts")["v"]["clipped"] == 0
    finish(folder, "killed")
    assert lines(progress) == plan.bounds[-1]


def lines(progress):
    return progress.read_text().count("\n") if progress.exists() else 0
