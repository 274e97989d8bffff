"""A watched folder: half-written and damaged files, one run per file, restarts, locks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from decon3d import paths
from decon3d.command import watch as watching
from decon3d.command.arrivals import MOST_ATTEMPTS
from decon3d.command.watch import PLACE, Watch
from decon3d.errors import UserError
from support.paths import ROOT

CONFIG = {
    "datasets": {
        "any": {
            "volumes": "nothing/*.tif",
            "axes": "ZYX",
            "voxel_size_um": [0.3, 0.1, 0.1],
            "optics": {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.333},
            "channels": {"gfp": {"emission_um": 0.525}},
        }
    },
    "methods": {"rl": {"iterations": 2}},
}


class Bench:
    """A watch with a stubbed run and a clock."""

    def __init__(self, folder):
        self.folder, self.now, self.code, self.runs = folder, 1000.0, 0, []
        self.incoming = folder / "incoming"
        self.incoming.mkdir()
        Path("config.yaml").write_text(yaml.safe_dump(CONFIG))
        self.start()

    def start(self):
        command = 'cat >> said; echo "arg: $1" >> said'
        self.watch = Watch(
            Path("incoming"), Path("config.yaml"), 30.0, command, self.run, lambda: self.now
        )
        self.watch.check()
        self.watch.arrivals.load()

    def run(self, config):
        self.runs.append(yaml.safe_load(config.read_text())["datasets"])
        return self.code

    def looks(self, seconds=31.0):
        self.now += seconds
        return self.watch.one_pass()

    def write(self, name, planes=6):
        data = np.random.default_rng(0).poisson(100, (planes, 16, 16)).astype(np.uint16)
        tifffile.imwrite(self.incoming / name, data, photometric="minisblack")
        return self.incoming / name

    def said(self):
        return Path("said").read_text().splitlines() if Path("said").exists() else []


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Bench(tmp_path)


def test_a_file_is_restored_once_when_it_has_settled_also_after_a_restart(bench):
    bench.write("cell 1.ome.tif")
    bench.write("cell 2.tif.part")
    (bench.incoming / ".hidden.tif").write_bytes(b"")
    bench.looks()
    bench.looks(10)
    assert not bench.runs
    bench.looks()
    bench.start()
    bench.looks()
    bench.looks()
    (datasets,) = bench.runs
    assert list(datasets) == ["cell_1"] and not bench.said()
    (volume,) = datasets["cell_1"]["volumes"]
    assert volume == {"name": "cell_1", "path": str(bench.incoming / "cell 1.ome.tif")}
    assert datasets["cell_1"]["optics"] == CONFIG["datasets"]["any"]["optics"]


def test_a_growing_file_waits_and_a_cut_one_is_reported_once_until_it_changes(bench):
    path = bench.write("cell.tif", planes=40)
    whole = path.read_bytes()
    for share in (3, 2):
        path.write_bytes(whole[: len(whole) // share])
        bench.looks(20)
    assert not bench.runs and not bench.said()
    for _ in range(3):
        bench.looks()
    assert not bench.runs
    line, argument = bench.said()
    assert "cell.tif" in line and "is left out until it changes" in line
    assert argument == f"arg: {line}"
    path.write_bytes(whole)
    bench.looks()
    bench.looks()
    assert len(bench.runs) == 1


def test_a_file_that_does_not_fit_the_config_stops_no_other(bench):
    bench.write("good.tif")
    tifffile.imwrite(bench.incoming / "flat.tif", np.ones((4, 4), np.float64) * np.nan)
    (bench.incoming / "text.tif").write_text("no image")
    bench.looks()
    bench.looks()
    assert [list(run) for run in bench.runs] == [["good"]]
    assert any("text.tif" in line for line in bench.said())


def test_a_changed_file_is_restored_again_and_equal_names_stay_apart(bench):
    bench.write("a.tif")
    bench.write("a.tiff")
    bench.looks()
    bench.looks()
    bench.write("a.tiff", planes=7)
    bench.looks()
    bench.looks()
    assert [list(run) for run in bench.runs] == [["a", "a_2"], ["a_2"]]


def test_a_failed_run_is_told_once_and_tried_again(bench):
    bench.write("a.tif")
    bench.write("b.tif")
    bench.looks()
    bench.code = 1
    page = Path(paths.report("b"))
    page.parent.mkdir(parents=True)
    page.write_text("made by this run")
    os.utime(page, (time.time() + 1, time.time() + 1))
    for _ in range(MOST_ATTEMPTS + 2):
        bench.looks()
    assert [list(run) for run in bench.runs] == [["a", "b"], *[["a"]] * (MOST_ATTEMPTS - 1)]
    assert len(bench.said()) == 2 and "a could not be restored" in bench.said()[0]


def test_a_stopped_run_goes_on(bench):
    bench.write("a.tif")
    bench.looks()
    bench.code = watching.STOPPED
    assert bench.looks() == watching.STOPPED
    bench.code = 0
    bench.start()
    bench.looks()
    bench.looks()
    assert len(bench.runs) == 2 and not bench.said()


def test_another_run_in_the_working_directory_is_waited_for(bench):
    bench.write("a.tif")
    bench.looks()
    lock = Path(".snakemake/locks/0.input.lock")
    lock.parent.mkdir(parents=True)
    lock.touch()
    bench.looks()
    assert not bench.runs
    lock.unlink()
    bench.looks()
    assert len(bench.runs) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": {"rln": {}}}, r"methods\.rln would be trained for every file"),
        ({"datasets": {}}, "has 0 datasets"),
        ({"sede": 1}, "sede"),
    ],
)
def test_a_config_that_no_folder_can_use_is_refused_at_the_start(bench, change, message):
    Path("config.yaml").write_text(yaml.safe_dump({**CONFIG, **change}))
    with pytest.raises(UserError, match=message):
        bench.start()


def test_one_watch_per_folder_and_its_lock_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with watching.alone(tmp_path):
        other = tmp_path / "elsewhere"
        other.mkdir()
        with pytest.raises(UserError, match="in this working directory"), watching.alone(other):
            pass
        monkeypatch.chdir(other)
        with pytest.raises(UserError, match="at work on "), watching.alone(tmp_path):
            pass
    with watching.alone(tmp_path):
        pass
    assert (tmp_path / PLACE / "lock").exists()


def test_ctrl_c_ends_a_watch_with_one_line(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    watch = subprocess.Popen(
        [sys.executable, "-m", "decon3d", "watch", "in"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert "Watching in" in watch.stdout.readline()
    watch.send_signal(signal.SIGINT)
    rest = watch.communicate(timeout=60)[0]
    assert watch.returncode == 130 and len(rest.splitlines()) == 1 and "Stopped." in rest
