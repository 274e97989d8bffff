"""Measured speed and memory: `make bench [BENCH=optics]`.

Every `bench_<area>.py` here has a function `rows()` that yields `Row`s. Times are medians of
several runs; where a public peer exists the row is a ratio to it, measured in turn in this run.
A goal that is missed is printed as such; nothing here fails, since machines differ.
"""

import importlib
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "scripts")]
os.environ.setdefault("OMP_NUM_THREADS", "2")


@dataclass(frozen=True)
class Row:
    """One measured figure and what it should be at most (or, `at_least`, at least)."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False

    def __str__(self) -> str:
        met = ""
        if self.goal is not None:
            good = self.value >= self.goal if self.at_least else self.value <= self.goal
            met = f"{'≥' if self.at_least else '≤'} {self.goal:g} {'✓' if good else 'MISSED'}"
        return f"| {self.name} | {self.value:.3g} {self.unit} | {met} |"


def seconds(call: Callable[[], object], *, runs: int = 5) -> float:
    """Median wall time of a call, after one that does not count."""
    call()
    return statistics.median(_timed(call) for _ in range(runs))


def ratio(ours: Callable[[], object], theirs: Callable[[], object], *, runs: int = 5) -> float:
    """Median over pairs, run in turn, of our time over theirs."""
    ours(), theirs()
    return statistics.median(_timed(ours) / _timed(theirs) for _ in range(runs))


def memory_gb(what: str = "VmHWM") -> float:
    """Memory of this process: its peak, or now (`VmRSS`); `ru_maxrss` would start at the parent's."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) * 1024 / 1e9


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main(chosen: list[str]) -> None:
    """Print the rows of the chosen areas, or of all."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-image"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; {libraries}\n")
    print("| what | measured | goal |\n|---|---|---|", flush=True)
    for path in sorted(HERE.glob("bench_*.py")):
        area = path.stem.removeprefix("bench_")
        if not chosen or area in chosen:
            rows: Iterator[Row] = importlib.import_module(path.stem).rows()
            for row in rows:
                print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
