"""Which GPUs a job may use, and what it says of where it runs."""

import json
import os
import subprocess
import sys

import pytest

from decon3d.logs import where
from decon3d.networks import devices
from decon3d.networks.devices import driver_version, granted_gpus
from support.paths import ROOT


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, 0),
        ({"gpu": 2}, 2),
        ({"gres": "gpu:1"}, 1),
        ({"gres": "gpu:a100"}, 1),
        ({"gres": "gpu:a100:2,nvme:1"}, 2),
        ({"gres": "nvme:3"}, 0),
    ],
)
def test_a_job_uses_the_gpus_that_it_asked_for(resources, expected):
    assert granted_gpus(resources) == expected


def test_where_a_job_runs(monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_JOB_PARTITION", "SLURMD_NODENAME", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    assert "SLURM" not in where()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_PARTITION", "gpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert where().endswith(", SLURM job 7, partition gpu, CUDA_VISIBLE_DEVICES 1")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n"
            "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n",
            "550.54.15",
        ),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86  Release Build\n",
            "570.86",
        ),
        (None, "unknown"),
    ],
)
def test_the_driver_says_its_version(said, expected, tmp_path, monkeypatch):
    if said is not None:
        (tmp_path / "version").write_text(said)
    monkeypatch.setattr(devices, "DRIVER", tmp_path / "version")
    assert driver_version() == expected


POOLS = """
import json, sys, threading, time
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "before":
    import dask.array, zarr
from decon3d.logs import job_log
with job_log(sys.argv[3], threads=3):
    import dask.array as da
    import numpy as np
    import zarr
    seen = set()
    def note(block):
        seen.add(threading.get_ident())
        time.sleep(0.01)
        return block
    da.ones(60, chunks=1).map_blocks(note, dtype=float, meta=np.ones(0)).compute()
    values = zarr.create_array(store={}, shape=(4000,), chunks=(50,), dtype="float32")
    values[:] = np.arange(4000)
    pool = [t.name for t in threading.enumerate() if t.name.startswith("zarr_pool")]
print(json.dumps([len(seen), len(pool)]))
"""


@pytest.mark.parametrize("imported", ["before", "after"])
def test_pools_have_the_threads_of_the_job(imported, tmp_path):
    """Whatever the number of CPUs of this machine: more than 3 here, and fewer elsewhere."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DASK_NUM_WORKERS",)}
    said = subprocess.run(
        [sys.executable, "-c", POOLS, str(ROOT / "scripts"), imported, str(tmp_path / "log")],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    ).stdout
    dask, zarr = json.loads(said)
    assert dask == 3 and 0 < zarr <= 3
