"""The cells of stage × fault: how each disturbs a workflow."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faults.place import STAGES, Place, Run, kinds, send

Rng = np.random.Generator
DAMAGES = ("cut", "flipped", "deleted", "exchanged")
"""What is done to a file; only one of several of its kind can be exchanged."""
KILLS = (
    "SIGKILL of the worker",
    "SIGTERM of the worker",
    "SIGKILL of Snakemake",
    "SIGTERM of Snakemake",
)
"""What is done to a running job of each stage."""
DISKS = ("full disk", "read-only folder")
BEFORE = ("newer", "older", "same time", "touched", "chunks in place")
"""How inputs are replaced after a run; in place: of an OME-Zarr its chunks, not its metadata."""
DURING = ("ingest", "restore_part", "evaluate")
"""Scripts that run while the inputs are replaced."""
STORE_FILES = ("zarr.json", "manifest.json")
SCRIPTS = {
    "psf": "psf",
    "ingest": "ingest",
    "noise": "measure",
    "statistics": "measure",
    "training": "phantoms",
    "models": "train",
    "tuning": "tune",
    "prepared": "restore_prepare",
    "plans": "restore_plan",
    "parts": "restore_part",
    "finished": "restore_finish",
    "consistency": "evaluate",
    "restored_phantoms": "restore_phantoms",
    "evaluation": "evaluate",
    "tables": "report",
    "figures": "report",
    "report": "report",
}
"""The script that makes a stage's files."""


@dataclass(frozen=True, order=True)
class Cell:
    """A stage (or a kind of file), a fault, and when it comes."""

    suite: str
    stage: str
    fault: str
    when: str
    subject: str = ""

    @property
    def key(self) -> str:
        """Name the cell in the results file."""
        return " | ".join((self.suite, self.subject or self.stage, self.fault, self.when))


@dataclass
class Disturbed:
    """What the fault did: in words, the run that it hit or killed, and how it is lifted."""

    what: str
    run: Run | None = None
    killed: Run | None = None
    lift: Callable[[], None] = lambda: None
    other_inputs: bool = False


def all_cells(suite: str, place: Place) -> list[Cell]:
    """List the cells of a suite; the kinds of files are those of its undisturbed results."""
    cells = []
    for kind, names in kinds(place).items():
        stage = kind.partition("/")[0] if "/" in kind else "report"
        for damage in DAMAGES if len(names) > 1 else DAMAGES[:-1]:
            cells.append(Cell(suite, stage, damage, "finished", kind))
            if stage in SCRIPTS or stage in ("restored", "after"):
                cells.append(Cell(suite, stage, damage, "between stages", kind))
    there = {p.name for p in place.results.iterdir()} | {"report"}
    for stage, script in SCRIPTS.items():
        if stage in there:
            cells += [Cell(suite, stage, fault, f"{script} runs") for fault in (*KILLS, *DISKS)]
    cells += [Cell(suite, "inputs", how, "after") for how in BEFORE]
    cells += [Cell(suite, "inputs", "replaced", f"{script} runs") for script in DURING]
    return sorted(cells)


def disturb(cell: Cell, place: Place, other: Place, rng: Rng) -> Disturbed:
    """Do to a copy of the undisturbed workflow what the cell says."""
    stores = cell.subject.endswith(STORE_FILES) or "/c/" in cell.subject
    if cell.when == "finished" or cell.stage in ("tables", "figures", "report") or stores:
        place.target = "all"  # a run for a table makes nothing again that lies before it
    if cell.fault in DAMAGES:
        return damage(cell, place, rng)
    if cell.fault in KILLS:
        return kill(cell, place, rng)
    if cell.fault in DISKS:
        return full_or_read_only(cell, place, rng)
    return replace_inputs(cell, place, other, rng)


def damage(cell: Cell, place: Place, rng: Rng) -> Disturbed:
    """Damage a file of a kind: of a finished workflow, or with all later stages not yet run."""
    names = kinds(place)[cell.subject]
    name = str(rng.choice(names))
    path = place.results / name
    if cell.when == "between stages":
        _forget_later(place, cell.stage)
    if not path.exists():  # the damage would be that of a stage that has not run
        _forget_later(place, "after")
        path = place.results / name
    before = path.stat()
    data = path.read_bytes()
    others = [place.results / n for n in names if n != name and (place.results / n).exists()]
    others = [o for o in others if o.read_bytes() != data]
    if cell.fault == "cut":
        path.write_bytes(data[: int(rng.integers(len(data) or 1))])
    elif cell.fault == "flipped":
        changed = bytearray(data)
        changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
    elif cell.fault == "deleted":
        path.unlink()
    elif others:
        path.write_bytes(others[int(rng.integers(len(others)))].read_bytes())
    else:
        return Disturbed("there is no other file of this kind")
    if path.exists():  # a failing disk changes no time
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return Disturbed(f"{cell.fault} {name}")


def _forget_later(place: Place, stage: str) -> None:
    """Remove what the stages after one have made."""
    later = {"restored": "finished", "parts": "finished"}.get(stage)
    after = STAGES.index(stage) + 1
    if later or after < len(STAGES):
        place.remove_from(later or STAGES[after])


def wait_for(
    test: Callable[[], object], seconds: float, process: "subprocess.Popen[bytes]"
) -> bool:
    """Wait until something is so, as long as a process runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        if test():
            return True
        time.sleep(0.01)
    return False


def kill(cell: Cell, place: Place, rng: Rng) -> Disturbed:
    """Send a signal to the job of a stage, or to Snakemake meanwhile."""
    number = signal.SIGKILL if "SIGKILL" in cell.fault else signal.SIGTERM
    script = SCRIPTS[cell.stage]
    place.remove_from(cell.stage)
    process = place.start()
    what = "the stage did not run"
    if wait_for(lambda: place.workers(script), 300, process):
        started = time.time()
        if rng.random() < 0.6:  # once it writes something
            wait_for(lambda: _newest(place) > started or not place.workers(script), 60, process)
            time.sleep(float(rng.uniform(0, 0.2)))
        else:
            time.sleep(float(rng.uniform(0, 2)))
        if "worker" in cell.fault:
            hit = [pid for pid in place.workers(script) if send(pid, number)]
            what = f"signal {number} to {len(hit)} job(s) of {script}"
        else:
            send(process.pid, number)
            what = f"signal {number} to Snakemake in {script}"
    return Disturbed(what, killed=place.wait(process))


def _newest(place: Place) -> float:
    """Return the newest time of modification among the results."""
    times = [0.0]
    for path in place.results.rglob("*"):
        try:
            times.append(path.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)


def full_or_read_only(cell: Cell, place: Place, rng: Rng) -> Disturbed:
    """Run a stage with too little space for its results, or none to write to."""
    results = place.folder / "results"
    before = _size(results)
    place.remove_from(cell.stage)
    if cell.fault == "read-only folder" and os.geteuid() != 0:
        subprocess.run(["chmod", "-R", "a-w", str(results)], check=True)
        run = place.run()
        return Disturbed("chmod a-w", run, lift=lambda: _chmod(results))
    if os.geteuid() != 0:
        return Disturbed("SKIPPED: a full disk needs root, to mount one")
    left = _size(results)
    kept = Path(tempfile.mkdtemp(dir=place.folder))
    shutil.move(str(results), kept)
    results.mkdir()
    room = left + 4096 * 4 + int(rng.uniform(0, 0.6) * max(0, before - left))
    size = room if cell.fault == "full disk" else 2**28
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(results)], check=True
    )
    subprocess.run(["cp", "-a", f"{kept}/results/.", str(results)], check=True)
    if cell.fault == "read-only folder":
        subprocess.run(["mount", "-o", "remount,ro", str(results)], check=True)
    run = place.run()
    options = f"remount,rw,size={2**28}"
    return Disturbed(
        f"{size} bytes" if cell.fault == "full disk" else "mounted read-only",
        run,
        lift=lambda: subprocess.run(["mount", "-o", options, str(results)], check=True) and None,
    )


def _chmod(results: Path) -> None:
    subprocess.run(["chmod", "-R", "u+w", str(results)], check=True)


def unmount(place: Place) -> None:
    """Take a disk away again that was mounted for a cell; what is on it is kept beside it."""
    results = place.folder / "results"
    if results.is_mount():
        subprocess.run(["cp", "-a", str(results), str(place.folder / "results.disk")], check=False)
        subprocess.run(["umount", "--lazy", str(results)], check=True)


def _size(folder: Path) -> int:
    """Return the bytes that a tmpfs needs for a folder: whole pages."""
    return sum(-(-p.lstat().st_size // 4096) * 4096 + 4096 for p in folder.rglob("*"))


def replace_inputs(cell: Cell, place: Place, other: Place, rng: Rng) -> Disturbed:
    """Replace the inputs by others, after a run or during one."""
    del rng
    mine, theirs = place.folder / "data", other.folder / "data"
    if cell.when == "after":
        if cell.fault == "touched":
            _own(mine)
            for path in mine.rglob("*"):
                os.utime(path)
        else:
            _replace(mine, theirs, cell.fault)
        return Disturbed(f"inputs {cell.fault}", other_inputs=cell.fault != "touched")
    script = cell.when.partition(" ")[0]
    place.remove_from("ingest")
    process = place.start()
    started = wait_for(lambda: place.workers(script), 300, process)
    _replace(mine, theirs, "newer")
    return Disturbed(
        f"replaced while {script} ran" if started else "the stage did not run",
        place.wait(process),
        other_inputs=True,
    )


def _own(folder: Path) -> None:
    """Give hard-linked files a copy of their own, times kept."""
    for path in folder.rglob("*"):
        if path.is_file():
            copy = path.with_name(f"{path.name}.copy")
            shutil.copy2(path, copy)
            os.replace(copy, path)


def _replace(mine: Path, theirs: Path, how: str) -> None:
    """Put other files where the inputs are, each by one rename."""
    for new in sorted(p for p in theirs.rglob("*") if p.is_file()):
        old = mine / new.relative_to(theirs)
        if how == "chunks in place" and new.name.startswith(".z"):
            continue
        before = old.stat()
        copy = old.with_name(f"{old.name}.copy")
        shutil.copyfile(new, copy)
        if how == "older":
            os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns - 3600 * 10**9))
        elif how == "same time":
            os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.replace(copy, old)
