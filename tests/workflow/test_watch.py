"""A watched folder: one true run, of what arrived."""

import os
import subprocess
import sys

import numpy as np
import tifffile
import yaml

from support.configs import simulated_dataset
from support.paths import ROOT


def test_what_arrives_is_restored_and_what_was_restored_stays(tmp_path):
    dataset = simulated_dataset(volumes="any.tif", axes="ZYX")
    del dataset["simulate"]
    config = {"datasets": {"any": dataset}, "methods": {"rl": {"iterations": 2}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "in").mkdir()
    counts = np.random.default_rng(0).poisson(150, (12, 32, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "in" / "a.tif", counts, photometric="minisblack")

    def watch():
        command = [sys.executable, "-m", "decon3d", "watch", "in", "--once", "--settle", "0.5"]
        return subprocess.run(
            [*command, "--on-failure", "cat >> said", "--cores", "1"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )

    first = watch()
    assert first.returncode == 0 and not (tmp_path / "said").exists(), first.stdout
    assert len(first.stdout.splitlines()) < 15, first.stdout
    page = tmp_path / "results" / "a" / "report.html"
    made = page.stat().st_mtime_ns
    (tmp_path / "in" / "b.tif").write_bytes(b"half a file")
    second = watch()
    assert second.returncode == 0 and page.stat().st_mtime_ns == made
    assert "b.tif is left out until it changes" in (tmp_path / "said").read_text()
    assert watch().stdout == ""
