"""Small files: whole or not at all, refused when they are damaged, removed when they are ours."""

import errno
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from decon3d.errors import ConfigError, DamagedError
from decon3d.files import (
    announce_output,
    append_line,
    full_disk,
    read_json,
    read_lines,
    read_record,
    replacing,
    write_lines,
    write_text,
)
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf, normalised_psf, save_psf
from decon3d.restoration.restorers import State
from decon3d.training.checkpoint import Checkpoint


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"7", b"null", b"\xff\xfe\x00", b"[" * 9999])
def test_a_damaged_json_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for read in (read_json, read_record):
        with pytest.raises(DamagedError, match=r"a\.json"):
            read(path)
    with pytest.raises(DamagedError, match=r"none\.json is missing"):
        read_json(tmp_path / "none.json")


def test_an_altered_line_of_progress_is_left_out(tmp_path):
    path = tmp_path / "0.progress"
    lines = [{"item": i, "voxels": 10 * i} for i in range(4)]
    write_lines(path, lines[:2])
    for line in lines[2:]:
        append_line(path, line)
    assert list(read_lines(path)) == lines
    text = path.read_text()
    path.write_text(text.replace('"voxels": 20', '"voxels": 21'))
    assert list(read_lines(path)) == [lines[0], lines[1], lines[3]]
    for other in (b"7\n", b"[1]\n", b"null\n", b"\xff\xfe\n", b'{"item": 1}\n', b'{"item": 9, "vo'):
        path.write_bytes(text.encode() + other)
        assert list(read_lines(path)) == lines
    assert list(read_lines(tmp_path / "none")) == []
    assert all(json.loads(line) for line in text.splitlines())


def test_what_killed_writers_left_is_removed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    dead, host = done.stdout.decode().strip(), socket.gethostname()
    ours = [f".a.json.{host}.{dead}.part", f".a.json.{host}.{dead}.part.keras"]
    running = f".a.json.{host}.{os.getppid()}.part"
    elsewhere, old = ".a.json.node7.12.part", ".a.json.node7.13.part"
    for name in (*ours, running, elsewhere, old, ".b.json.x.1.part", "a.json.bak"):
        (tmp_path / name).write_text("{")
    os.utime(tmp_path / old, (1e9, 1e9))
    write_text(tmp_path / "a.json", "{}")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.json", running, elsewhere, ".b.json.x.1.part", "a.json.bak"}


def test_a_failed_writer_leaves_the_old_file(tmp_path):
    write_text(tmp_path / "a", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_text() == "old"


def run_job(error: Exception, log: str) -> int:
    with pytest.raises(SystemExit) as ended, job_log(log):
        raise error
    return int(ended.value.code)


def test_a_job_removes_what_is_damaged_of_its_own_dataset_only(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ours = [Path("results/d/prepared/m.json"), Path("results/d/prepared/m.npz")]
    others = [Path("results/e/models/model.json"), tmp_path / "user" / "psf.json"]
    for path in (*ours, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    assert run_job(DamagedError(ours[0], "is cut", files=ours[1:]), "logs/d/plan/m.log") == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith(
        "E results/d/prepared/m.json is cut; run the same command again to make it again"
    )
    assert not any(path.exists() for path in ours)
    for path in others:
        run_job(DamagedError(path, "is cut"), "logs/d/plan/m.log")
        assert path.exists()
        assert "replace it with an undamaged copy" in capsys.readouterr().err


def test_a_worker_s_error_reaches_its_job():
    damaged = pickle.loads(pickle.dumps(DamagedError("a.json", "is cut", files=["a.npz"])))
    assert str(damaged) == "a.json is cut" and damaged.files == (Path("a.json"), Path("a.npz"))
    config = pickle.loads(pickle.dumps(ConfigError(["a: wrong", "b: wrong"])))
    assert config.problems == ["a: wrong", "b: wrong"] and "2 problems" in str(config)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    announce_output(12.5)
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "results/d/0"))
    outer = RuntimeError("write failed")
    outer.__cause__ = error
    for raised in (error, outer):
        assert run_job(raised, "logs/d/restore/m.log") == 1
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert f"{tmp_path}: the disk is full (" in said
        assert "this job writes up to 12 GB before compression; free some space" in said
    assert full_disk(ValueError("other"), tmp_path) is None


def state() -> State:
    return State("rl", (1, 1, 1), (1, 1, 1), True, 4.0, {}, {"psf": np.ones((5, 5), "f4")})


@pytest.mark.parametrize("name", ["s.json", "s.npz"])
@pytest.mark.parametrize("damage", ["cut", "missing", "zeros"])
def test_a_damaged_state_is_removed_with_its_arrays(tmp_path, name, damage):
    state().save(tmp_path / "s.json")
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    else:
        half = path.stat().st_size // 2
        path.write_bytes(path.read_bytes()[:half] if damage == "cut" else bytes(2 * half))
    with pytest.raises(DamagedError) as found:
        State.load(tmp_path / "s.json")
    assert set(found.value.files) == {tmp_path / "s.json", tmp_path / "s.npz"}


@pytest.mark.parametrize("name", ["psf.tif", "psf.json"])
@pytest.mark.parametrize("share", [0, 0.2, 0.6])
def test_a_cut_psf_is_removed_with_its_record(tmp_path, name, share):
    data = np.random.default_rng(0).random((9, 15, 15)).astype(np.float32)
    save_psf(normalised_psf(data, (0.3, 0.1, 0.1), {"source": "theory"}), tmp_path / "psf.tif")
    assert load_psf(tmp_path / "psf.tif").data.shape == (9, 15, 15)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(DamagedError) as found:
        load_psf(tmp_path / "psf.tif")
    assert set(found.value.files) == {tmp_path / "psf.tif", tmp_path / "psf.json"}


@pytest.mark.parametrize("share", [0, 0.3, 0.95])
def test_a_cut_checkpoint_starts_the_training_over(tmp_path, caplog, share):
    path = tmp_path / "c.npz"
    weights = [np.ones(3, np.float32)]
    Checkpoint("k", weights, weights, weights, {"step": 3}).save(path)
    loaded = Checkpoint.load(path, key="k")
    assert loaded is not None and loaded.values == {"step": 3}
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert Checkpoint.load(path, key="k") is None
    assert "c.npz is damaged" in caplog.text
