"""A tiny training: it learns, it repeats to the bit, it leaves a whole bundle."""

import csv
import itertools
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import zarr
from scipy.ndimage import gaussian_filter

from decon3d.errors import UserError
from decon3d.networks import devices
from decon3d.networks.bundle import load_bundle
from decon3d.networks.description import load_info
from decon3d.networks.kind import Training
from decon3d.training import loop
from decon3d.training.schedules import Rate
from decon3d.training.validation import scores
from support.training_runs import run, tiny


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    truth = 100 + 200 * (gaussian_filter(rng.normal(size=(2, 12, 16, 12)), (0, 1, 1, 1)) > 0.15)
    image = rng.poisson(gaussian_filter(truth.astype(float), (0, 1.5, 1, 1)))
    path = tmp_path_factory.mktemp("pairs") / "train.zarr"
    group = zarr.create_group(path)
    group["image"], group["object"] = image.astype(np.float32), truth.astype(np.float32)
    return path


def test_rln_trains_and_leaves_a_bundle(store, tmp_path):
    run(store, tmp_path)
    _, info = load_bundle(tmp_path)
    assert info.training["crop"] == [12, 16, 12]
    assert info.training["moves"] == ["none", "turn_180", "flip_x", "flip_y"]  # not square
    assert (info.training["steps_done"], info.started_from) == (12, None)
    assert (info.halo, info.best_step % 6, info.trained_on.volumes) == ((18, 18, 18), 0, 2)

    with open(tmp_path / "history.csv") as stream:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]
    assert [row["step"] for row in rows] == [6, 12]
    assert rows[1]["loss"] < rows[0]["loss"]
    assert rows[1]["learning_rate"] == pytest.approx(0.02 * 0.95 ** (11 / 600))
    assert rows[0]["loss"] == pytest.approx(
        rows[0]["mse"] + rows[0]["ssim"] + rows[0]["auxiliary"], rel=1e-5
    )
    best = min(rows, key=lambda row: row["val_nrmse"])
    assert (best["step"], best["val_nrmse"]) == (info.best_step, info.validation["model"]["nrmse"])


def test_training_repeats_to_the_bit(store, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "network", lambda kind: tiny())
    hashes = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(store, tmp_path / folder, seed)
        hashes.append(load_info(tmp_path / folder).weights_sha256)
    assert hashes[0] == hashes[1] != hashes[2]


def fake_steps(monkeypatch, losses, rates):
    """Let the steps return these losses, and note the rates."""

    class FakeStep(loop.Step):
        def __call__(self, images, objects):
            rates.append(float(self.optimizer.learning_rate))
            return {"loss": next(losses)}

    monkeypatch.setattr(loop, "network", lambda kind: tiny())
    monkeypatch.setattr(loop, "Step", FakeStep)


def test_a_loss_that_is_no_number_goes_back_with_half_the_rate(store, tmp_path, monkeypatch):
    rates = []
    fake_steps(monkeypatch, iter([1.0, math.nan, 1.0, math.nan, *[1.0] * 20]), rates)
    run(store, tmp_path)
    first, _, second, _, third = rates[:5]
    assert second / first == pytest.approx(0.5, rel=1e-3)
    assert third / first == pytest.approx(0.25, rel=1e-3)
    assert len(rates) == 12 + 2


def test_a_loss_that_stays_no_number_ends_the_training(store, tmp_path, monkeypatch):
    fake_steps(monkeypatch, iter([1.0, math.nan, math.nan, math.nan]), [])
    with pytest.raises(UserError, match=r"the loss is NaN at step 2.*halved 2 times"):
        run(store, tmp_path)
    assert not (tmp_path / "model.json").exists()


def test_sigterm_saves_and_the_next_attempt_goes_on(store, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop, "network", lambda kind: tiny())
    run(store, tmp_path / "whole")
    monkeypatch.setattr(loop, "prefetched", terminating_after(4))
    with pytest.raises(UserError, match=r"stopped by SIGTERM .* after step 5 of 12"):
        run(store, tmp_path / "stopped")
    monkeypatch.undo()
    monkeypatch.setattr(loop, "network", lambda kind: tiny())
    monkeypatch.setattr("decon3d.networks.bundle.__version__", "99.0")  # the same algorithm
    with caplog.at_level("INFO", logger="decon3d"):
        run(store, tmp_path / "stopped")
    assert "resuming after step 5" in caplog.text
    whole, stopped = (load_info(tmp_path / name) for name in ("whole", "stopped"))
    assert stopped.weights_sha256 == whole.weights_sha256
    history = [(tmp_path / n / "history.csv").read_text() for n in ("whole", "stopped")]
    without_seconds = [[line.rsplit(",", 1)[0] for line in h.splitlines()] for h in history]
    assert without_seconds[0] == without_seconds[1]


def scored(monkeypatch, nrmse):
    """Let the validations return these scores, one after the other."""
    rest = iter(nrmse)
    monkeypatch.setattr(
        loop.Validation,
        "of_model",
        lambda self: {"loss": 1.0, "nrmse": next(rest), "nrmse_affine": 1.0, "psnr_affine": 1.0},
    )


def test_early_stopping_counts_over_a_restart(store, tmp_path, monkeypatch):
    settings = {"validate_every": 1, "patience": 3}
    fake_steps(monkeypatch, itertools.repeat(1.0), [])
    scored(monkeypatch, [5, 4, 4.5, 4.5])
    monkeypatch.setattr(loop, "prefetched", terminating_after(3))
    with pytest.raises(UserError, match="after step 4"):
        run(store, tmp_path, **settings)
    monkeypatch.undo()
    fake_steps(monkeypatch, itertools.repeat(1.0), [])
    scored(monkeypatch, [4.5])  # one more, and no other
    run(store, tmp_path, **settings)
    info = load_info(tmp_path)
    assert (info.best_step, info.training["steps_done"]) == (2, 5)
    assert info.validation["model"]["nrmse"] == 4


def test_fine_tuning_starts_from_a_bundle(store, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "network", lambda kind: tiny())
    run(store, tmp_path / "first")
    first = load_info(tmp_path / "first")
    run(store, tmp_path / "second", start_from=str(tmp_path / "first"), learning_rate=1e-9)
    second = load_info(tmp_path / "second")
    assert second.started_from == first.weights_sha256
    assert second.validation["start"] == first.validation["model"]
    assert second.validation["model"]["nrmse"] <= first.validation["model"]["nrmse"]
    other = tiny()
    other = replace(other, options=lambda method: {"epsilon": 1.0})
    monkeypatch.setattr(loop, "network", lambda kind: other)
    with pytest.raises(UserError, match=r"trained with options epsilon: 0.0001.*has epsilon: 1"):
        run(store, tmp_path / "third", start_from=str(tmp_path / "first"))


def test_mixed_precision_is_left_to_gpus(store, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop, "network", lambda kind: tiny())
    run(store, tmp_path, precision="mixed")
    assert load_info(tmp_path).training["precision"] == "float32"
    assert "mixed needs a GPU" in caplog.text


def terminating_after(steps):
    def make(function, numbers):
        for k in numbers:
            if k == steps:
                os.kill(os.getpid(), signal.SIGTERM)
            yield function(k)

    return make


KILLED = """
import os, signal, sys
from pathlib import Path
from support.training_runs import run, tiny
from decon3d.training import loop
from decon3d.training.checkpoint import Checkpoint
store, dies_at, *folders = sys.argv[1:]
save, saves = Checkpoint.save, []
def dying(self, path):
    save(self, path)
    saves.append(1)
    if len(saves) == int(dies_at):
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.save, loop.network = dying, lambda kind: tiny()
for folder in folders:
    run(Path(store), Path(folder))
"""


def test_a_training_killed_twice_ends_with_the_same_weights(store, tmp_path):
    def attempt(dies_at, *names):
        folders = [str(tmp_path / name) for name in names]
        return subprocess.run(
            [sys.executable, "-c", KILLED, str(store), str(dies_at), *folders],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        ).returncode

    assert attempt(5, "killed") == -signal.SIGKILL
    assert attempt(4, "killed") == -signal.SIGKILL
    assert attempt(99, "killed", "whole") == 0
    killed, whole = (load_info(tmp_path / name) for name in ("killed", "whole"))
    assert killed.weights_sha256 == whole.weights_sha256
    assert killed.validation == whole.validation


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("exponential", {0: 1, 100: 0.95, 200: 0.9025}),
        ("staircase", {0: 1, 99: 1, 100: 0.95, 399: 0.95**3}),
        ("quarters", {0: 1, 99: 1, 100: 0.5, 300: 0.125, 399: 0.125}),
        ("cosine", {0: 1, 200: 0.5, 400: 0}),
        ("plateau", {0: 1, 399: 1}),
    ],
)
def test_schedules(schedule, rates):
    rate = Rate(Training(steps=400, learning_rate=1, schedule=schedule, decay_steps=100))
    for step, expected in rates.items():
        assert rate.at(step) == pytest.approx(expected)


def test_halved_every_n_steps():
    rate = Rate(Training(learning_rate=1, schedule="staircase", decay_steps=50, decay_rate=0.5))
    assert [rate.at(step) for step in (0, 49, 50, 99, 100)] == [1, 1, 0.5, 0.5, 0.25]


def test_a_plateau_halves_the_rate():
    rate = Rate(Training(learning_rate=1, schedule="plateau"))
    for score in [3, 2, *[2.5] * 10]:
        rate.validated(score)
    assert rate.at(0) == 0.5


def test_scores_by_hand():
    truth = np.array([[[0.0, 2.0, 4.0]]], np.float32)
    result = scores(2 * truth + np.float32([0, 0, 3]), truth)
    assert result["nrmse"] == pytest.approx(math.sqrt((4 + 49) / 20))
    p, t = np.array([0, 4, 11]), truth.ravel()
    slope, offset = np.polyfit(p, t, 1)
    error = np.mean((slope * p + offset - t) ** 2)
    assert result["nrmse_affine"] == pytest.approx(math.sqrt(error * 3 / 20), rel=1e-5)
    assert result["psnr_affine"] == pytest.approx(10 * math.log10(16 / error), rel=1e-5)


def test_a_missing_gpu_is_an_error():
    with pytest.raises(UserError, match=r"given 99 GPU"):
        devices.configure(gpus=99, threads=2)
