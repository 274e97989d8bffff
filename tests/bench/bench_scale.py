"""How large a run may be: time and memory that Snakemake needs before the first job starts."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from run import Row

ROOT = Path(__file__).parents[2]
DATASETS, QUICK_DATASETS, PARTS = 200, 30, 32
REPEATS = 3
METHODS = {
    "rl": {},
    "rl_tuned": {"kind": "rl", "iterations": "tune"},
    "rltv": {},
    "rln": {},
    "neurodecon": {},
    "rcan": {},
    "care": {},
    "rl_residual": {"training": {}},
}


def config(count: int) -> dict[str, object]:
    """Return a config of so many datasets, each with one volume."""
    dataset = {
        "simulate": {"small": {"shape": [12, 32, 32]}},
        "voxel_size_um": [0.3, 0.15, 0.15],
        "optics": {"modality": "confocal", "numerical_aperture": 1.1},
        "channels": {"gfp": {"emission_um": 0.525}},
    }
    return {
        "datasets": {f"d{i:03}": dataset for i in range(count)},
        "methods": METHODS,
        "restoration": {"parts": PARTS},
    }


def bare(methods: list[str], count: int) -> str:
    """Return a Snakefile without functions, params and checks that has as many jobs of each rule."""
    networks = [m for m in methods if m not in ("rl", "rl_tuned", "rltv")]
    path = "results/{dataset}/"
    rules = {
        "psf": ([], path + "psf.tif"),
        "simulate": ([path + "psf.tif"], path + "simulated.ome.tif"),
        "ingest": ([path + "simulated.ome.tif"], path + "ingest.json"),
        "measure": ([path + "ingest.json"], path + "noise.json"),
        "psf_fit": ([path + "noise.json", path + "psf.tif"], path + "psf_fit.json"),
        "phantoms": ([path + "psf.tif"], path + "training/{split}.zarr/zarr.json"),
        "likeness": ([path + "training/test.zarr/zarr.json"], path + "likeness.json"),
        "tune": ([path + "training/val.zarr/zarr.json"], path + "tuning/{method}.json"),
        "train": (
            [path + f"training/{split}.zarr/zarr.json" for split in ("train", "val")],
            path + "models/{method}/model.json",
        ),
        "prepare": ([path + "noise.json"], path + "prepared/{method}.json"),
        "plan": ([path + "prepared/{method}.json"], path + "plans/{method}.json"),
        "part": (
            [path + "plans/{method}.json", path + "prepared/{method}.json"],
            path + "parts/{method}/{part}.json",
        ),
        "finish": (
            [path + f"parts/{{method}}/{part}.json" for part in range(PARTS)],
            path + "finished/{method}.json",
        ),
        "restore_phantoms": (
            [path + "training/test.zarr/zarr.json", path + "prepared/{method}.json"],
            path + "restored_phantoms/{method}.zarr/zarr.json",
        ),
        "evaluate": (
            [path + "finished/{method}.json", path + "restored_phantoms/{method}.zarr/zarr.json"],
            path + "evaluation/{method}.json",
        ),
        "evaluate_sample": ([path + "prepared/{method}.json"], path + "sample/{method}.json"),
        "evaluate_input": ([path + "ingest.json"], path + "evaluation.json"),
        "report": (
            [path + f"evaluation/{m}.json" for m in methods]
            + [path + f"models/{m}/model.json" for m in networks]
            + [path + f"sample/{m}.json" for m in networks]
            + [
                path + f"{name}.json"
                for name in ("tuning/rl_tuned", "tuning/rltv", "psf_fit", "likeness", "evaluation")
            ],
            path + "report.html",
        ),
    }
    pages = [f"results/d{i:03}/report.html" for i in range(count)]
    name = "[A-Za-z0-9_-]+"
    text = f"wildcard_constraints: dataset={name!r}, method={name!r}\n"
    text += f"rule all:\n    input: 'results/index.html'\nrule index:\n    input: {pages}\n"
    text += "    output: 'results/index.html'\n"
    for rule, (inputs, output) in rules.items():
        text += f"rule {rule}:\n    input: {inputs}\n    output: {output!r}\n"
    return text


class Graph(NamedTuple):
    """What the DAG of all jobs costs."""

    seconds: float
    of_one_core: float
    """CPU time."""
    gigabytes: float


def build(folder: str, *options: str) -> Graph:
    """Build the DAG of all jobs; the graph of rules is the least that Snakemake prints of it."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", *options, "--rulegraph"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as run:
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise RuntimeError(f"snakemake ended with {run.returncode}")
    seconds = time.perf_counter() - start
    return Graph(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9)


def quick() -> Iterator[Row]:
    """Fewer datasets, several times."""
    yield from _graphs(QUICK_DATASETS, REPEATS)


def rows() -> Iterator[Row]:
    yield from _graphs(DATASETS, 1)


def _graphs(count: int, repeats: int) -> Iterator[Row]:
    """Compare the workflow with a bare Snakefile of as many jobs."""
    profile = str(ROOT / "profiles" / "slurm")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(yaml.safe_dump(config(count)))
        (Path(folder) / "bare.smk").write_text(bare(list(METHODS), count))
        workflow = ("--snakefile", str(ROOT / "Snakefile"), "--configfile", "config.yaml")
        own, least = [], []
        for _ in range(repeats):
            own.append(build(folder, *workflow, "--profile", profile))
            least.append(build(folder, "--snakefile", "bare.smk", "--cores", "1"))
    what = f"DAG of {count} datasets × {len(METHODS)} methods × {PARTS} parts"
    full = count == DATASETS
    yield Row(what, [one.seconds for one in own], "s", 120 if full else None)
    yield Row(f"{what}: a bare Snakefile", [one.seconds for one in least], "s")
    ratios = [a.of_one_core / b.of_one_core for a, b in zip(own, least, strict=True)]
    yield Row(f"{what}, CPU time / a bare Snakefile", ratios, "×", 1.3, worse="slower")
    yield Row(f"{what}, memory", [one.gigabytes for one in own], "GB", 2.5 if full else None)
    ratios = [a.gigabytes / b.gigabytes for a, b in zip(own, least, strict=True)]
    yield Row(f"{what}, memory / a bare Snakefile", ratios, "×", worse="larger")
