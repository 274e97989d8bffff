"""`decon3d doctor` on the test cluster."""

import shutil
import subprocess
import sys

import pytest
import yaml

from support.paths import ROOT


@pytest.fixture
def profile():
    """The name of a profile that is gone after the test."""
    name = "written_by_a_test"
    yield name
    shutil.rmtree(ROOT / "profiles" / name, ignore_errors=True)


def test_the_doctor_sees_the_cluster_tries_its_nodes_and_writes_a_profile(cluster, profile):
    done = subprocess.run(
        [sys.executable, "-m", "decon3d", "doctor", "--try", "--write", profile],
        cwd=ROOT,
        env={**cluster.environment, "PYTHONPATH": "scripts"},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "accounting: no" in done.stdout
    assert "slurm-status-command: squeue" in done.stdout
    assert (
        "a job in cpu: sees this folder and this Python; CUDA_VISIBLE_DEVICES = not set"
        in done.stdout
    )
    assert "a job in gpu: sees this folder and this Python; CUDA_VISIBLE_DEVICES = 0" in done.stdout
    written = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    template = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    asked = written.pop("set-resources")
    longest = {rule: a.pop("most_minutes") for rule, a in asked.items() if "most_minutes" in a}
    assert longest["restore_part_gpu"] == 2 * 24 * 60 < longest["evaluate"] == 7 * 24 * 60
    asked = {rule: resources for rule, resources in asked.items() if resources}
    assert asked == template.pop("set-resources")
    assert written == {**template, "resources": ["gpu=2", "in_turn=1"]}


def test_without_slurm_the_doctor_says_so():
    done = subprocess.run(
        [sys.executable, "-m", "decon3d", "doctor"],
        cwd=ROOT,
        env={"PATH": "/nowhere", "PYTHONPATH": "scripts"},
        text=True,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 1 and "login node" in done.stderr
    assert "Traceback" not in done.stderr
