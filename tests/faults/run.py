"""Disturb a small workflow at every stage and run it again: `make faults`, `make faults-quick`.

A cell is a stage (or a kind of file) × a fault: killed workers, killed Snakemake, a full disk, a
read-only folder, damaged files of every kind that the workflow writes, inputs that change. After
the fault the same command runs again, and the outcome is compared with the undisturbed one: voxels,
metadata, metrics and tables must be equal, and the pages there.

    equal      the next run gives the undisturbed outcome
    refused    it says in a line what is wrong; what the line advises leads to that outcome
    verify     `snakemake verify` names the damage, and what it advises leads to that outcome
    WRONG      exit status 0 and another outcome
    LOST       no advice leads to the outcome
    TRACEBACK  a traceback, or no line that says what is wrong
    HUNG       it does not end
    REDONE     restored again though nothing had changed
    LITTER     temporary files are left

    python tests/faults/run.py --quick
    python tests/faults/run.py --seeds 3 --only 'chain | ingest'
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "scripts")]

from faults.cells import Cell, Disturbed, all_cells, disturb, unmount  # noqa: E402
from faults.place import (  # noqa: E402
    ERROR,
    SUITES,
    Place,
    Run,
    code,
    copied,
    differences,
    outcome_of,
    undisturbed,
)

TRIES = 4
GOOD = ("equal", "refused", "verify", "skipped")
QUICK_SECONDS = 480
"""The sample starts no new cell after this time."""
ADVICE = re.compile(r"\b(?:delete|remove)\b(.*)", re.IGNORECASE)


def classify(place: Place, disturbed: Disturbed, expected: dict[str, Any]) -> tuple[str, str]:
    """Run the same command until the outcome is there; return it in a word, with what was seen."""
    runs = [run for run in (disturbed.run, disturbed.killed) if run]
    disturbed.lift()
    refused = False
    for _ in range(TRIES):
        run = place.run()
        runs.append(run)
        if run.code == 0:
            break
        refused = True
        follow(place, run)
    told = [trouble for r in runs if (trouble := problem(r, silent=r is disturbed.killed))]
    if told:
        return told[0]
    if runs[-1].code != 0:
        return "LOST", last_error(runs[-1])
    wrong = differences(place, expected)
    if wrong:
        return verified(place, expected, wrong)
    left = [str(p.relative_to(place.folder)) for p in place.folder.glob("results/**/.*.part")]
    if left:
        return "LITTER", f"{len(left)} left: {left[0]}"
    return "refused" if refused else "equal", last_error(runs[0]) if refused else ""


def verified(place: Place, expected: dict[str, Any], wrong: list[str]) -> tuple[str, str]:
    """Ask `verify` about results that differ, and do what it says."""
    run = place.run("verify")
    names = f"{len(wrong)} differ: {', '.join(wrong[:4])}"
    if run.code == 0 or not ERROR.search(run.output) or "MissingRuleException" in run.output:
        return "WRONG", names
    follow(place, run)
    again = place.run()
    if again.code != 0 or differences(place, expected):
        return "LOST", f"verify: {last_error(run)}; then {last_error(again)}"
    return "verify", last_error(run)


def problem(run: Run, *, silent: bool = False) -> tuple[str, str] | None:
    """Say what is wrong with how a run ended: it hung, or showed a traceback, or said nothing.

    A killed run may be `silent`.
    """
    if run.code is None:
        return "HUNG", run.output[-300:]
    if "Traceback (most recent call last)" in run.output:
        frames = re.findall(
            r'^\s*File ".*/((?:scripts|decon3d)/[^"]+)", line (\d+)', run.output, re.M
        )
        raised = re.findall(r"^(\w[\w.]*(?:Error|Exception|Interrupt|File)\b.*)$", run.output, re.M)
        inner = ":".join(frames[-1]) if frames else "?"
        return "TRACEBACK", f"{raised[0] if raised else '?'} ({inner})"
    if run.code > 0 and not silent and not ERROR.search(run.output):
        return "TRACEBACK", f"no line says why: {run.output[-300:]}"
    return None


def last_error(run: Run) -> str:
    """Return the line that says what is wrong."""
    lines = [line for line in run.output.splitlines() if ERROR.match(line)]
    return (lines or run.output.strip().splitlines() or [""])[-1][:300]


def follow(place: Place, run: Run) -> None:
    """Do what a message advises: unlock, or delete what it names."""
    if "--unlock" in run.output:
        place.run("--unlock")
    for advice in ADVICE.findall(run.output):
        for word in re.findall(r"[\w./-]+", advice):
            path = place.folder / word.rstrip(".,;:")
            inside = place.folder / "results" in path.resolve().parents
            if word and inside and path.is_dir():
                shutil.rmtree(path)
            elif word and inside and path.is_file():
                path.unlink()
    if "delete both" in run.output or "delete them" in run.output:
        for word in re.findall(r"results/[\w./-]+", run.output):
            path = place.folder / word.rstrip(".,;:")
            if path.is_file() and "delete" in run.output.partition(word)[2].partition("\n")[0]:
                path.unlink()


def run_cell(cell: Cell, seed: int, base: Path, folder: Path) -> dict[str, Any]:
    """Do one cell with one seed."""
    started = time.monotonic()
    source = undisturbed(base, cell.suite)
    other = undisturbed(base, cell.suite, other=True) if cell.stage == "inputs" else source
    place = copied(source, folder)
    rng = np.random.default_rng([seed, crc32(cell.key.encode())])
    try:
        disturbed = disturb(cell, place, other, rng)
        what = disturbed.what
        if what.startswith(("SKIPPED", "there is no other", "the stage did not run")):
            outcome, detail = "skipped", ""
        else:
            expected = outcome_of(other if disturbed.other_inputs else source)
            outcome, detail = classify(place, disturbed, expected)
            if outcome == "equal" and cell.fault == "touched":
                outcome, detail = redone(place)
    except subprocess.CalledProcessError as error:
        outcome, detail, what = "skipped", str(error), "the fault could not be made"
    finally:
        place.end_all()
        unmount(place)
    if outcome in GOOD:
        shutil.rmtree(folder, ignore_errors=True)
    seconds = round(time.monotonic() - started, 1)
    return {
        "cell": cell.key,
        "seed": seed,
        "outcome": outcome,
        "what": what,
        "detail": detail,
        "seconds": seconds,
    }


def redone(place: Place) -> tuple[str, str]:
    """Say whether blocks were restored again, from what the parts said."""
    said = "".join(path.read_text(errors="replace") for path in place.folder.glob("run*.txt"))
    done = [n for n in re.findall(r"(\d+) block\(s\) to do", said) if int(n)]
    return ("REDONE", f"{len(done)} part(s) restored blocks again") if done else ("equal", "")


def sample(cells: list[Cell], count: int, seed: int) -> list[Cell]:
    """Draw cells so that stages and faults come about equally often."""
    rng = np.random.default_rng(seed)
    left = [cells[i] for i in rng.permutation(len(cells))]
    seen: Counter[str] = Counter()
    drawn = []
    while left and len(drawn) < count:
        cell = min(left, key=lambda c: (seen[c.fault] + seen[c.stage], seen[c.fault]))
        left.remove(cell)
        drawn.append(cell)
        seen.update([cell.fault, cell.stage])
    return drawn


def table(results: Iterable[dict[str, Any]]) -> str:
    """Format stage × fault, with the count of cells and of each bad outcome."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for result in results:
        _, subject, fault, _ = result["cell"].split(" | ")
        found[subject.partition("/")[0], fault][result["outcome"]] += 1
    faults = list(dict.fromkeys(fault for _, fault in sorted(found, key=lambda k: k[1])))
    lines = ["| stage | " + " | ".join(faults) + " |", "|---" * (len(faults) + 1) + "|"]
    for stage in sorted({stage for stage, _ in found}):
        row = []
        for fault in faults:
            counts = found[stage, fault] if (stage, fault) in found else Counter()
            bad = [f"{n} {name}" for name, n in counts.items() if name not in GOOD]
            row.append(" ".join([str(sum(counts.values()) or ""), *bad]).strip())
        lines.append(f"| {stage} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read what was done before with the same code; of a cell that was done twice, the last."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if line["code"] == code()]
    return list({(line["cell"], line["seed"]): line for line in lines}.values())


def main(options: argparse.Namespace) -> int:
    """Do the cells that are not done, print the table; exit status 1 if one ended badly."""
    warnings.filterwarnings("ignore", message=".*not recognized as a component of a Zarr")
    started = time.monotonic()
    base = options.folder.resolve()
    base.mkdir(parents=True, exist_ok=True)
    suites = ["small"] if options.quick else options.suite or ["chain", "network"]
    with ThreadPoolExecutor(2) as pool:
        made = list(
            pool.map(
                lambda job: undisturbed(base, job[0], other=job[1]),
                [(s, o) for s in suites for o in (False, True)],
            )
        )
    cells = [c for s, place in zip(suites, made[::2], strict=True) for c in all_cells(s, place)]
    if options.only:
        cells = [c for c in cells if re.search(options.only, c.key)]
    path = base / ("quick.jsonl" if options.quick else "results.jsonl")
    if options.quick:
        path.unlink(missing_ok=True)
    done = {
        (r["cell"], r["seed"])
        for r in read_results(path)
        if r["outcome"] in GOOD or not options.redo
    }
    if options.quick or options.sample:
        jobs = [(c, options.seed) for c in sample(cells, options.sample or 28, options.seed)]
    else:
        jobs = [(c, options.seed + i) for i in range(options.seeds) for c in cells]
    jobs = [(c, seed) for c, seed in jobs if (c.key, seed) not in done]
    end = started + QUICK_SECONDS if options.quick else float("inf")

    def do(job: tuple[int, tuple[Cell, int]]) -> None:
        number, (cell, seed) = job
        if time.monotonic() > end:
            return
        folder = base / "work" / f"{number:04d}-{crc32(cell.key.encode()):08x}-{seed}"
        try:
            result = run_cell(cell, seed, base, folder)
        except Exception:
            traceback.print_exc()
            raise
        result |= {"folder": str(folder), "code": code()}
        with open(path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(result) + "\n")
        print(
            f"{result['outcome']:<9} {result['seconds']:6.1f} s  {cell.key} | {result['what']} | {result['detail']}",
            flush=True,
        )

    print(f"{len(jobs)} of {len(cells)} cells to do", flush=True)
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(do, enumerate(jobs)))
    results = read_results(path)
    print(table(results))
    print(
        ", ".join(f"{n} {name}" for name, n in Counter(r["outcome"] for r in results).most_common())
    )
    return int(any(r["outcome"] not in GOOD for r in results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a sample, in less than ten minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3, help="seeds for each cell")
    parser.add_argument("--sample", type=int, help="only so many cells")
    parser.add_argument("--suite", action="append", choices=list(SUITES))
    parser.add_argument("--only", help="regular expression of cells")
    parser.add_argument("--redo", action="store_true", help="do again what ended badly")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--folder", type=Path, default=Path("build/faults"), help="where all is kept"
    )
    sys.exit(main(parser.parse_args()))
