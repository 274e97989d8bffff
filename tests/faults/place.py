"""A small workflow in a folder of its own: its inputs, its undisturbed results, and comparing them."""

import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

ROOT = Path(__file__).resolve().parents[2]
SHAPE = (2, 1, 16, 48, 48)
VOXEL_UM = (0.3, 0.15, 0.15)
RUN_SECONDS = 400
"""A run that takes longer hangs: an undisturbed one takes a minute."""
DATASET = {
    "volumes": ["data/one.ome.tif", "data/two.ome.zarr"],
    "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
    "camera": {"offset": 100, "gain": 2.0, "read_noise": 1.5},
    "channels": {"gfp": {"index": 0, "emission_um": 0.525}},
}
TRAINING = {"steps": 2, "crop": [8, 16, 16], "batch": 1, "validate_every": 1}
SUITES: dict[str, dict[str, Any]] = {
    "small": {"methods": {"rl": {"iterations": 3}}},
    "chain": {
        "methods": {
            "rl": {"iterations": 3},
            "tuned": {"kind": "rltv", "tune_on": "data"},
            "again": {"kind": "rltv", "source": "rl", "iterations": 2, "tv_weight": 0.002},
        }
    },
    "network": {
        "methods": {"rln": {"training": TRAINING}},
        "phantoms": {
            "shape": [12, 32, 32],
            "train": {"count": 2, "recipes": {"rln_mixed": 1}},
            "val": {"count": 1, "recipes": {"rln_mixed": 1}},
            "test": {"count": 1, "recipes": {"rln_mixed": 1}},
        },
    },
}
"""Configs: `small` for the sample, the others for all cells."""
NAMES = {
    "one": "VOLUME",
    "two": "VOLUME",
    "gfp": "CHANNEL",
    "rl": "METHOD",
    "tuned": "METHOD",
    "again": "METHOD",
    "rln": "METHOD",
    "train": "SPLIT",
    "val": "SPLIT",
    "test": "SPLIT",
}
STAGES = (
    "psf",
    "ingest",
    "noise",
    "statistics",
    "training",
    "models",
    "tuning",
    "prepared",
    "plans",
    "parts",
    "restored",
    "finished",
    "after",
    "consistency",
    "restored_phantoms",
    "evaluation",
    "tables",
    "figures",
    "report",
)
"""Folders of a dataset's results in the order in which they are made."""
ALL_TABLES = "results/cells/tables/metrics.csv"
ERROR = re.compile(
    r"^\d\d:\d\d:\d\d E |has \d+ problems?:|^LockException|Error: |^Error", re.MULTILINE
)
UNSTABLE = {"cost.csv", "settings.csv"}
"""Tables that hold seconds, or hashes of other tables."""
TOLERANCE = 1e-9
"""Of metrics, absolute and relative: sums over threads differ in their last bits; voxels do not."""


@dataclass
class Run:
    """What a run of Snakemake said; code None = it hung."""

    code: int | None
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule, from the job table."""
        table = self.output.partition("Job stats:")[2].partition("\n\n")[0]
        return {rule: int(n) for rule, n in re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)}


@dataclass
class Place:
    """A folder in which the workflow runs; `target` is what it is asked for."""

    folder: Path
    cores: int = 1
    target: str = ALL_TABLES
    count: int = field(default=0, init=False)

    @property
    def results(self) -> Path:
        """The dataset's results."""
        return self.folder / "results" / "cells"

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """Start Snakemake, in a session of its own; its output goes to a file."""
        self.count += 1
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--profile",
            str(ROOT / "profiles" / "local"),
            "--configfile",
            "config.yaml",
            "--cores",
            str(self.cores),
            *(arguments or [self.target]),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        with open(self.folder / f"run{self.count}.txt", "wb") as stream:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, process: "subprocess.Popen[bytes]", seconds: float = RUN_SECONDS) -> Run:
        """Wait for a run; end what hangs."""
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
            self.end_all()
            process.wait()
        text = (self.folder / f"run{self.count}.txt").read_text(errors="replace")
        return Run(code, text)

    def run(self, *arguments: str) -> Run:
        """Run Snakemake to its end."""
        return self.wait(self.start(*arguments))

    def processes(self) -> Iterator[tuple[int, str]]:
        """List the processes that work in this folder, with their command lines."""
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if Path(os.readlink(entry / "cwd")) == self.folder:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if line:
                        yield int(entry.name), line
            except OSError:
                continue

    def workers(self, script: str = "") -> list[int]:
        """List the processes of jobs, of one script or of all."""
        pattern = re.compile(rf"/\.snakemake/scripts/tmp\w+\.{script or '.*'}\.py")
        return [pid for pid, line in self.processes() if pattern.search(line)]

    def end_all(self) -> None:
        """Kill every process that works in this folder."""
        for _ in range(3):
            for pid, _ in self.processes():
                send(pid, signal.SIGKILL)
            time.sleep(0.05)

    def remove_from(self, stage: str) -> None:
        """Remove what a stage and all later ones have made, as if they had not run yet."""
        for name in STAGES[STAGES.index(stage) :]:
            if name == "restored" and stage != "plans":
                # Of a restoration that goes on, its level 0 is there, as the plan made it.
                keep = stage in ("restored", "finished")
                for store in self.results.glob("restored/*/*.ome.zarr"):
                    if not keep:
                        for chunk in store.glob("0/c"):
                            shutil.rmtree(chunk)
                    for level in store.glob("[1-9]*"):
                        shutil.rmtree(level)
                    (store / "zarr.json").unlink(missing_ok=True)
            elif (self.results / name).is_dir():
                shutil.rmtree(self.results / name)
        for name in ("report.html", "report.json", "../index.html"):
            (self.results / name).unlink(missing_ok=True)


def send(pid: int, number: int) -> bool:
    """Send a signal; False if the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def scene(seed: int) -> NDArray[np.uint16]:
    """Draw blobs with photon noise on a camera's offset."""
    rng = np.random.default_rng(seed)
    blobs = gaussian_filter((rng.random(SHAPE) > 0.997).astype(float), (0, 0, 0.7, 1.2, 1.2))
    return (100 + 2 * rng.poisson(5 + 2000 * blobs) + rng.normal(0, 3, SHAPE)).astype(np.uint16)


def write_inputs(folder: Path, *, other: bool) -> None:
    """Write the two volumes; the `other` ones are the same, flipped along Z, of the same size."""
    folder.mkdir(parents=True)
    one, two = (scene(n)[:, :, :: -1 if other else 1] for n in (1, 2))
    sizes = dict(zip(("PhysicalSizeZ", "PhysicalSizeY", "PhysicalSizeX"), VOXEL_UM, strict=True))
    tifffile.imwrite(folder / "one.ome.tif", one, metadata={"axes": "TCZYX", **sizes}, ome=True)
    group = zarr.open_group(folder / "two.ome.zarr", mode="w", zarr_format=2)
    level: Any = group.create_array("0", shape=SHAPE, dtype="uint16", chunks=(1, 1, 8, 24, 24))
    level[...] = two
    space = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}, *space]
    scale = [{"type": "scale", "scale": [1.0, 1.0, *VOXEL_UM]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


@cache
def code() -> str:
    """Hash the workflow and the library: results of another code are not compared."""
    found = hashlib.sha256()
    for folder in ("scripts", "workflow", "profiles"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def undisturbed(base: Path, suite: str, *, other: bool = False) -> Place:
    """Return the finished workflow of a suite, made if it is not there yet or of another code.

    The config and the inputs lie in it; `base` holds one such folder per suite.
    """
    # Training on other cores ends in other last bits, and cells run on one.
    cores = 1 if suite == "network" else 2
    place = Place(base / f"{suite}{'-other' if other else ''}", cores=cores)
    done = place.folder / "done"
    if done.exists() and done.read_text() == code():
        return place
    shutil.rmtree(place.folder, ignore_errors=True)
    write_inputs(place.folder / "data", other=other)
    config = {
        "seed": 3,
        "datasets": {"cells": DATASET},
        "restoration": {"parts": 2},
        **SUITES[suite],
    }
    (place.folder / "config.yaml").write_text(yaml.safe_dump(config))
    for target in (ALL_TABLES, "all") if not other else (ALL_TABLES,):
        run = place.run(target)
        if run.code != 0:
            raise RuntimeError(f"the undisturbed run failed:\n{run.output[-4000:]}")
    done.write_text(code())
    return place


def copied(source: Place, folder: Path, **options: Any) -> Place:
    """Copy a finished workflow, times kept; the inputs are hard links, for they are the same files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("results", "logs", "benchmarks", ".snakemake", "config.yaml"):
        subprocess.run(["cp", "-a", str(source.folder / name), str(folder)], check=True)
    subprocess.run(["cp", "-al", str(source.folder / "data"), str(folder)], check=True)
    return Place(folder, **options)


def outcome_of(place: Place) -> dict[str, Any]:
    """Collect what a user takes from the results: hashes of voxels, metadata, metrics, tables."""
    found: dict[str, Any] = {}
    for store in sorted(place.results.glob("*/*/*.ome.zarr")):
        name = str(store.relative_to(place.results))
        try:
            group: Any = zarr.open_group(store, mode="r")
            for key, array in sorted(group.arrays()):
                values = np.ascontiguousarray(array[...])
                found[f"{name}/{key}"] = hashlib.sha256(values.tobytes()).hexdigest()[:16]
            found[f"{name}/attributes"] = _hash(group.attrs.asdict().get("ome"))
        except Exception as error:
            found[name] = f"unreadable: {type(error).__name__}"
    for path in sorted(place.results.glob("tables/*.csv")):
        if path.name not in UNSTABLE:
            found[f"tables/{path.name}"] = _rows(path)
    for path in sorted(place.results.glob("evaluation/*/*.json")):
        found[str(path.relative_to(place.results))] = _without_checksums(_parsed(path))
    return found


def alike(one: Any, other: Any) -> bool:
    """Compare values, numbers within `TOLERANCE`."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE) or (
            one != one and other != other
        )
    return bool(one == other)


def _rows(path: Path) -> list[list[float | str]]:
    """Read a table, but for its columns of seconds."""
    with open(path, newline="", errors="replace") as stream:
        head, *rows = [*csv.reader(stream)] or [[]]
    kept = [i for i, name in enumerate(head) if "seconds" not in name]
    return [[_number(row[i]) for i in kept if i < len(row)] for row in (head, *rows)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def pages(place: Place) -> dict[str, bool]:
    """Say which pages are there, whole."""
    names = ("report.html", "../index.html")
    return {n: _whole(place.results / n) for n in names if place.target == "all"}


def _whole(page: Path) -> bool:
    return page.is_file() and page.read_text(errors="replace").rstrip().endswith("</html>")


def _parsed(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except ValueError:
        return path.read_bytes().hex()


def _without_checksums(rows: Any) -> Any:
    """Leave out what differs with the last bit of a value."""
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return rows
    return [{key: value for key, value in row.items() if key != "checksum"} for row in rows]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def differences(place: Place, expected: dict[str, Any]) -> list[str]:
    """Name what differs from the undisturbed outcome, what is missing and what is too much."""
    found = outcome_of(place)
    names = found.keys() | expected.keys()
    wrong = [name for name in names if not alike(found.get(name), expected.get(name))]
    return sorted(wrong) + [name for name, whole in pages(place).items() if not whole]


def kind_of(path: str) -> str:
    """Return the kind of a result file: its path without the names in it."""
    parts = []
    for part in path.split("/"):
        stem, dot, rest = part.partition(".")
        words = [NAMES.get(word, word) for word in re.split(r"(_)", stem)]
        parts.append(
            re.sub(r"\d+", "N", "".join(words)) + dot + re.sub(r"\d+", "N", NAMES.get(rest, rest))
        )
    return "/".join(parts)


def kinds(place: Place) -> dict[str, list[str]]:
    """List the result files of each kind."""
    found: dict[str, list[str]] = {}
    for path in sorted(p for p in place.results.rglob("*") if p.is_file()):
        name = str(path.relative_to(place.results))
        found.setdefault(kind_of(name), []).append(name)
    return found
