"""How large a run may be: time and memory that Snakemake needs before the first job starts."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml
from run import Row

ROOT = Path(__file__).parents[2]
DATASETS, PARTS = 200, 32
METHODS = {
    "rl": {},
    "rl_tuned": {"kind": "rl", "iterations": "tune"},
    "rltv": {},
    "rln": {},
    "neurodecon": {},
    "rcan": {},
    "care": {},
    "rl_residual": {},
}


def config() -> dict[str, object]:
    """Return a config of many datasets, each with one volume."""
    dataset = {
        "simulate": {"small": {"shape": [12, 32, 32]}},
        "voxel_size_um": [0.3, 0.15, 0.15],
        "optics": {"modality": "confocal", "numerical_aperture": 1.1},
        "channels": {"gfp": {"emission_um": 0.525}},
    }
    return {
        "datasets": {f"d{i:03}": dataset for i in range(DATASETS)},
        "methods": METHODS,
        "restoration": {"parts": PARTS},
    }


def rows() -> Iterator[Row]:
    """Build the DAG of all jobs; the graph of rules is the least that Snakemake prints of it."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(config()))
        start = time.perf_counter()
        with subprocess.Popen(
            [
                sys.executable,
                "-m",
                "snakemake",
                "--snakefile",
                str(ROOT / "Snakefile"),
                "--profile",
                str(ROOT / "profiles" / "slurm"),
                "--configfile",
                "config.yaml",
                "--rulegraph",
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        ) as run:
            _, status, used = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
    if run.returncode:
        raise RuntimeError(f"snakemake ended with {run.returncode}")
    what = f"DAG of {DATASETS} datasets × {len(METHODS)} methods × {PARTS} parts"
    yield Row(what, seconds, "s", 120)
    yield Row(f"{what}, of one core", used.ru_utime + used.ru_stime, "s")
    yield Row(what, used.ru_maxrss * 1024 / 1e9, "GB", 2.5)
