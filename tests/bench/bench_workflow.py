"""Few, quick jobs: imports, one small volume to its page, the demo."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from run import Row, ratios, seconds  # finds the library, too

from support.configs import simulated_dataset
from support.paths import ROOT
from support.workflow import Run

REPEATS = 3
SMALL = (32, 160, 160)
"""0.8 Mvoxel."""
MODULES = {
    "in Python (decon3d.deconvolve)": "decon3d.api",
    "for the Snakefile (decon3d.jobs)": "decon3d.jobs",
    "of a part (decon3d.restoration.part)": "decon3d.restoration.part",
    "of an evaluation (decon3d.evaluation.sample)": "decon3d.evaluation.sample",
    "of a page (decon3d.report.page)": "decon3d.report.page",
}
PEER = "numpy, scipy.ndimage, zarr"
"""What no job can do without."""
BARE = """
rule all:
    input: "done/last"
rule last:
    input: expand("done/{{job}}", job=range({jobs}))
    output: touch("done/last")
rule job:
    output: touch("done/{{job}}")
    shell: "{python} -c 'import {peer}'"
"""


def quick() -> Iterator[Row]:
    """Measure all of it."""
    yield from _imports()
    yield from _small()
    yield from _demo()


rows = quick


def _imports() -> Iterator[Row]:
    """Import times, the interpreter included; TensorFlow is not imported."""
    yield Row(f"import {PEER}", seconds(lambda: _import(PEER)), "s")
    for name, module in MODULES.items():
        yield Row(f"imports {name}", seconds(lambda m=module: _import(m)), "s", 1)
        found = ratios(lambda m=module: _import(m), lambda: _import(PEER))
        yield Row(f"imports {name} / {PEER}", found, "×", worse="slower")


def _import(modules: str) -> None:
    command = [sys.executable, "-c", f"import {modules}"]
    subprocess.run(command, cwd=ROOT / "scripts", check=True)


@dataclass
class Finished(Run):
    """A run of the workflow, and the wall time it took."""

    seconds: float

    @property
    def count(self) -> int:
        """Number of jobs."""
        return sum(self.jobs.values())


def _snakemake(folder: str, *arguments: str) -> Finished:
    """Call Snakemake with all results in a folder of their own."""
    return _finished("snakemake", "--directory", folder, *arguments, cwd=ROOT)


def _finished(module: str, *arguments: str, cwd: str | Path) -> Finished:
    """Call a Python module that runs the workflow."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise RuntimeError(f"{module} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return Finished(done.returncode, done.stdout, time.perf_counter() - start)


def _small() -> Iterator[Row]:
    """One small volume with rl, in turn with a bare Snakefile of as many jobs that import."""
    dataset = simulated_dataset(simulate={"small": {"shape": list(SMALL)}})
    config = {"seed": 1, "datasets": {"d": dataset}, "methods": {"rl": {}}}
    own, bare = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.yaml"
            path.write_text(yaml.safe_dump(config))
            options = ("--profile", str(ROOT / "profiles" / "local"), "--configfile", str(path))
            own.append(_snakemake(folder, *options, "--cores", "2"))
            snakefile = Path(folder) / "bare.smk"
            jobs = own[-1].count - 2  # "all" and "last"
            snakefile.write_text(BARE.format(jobs=jobs, python=sys.executable, peer=PEER))
            bare.append(_snakemake(folder, "--snakefile", str(snakefile), "--cores", "2"))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(yaml.safe_dump(config))
        shown = _finished("decon3d", "run", "config.yaml", "--cores", "2", cwd=folder)
    what = "one volume of 0.8 Mvoxel with rl, to its page"
    yield Row(what, [run.seconds for run in own], "s", 20)
    yield Row(f"{what}: jobs", own[0].count, "")
    yield Row(f"{what}: lines on the terminal (decon3d run)", shown.output.count("\n"), "")
    pairs = zip(own, bare, strict=True)
    name = f"{what} / a bare Snakefile of as many jobs that import"
    yield Row(name, [a.seconds / b.seconds for a, b in pairs], "×", worse="slower")


def _demo() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        demo = _snakemake(folder, "--profile", str(ROOT / "profiles" / "demo"))
    yield Row("the demo after set-up", demo.seconds, "s", 60)
    yield Row("the demo after set-up: jobs", demo.count, "")
