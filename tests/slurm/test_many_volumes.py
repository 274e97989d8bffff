"""`decon3d run` of many small volumes on the test cluster: few jobs, counted volumes, a clean stop."""

import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from decon3d import paths
from support.configs import simulated_dataset
from support.paths import ROOT
from support.slurm_cluster import wait
from support.workflow import Workplace

COUNT = 60


@pytest.fixture
def start(cluster, tmp_path):
    """A function that starts `decon3d run` up to the statistics of many volumes."""
    (tmp_path / "data").mkdir()
    images = np.random.default_rng(1).poisson(200, (COUNT, 4, 24, 24)).astype(np.uint16)
    for i, image in enumerate(images):
        tifffile.imwrite(tmp_path / "data" / f"v{i:02}.tif", image, photometric="minisblack")
    dataset = simulated_dataset(simulate=None, volumes="data/*.tif")
    Workplace(tmp_path).configure({"datasets": {"d": dataset}, "methods": {"rl": {}}})

    def start():
        command = ("run", "config.yaml", "--profile", str(ROOT / "profiles" / "slurm"))
        return subprocess.Popen(
            [sys.executable, "-m", "decon3d", *command, paths.statistics("d", "gfp")],
            cwd=tmp_path,
            env={**cluster.environment, "PYTHONPATH": str(ROOT / "scripts")},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    return start


def test_a_stopped_run_leaves_no_job_and_the_next_one_ingests_all_in_one_job(
    start, cluster, tmp_path
):
    def own():
        return [job for job in cluster.jobs() if job["WorkDir"] == str(tmp_path)]

    run = start()
    wait(lambda: own() or run.poll() is not None, "a job in the queue", 120)
    run.send_signal(signal.SIGTERM)
    stopped = run.communicate(timeout=200)[0]
    assert run.returncode == 130, stopped
    last = stopped.splitlines()[-1]
    assert last.startswith("Stopped by SIGTERM") and "none is left in the queue" in last
    assert {job["JobState"] for job in own()} <= {"CANCELLED", "COMPLETED", "FAILED"}
    before = len(own())
    run = start()
    finished = run.communicate(timeout=600)[0]
    assert run.returncode == 0 and f"{COUNT} of {COUNT} volumes" in finished, finished
    names = {job["JobName"].rpartition("_")[0] for job in own()}
    comments = sorted(job["Comment"] for job in own()[before:])
    assert names == {"decon3d"} and len(comments) == 2, comments
    assert comments[0].startswith("rule_ingest") and comments[1].startswith("rule_measure")
    assert len(list((tmp_path / "results/d/ingest").glob("*.json"))) == COUNT
