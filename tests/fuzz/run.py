"""Read mutated files until the time is over: `make fuzz`, or with other options by hand.

Every case follows from the seed, the target and its number alone. Whatever is not the project's own
error is a finding: another exception, wrong voxels, more than 2 GB of memory, more than 20 seconds,
a crash. Findings are listed by place (exception and innermost line of decon3d), each with the files
of its first case; the exit status is 1 if there are any.

    python tests/fuzz/run.py --seconds 1800 --seed 7
    python tests/fuzz/run.py --seed 7 --case tiff:12345      # once more, with its traceback
"""

import argparse
import contextlib
import json
import logging
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from zlib import crc32

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "scripts")]

MEMORY_BYTES = 2 * 10**9
SECONDS = 20
KILL_AFTER = 60
"""Seconds after which a process that does not answer is killed: longer than `SECONDS`, which only
interrupts Python."""


class SlowError(Exception):
    """A case took too long."""


def place_of(error: BaseException, what: str) -> str:
    """Name an exception and the innermost line of decon3d that it came through."""
    if type(error).__name__ == "WrongError":
        return f"WRONG, {re.sub(r'[0-9]+([./][0-9]+)+', 'N', what)}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/decon3d/" in f.filename]
    if not own:
        return f"{type(error).__name__} outside of decon3d"
    inner = own[-1]
    file = inner.filename.rpartition("/decon3d/")[2]
    return f"{type(error).__name__} in {file}:{inner.lineno} ({inner.name})"


def outcome(case: Any) -> tuple[str, str]:
    """Read a case: ("read" or "refused", "") or ("finding", its place)."""
    from decon3d.errors import UserError

    started = time.monotonic()
    try:
        case.read()
        result = "read", ""
    except UserError as error:
        result = "refused", ""
        if "\n" in str(error).strip() and type(error) is UserError:
            result = "finding", f"several lines: {place_of(error, case.what)}"
    except Exception as error:
        return "finding", place_of(error, case.what)
    if time.monotonic() - started > SECONDS:
        return "finding", f"slow: {case.what}"
    return result


def draw(target: Any, seed: int, number: int, folder: Path) -> Any:
    """Make the case of a number in an empty folder."""
    import numpy as np

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return target.case(np.random.default_rng([seed, crc32(target.name.encode()), number]), folder)


@contextlib.contextmanager
def prepared(names: list[str]) -> Iterator[tuple[list[Any], Path]]:
    """Make the targets, quietly, and a folder to work in; in memory where there is such a place."""
    from fuzz.targets import TARGETS

    logging.getLogger().addHandler(logging.NullHandler())
    logging.lastResort = None
    warnings.simplefilter("ignore")
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as temporary:
        made: dict[str, Any] = {}
        for kind in TARGETS:
            if kind.name not in made and (not names or kind.name in names):
                seeds = Path(temporary, "seeds", kind.name)
                seeds.mkdir(parents=True)
                made[kind.name] = kind(seeds)
        yield [made[k.name] for k in TARGETS if k.name in made], Path(temporary)


def limit_memory() -> None:
    """Allow so much more memory than there is now."""
    with open("/proc/self/statm") as stream:
        used = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES,) * 2)


def work(options: argparse.Namespace) -> None:
    """Do this process's share of the numbers; say on stdout what was found, and count."""

    def too_slow(*_: int | FrameType | None) -> None:
        raise SlowError

    end = time.monotonic() + options.seconds
    with prepared(options.target) as (targets, folder):
        at = os.open(options.at, os.O_WRONLY | os.O_CREAT)
        signal.signal(signal.SIGALRM, too_slow)
        if sys.platform == "linux":
            limit_memory()
        counts: Counter[str] = Counter()
        number, told = options.first, time.monotonic()
        while number == options.first or time.monotonic() < end:
            target = targets[number % len(targets)]
            os.pwrite(at, f"{number:<12} {target.name:<20}".encode(), 0)
            case = draw(target, options.seed, number, folder / "case")
            signal.alarm(SECONDS)
            kind, place = outcome(case)
            signal.alarm(0)
            counts[f"{target.name}|{kind}"] += 1
            if place:
                _keep(options.folder, place, target.name, number, case.what, folder / "case")
                print(
                    json.dumps({"place": place, "target": target.name, "number": number}),
                    flush=True,
                )
            number += options.workers
            if time.monotonic() - told > 2:
                print(json.dumps({"counts": counts}), flush=True)
                counts, told = Counter(), time.monotonic()
        print(json.dumps({"counts": counts}), flush=True)


def _keep(folder: Path, place: str, target: str, number: int, what: str, files: Path) -> None:
    """Keep the files of a place's first case."""
    kept = folder / "".join(c if c.isalnum() else "_" for c in place)[:120]
    if kept.exists():
        return
    shutil.copytree(files, kept, symlinks=True)
    (kept / "CASE.txt").write_text(f"{place}\n{target}:{number}\n{what}\n")


class Worker:
    """A process that reads cases, watched from outside."""

    def __init__(self, options: argparse.Namespace, first: int, end: float) -> None:
        self.options, self.end = options, end
        self.at = options.folder / f"at.{first % options.workers}"
        self.start(first)

    def start(self, first: int) -> None:
        self.at.unlink(missing_ok=True)
        self.out = self.at.with_suffix(f".{first}.jsonl")
        left = max(0.0, self.end - time.monotonic())
        command = [
            sys.executable,
            __file__,
            "--work",
            "--seconds",
            str(left),
            "--seed",
            str(self.options.seed),
            "--first",
            str(first),
            "--workers",
            str(self.options.workers),
            "--at",
            str(self.at),
            "--folder",
            str(self.options.folder),
            *(x for t in self.options.target for x in ("--target", t)),
        ]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        with open(self.out, "w") as stream:
            self.process = subprocess.Popen(command, stdout=stream, env=environment)
        self.seen, self.since = "", time.monotonic()

    def where(self) -> str:
        """Return number and target of the present case."""
        return self.at.read_text().strip() if self.at.exists() else ""

    def look(self) -> dict[str, Any] | None:
        """Return a finding if the process died or hangs; then it goes on after that case."""
        where, code = self.where(), self.process.poll()
        if where != self.seen:
            self.seen, self.since = where, time.monotonic()
        if code == 0 or (
            code is None and (not where or time.monotonic() - self.since < KILL_AFTER)
        ):
            return None
        if code is None:
            self.process.kill()
            self.process.wait()
        if not where:
            sys.exit(f"the fuzzer's own process ended with {code} before its first case")
        number, _, target = where.partition(" ")
        how = f"no answer for {KILL_AFTER} s" if code is None else f"the process ended with {code}"
        self.start(int(number) + self.options.workers)
        return {
            "place": f"{how} ({target.strip()})",
            "target": target.strip(),
            "number": int(number),
        }

    @property
    def running(self) -> bool:
        return self.process.poll() is None


def main(options: argparse.Namespace) -> int:
    """Start the processes, watch them, sum up."""
    options.folder.mkdir(parents=True, exist_ok=True)
    for old in options.folder.glob("at.*"):
        old.unlink()
    end = time.monotonic() + options.seconds
    workers = [Worker(options, i, end) for i in range(options.workers)]
    died = []
    try:
        while any(w.running for w in workers):
            time.sleep(0.5)
            died += [found for w in workers if (found := w.look())]
    finally:
        for worker in workers:
            worker.process.kill()
    counts: Counter[str] = Counter()
    findings = died
    for path in sorted(options.folder.glob("at.*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            counts.update(line.get("counts", {}))
            findings += [line] if "place" in line else []
    return summed_up(counts, findings, options)


def summed_up(
    counts: Counter[str], findings: list[dict[str, Any]], options: argparse.Namespace
) -> int:
    """Print the table and the findings; return the exit status."""
    print(f"{'target':<12}{'cases':>9}{'read':>9}{'refused':>9}{'findings':>9}{'places':>8}")
    names = sorted({key.partition("|")[0] for key in counts} | {f["target"] for f in findings})
    for name in [*names, "all"]:
        row = [
            sum(
                n
                for key, n in counts.items()
                if name in ("all", key.partition("|")[0]) and kind in key
            )
            for kind in ("|read", "|refused", "|finding")
        ]
        places = {f["place"] for f in findings if name in ("all", f["target"])}
        print(f"{name:<12}{sum(row):>9}{row[0]:>9}{row[1]:>9}{row[2]:>9}{len(places):>8}")
    for place, times in Counter(f["place"] for f in findings).most_common():
        first = next(f for f in findings if f["place"] == place)
        print(
            f"{times:>7} × {place}: --seed {options.seed} --case '{first['target']}:{first['number']}'"
        )
    if findings:
        print(f"Files of the first case of each place: {options.folder}")
    return int(bool(findings))


def again(options: argparse.Namespace) -> None:
    """Do one case once more, with its traceback."""
    name, _, number = options.case.partition(":")
    with prepared([name]) as (targets, folder):
        case = draw(targets[0], options.seed, int(number), folder / "case")
        print(
            case.what,
            *sorted(str(p) for p in (folder / "case").rglob("*") if p.is_file()),
            sep="\n",
        )
        case.read()
        print("read without an error")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument(
        "--target", action="append", default=[], help="only this one; may be repeated"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("build/fuzz"), help="where findings are kept"
    )
    parser.add_argument("--case", help="TARGET:NUMBER, once more")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--at", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given)
    elif given.case:
        again(given)
    else:
        sys.exit(main(given))
