"""Which GPUs a job may use, and what it says of where it runs."""

import pytest

from decon3d.devices import granted_gpus
from decon3d.logs import where


@pytest.mark.parametrize(
    ("resources", "expected"),
    [({}, 0), ({"gpu": 2}, 2), ({"gres": "gpu:1"}, 1), ({"gres": "gpu:a100"}, 1),
     ({"gres": "gpu:a100:2,nvme:1"}, 2), ({"gres": "nvme:3"}, 0)],
)  # fmt: skip
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
