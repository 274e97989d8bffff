"""Measured speed and memory: `make bench`, or of one area `make bench BENCH=optics`.

Every `bench_<area>.py` here has a function `rows()` that yields `Row`s. Those with a function
`quick()` yield from it the table of `make bench BENCH=quick`, in at most 15 minutes on two cores
with nothing else to do. Where a public peer exists, a row is a ratio to it; both are measured in
turn. Missed goals are marked, but are no failures, since machines differ.

Ratios are compared with those in `recorded.yaml`. Each that is more than 10 % worse, with spreads
that do not overlap, is named at the end; with `--strict`, the exit code is then 1. `--record`
writes the ratios of this run to that file.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

if __name__ == "__main__":  # before NumPy is imported
    os.environ.setdefault("OMP_NUM_THREADS", "2")
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "scripts")]

from recorded import Ratio, load, regressions, save  # noqa: E402

PACKAGES = (
    "numpy",
    "scipy",
    "scikit-image",
    "RedLionfish",
    "tensorflow-cpu",
    "tensorflow",
    "openvino",
    "zarr",
    "snakemake",
)
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8")


@dataclass(frozen=True)
class Row:
    """One measured figure and what it should be at most (or, `at_least`, at least)."""

    name: str
    values: float | Sequence[float]
    """Of each repeat."""
    unit: str
    goal: float | None = None
    at_least: bool = False
    """More is better."""
    worse: str = ""
    """For a ratio that is compared with the recorded one: what to call it if it is worse."""

    @property
    def repeats(self) -> Sequence[float]:
        """The value of each repeat."""
        return self.values if isinstance(self.values, Sequence) else [self.values]

    @property
    def value(self) -> float:
        """Median of the repeats."""
        return statistics.median(self.repeats)

    @property
    def ratio(self) -> Ratio:
        """What is compared with the recorded ratio."""
        least, most = min(self.repeats), max(self.repeats)
        return Ratio(self.value, least, most, self.worse, self.at_least)

    def __str__(self) -> str:
        met = spread = ""
        if self.goal is not None:
            good = self.value >= self.goal if self.at_least else self.value <= self.goal
            met = f"{'≥' if self.at_least else '≤'} {self.goal:g} {'✓' if good else 'MISSED'}"
        if len(self.repeats) > 1:
            spread = f"{_digits(min(self.repeats))}–{_digits(max(self.repeats))}"
        return f"| {self.name} | {_digits(self.value)} {self.unit} | {spread} | {met} |"


def _digits(value: float) -> str:
    """Three digits, without an exponent for large numbers."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def seconds(call: Callable[[], object], *, runs: int = 5) -> list[float]:
    """Wall time of each run of a call, after one that does not count."""
    call()
    return [_timed(call) for _ in range(runs)]


def ratios(
    ours: Callable[[], object], theirs: Callable[[], object], *, runs: int = 5
) -> list[float]:
    """Our time over theirs of each pair, run in turn, after one that does not count."""
    ours(), theirs()
    return [_timed(ours) / _timed(theirs) for _ in range(runs)]


def memory_gb(what: str = "VmHWM") -> float:
    """Memory of this process: its peak, or now (`VmRSS`); `ru_maxrss` would start at the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e9


def process(script: str, name: str, folder: str | Path, *arguments: object) -> dict[str, float]:
    """Call a function of a file beside this one in a process; `wall` is added, in seconds.

    So peak memory, threads and imports are its own. The file ends with `answer(globals())`.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, HERE / script, name, folder, *map(str, arguments)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    return {**json.loads(done.stdout.splitlines()[-1]), "wall": time.perf_counter() - start}


def answer(functions: Mapping[str, Callable[..., dict[str, float]]]) -> None:
    """Call the function that `process` asks for, and print what it returns."""
    name, folder, *arguments = sys.argv[1:]
    found = functions[name](Path(folder), *arguments)
    print(json.dumps({key: float(value) for key, value in found.items()}))


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def described() -> dict[str, str]:
    """Describe this run: date, machine, versions, what else the machine has to do."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    model = re.search(r"model name\s*: (.*)", text)
    known = set(re.findall(r"\w+", text.partition("flags")[2].partition("\n")[0]))
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {
        "date": f"{datetime.date.today()}",
        "machine": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores",
        "flags": " ".join(flag for flag in FLAGS if flag in known),
        "versions": ", ".join([f"Python {platform.python_version()}", *versions]),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }


def measured(areas: Sequence[str], *, quick: bool) -> Iterator[tuple[str, Iterator[Row]]]:
    """Yield the rows of each of the chosen areas, or of all."""
    for path in sorted(HERE.glob("bench_*.py")):
        area = path.stem.removeprefix("bench_")
        if not areas or area in areas:
            rows = getattr(importlib.import_module(path.stem), "quick" if quick else "rows", None)
            if rows is not None:
                yield area, rows()


def main(chosen: list[str], *, record: bool, strict: bool) -> None:
    """Print the rows, compare their ratios with the recorded ones, and record them if asked to."""
    run, quick = described(), "quick" in chosen
    areas = [area for area in chosen if area != "quick"]
    print("\n".join(f"{name}: {value}" for name, value in run.items()))
    print("\n| what | median | least to most | goal |\n|---|---|---|---|", flush=True)
    other, before = load()
    now: dict[str, Ratio] = {}
    minutes: dict[str, float] = {}
    for area, rows in measured(areas, quick=quick):
        started = time.perf_counter()
        for row in rows:
            print(row, flush=True)
            if row.worse:
                now[row.name] = row.ratio
        minutes[area] = (time.perf_counter() - started) / 60
        if record:  # a later area may fail
            save(run, now)
    each = ", ".join(f"{area} {spent:.1f}" for area, spent in minutes.items())
    print(f"\n{sum(minutes.values()):.1f} minutes ({each})")
    if other:
        print(f"compared with: {'; '.join(other.values())}")
    found = regressions(before, now)
    print("\n".join(found) or "No ratio is more than 10 % worse than recorded.")
    if quick and not areas and (absent := before.keys() - now.keys()):
        print(f"recorded, but not measured: {', '.join(sorted(absent))}")
    sys.exit(bool(found and strict))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("areas", nargs="*", help="areas, quick, or none for everything")
    parser.add_argument("--record", action="store_true", help="write the ratios to recorded.yaml")
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a ratio is worse")
    given = parser.parse_args()
    known = ["quick", *sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))]
    if unknown := set(given.areas) - set(known):
        parser.error(f"unknown area {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    main(given.areas, record=given.record, strict=given.strict)
