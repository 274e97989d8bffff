"""`decon3d doctor` on a described cluster."""

import yaml
from typer.testing import CliRunner

from decon3d.cli import app
from decon3d.command import doctor, launch
from decon3d.errors import UserError
from decon3d.slurm.facts import Cluster, Partition

CLUSTER = Cluster(
    "22.05.8",
    (
        Partition("cpu", True, 10080, 2, 0, 8, 64000, {}),
        Partition("gpu", False, 2880, 2, 0, 8, 64000, {"a100": 2}),
    ),
    False,
    (),
    30,
    300,
    True,
)


def test_a_profile_is_written_where_run_finds_it_and_never_over_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "look", lambda: CLUSTER)
    done = CliRunner().invoke(app, ["doctor", "--write", "mine"])
    assert done.exit_code == 0, done.output
    assert "cpu (default): 2 nodes, 8 CPUs, 64000 MB, no GPU, time limit 10080 min" in done.output
    assert "  jobs: 30   # you may have 30 jobs in the queue" in done.output
    path = launch.find_profile("mine")
    assert path == "profiles/mine"
    assert yaml.safe_load((tmp_path / path / "config.yaml").read_text())["jobs"] == 30
    monkeypatch.setattr(doctor, "look", None)
    again = CliRunner().invoke(app, ["doctor", "--write", "mine"])
    assert isinstance(again.exception, UserError) and "exists" in str(again.exception)


def test_the_jobs_that_are_tried_are_those_of_the_profile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "look", lambda: CLUSTER)
    monkeypatch.setattr(doctor, "try_node", lambda partition, request, folder: (True, str(request)))
    done = CliRunner().invoke(app, ["doctor", "--try"])
    assert "a job in cpu: ()" in done.output and "a job in gpu: ('--gpus=1',)" in done.output
    assert not list(tmp_path.iterdir())


def test_a_folder_that_a_job_has_read_is_not_doubted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "look", lambda: CLUSTER)
    monkeypatch.setattr(doctor, "file_system", lambda folder: "ext4")
    for works in (True, False):
        monkeypatch.setattr(doctor, "try_node", lambda *_, works=works, **__: (works, "answer"))
        done = CliRunner().invoke(app, ["doctor", "--try"])
        assert ("usually a machine's own disk" in done.output) is not works
    assert "usually a machine's own disk" in CliRunner().invoke(app, ["doctor"]).output
