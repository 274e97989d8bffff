"""A volume larger than memory, killed three times: `make faults-large`.

Synthesises a compressed volume, restores it with RLN on two cores, once undisturbed and once killed
with SIGKILL at three random moments, and compares every shard byte for byte. 2 Gvoxel take half an
hour or more, and the whole machine. After a stop, the same command with `--folder` resumes.

    python tests/faults/large_volume.py --gvoxel 0.05 --folder large
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decon3d.restoration.plan import Plan
    from decon3d.restoration.restorers import State
    from decon3d.volumes.volume_record import VolumeRecord

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1] / "scripts")]
THREADS = 2
RUNS = {"undisturbed": 0, "killed": 3}
"""How often each restoration is killed."""


def restore(folder: Path, target: Path) -> None:
    """Restore the one part of a plan, in this process."""
    from decon3d.logs import job_log
    from decon3d.networks.devices import limit_threads
    from decon3d.restoration.part import restore_part
    from decon3d.restoration.restorers import State

    limit_threads(THREADS)
    state = State.load(folder / "state.json")
    with job_log(target / "log.txt"):
        restore_part(
            target / "plan.json", [state], part=0, marker=target / "0.json", threads=THREADS
        )


def start(folder: Path, target: Path) -> "subprocess.Popen[bytes]":
    """Restore in a process of its own."""
    arguments = ["--folder", str(folder), "--target", str(target)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    return subprocess.Popen([sys.executable, __file__, *arguments], env=environment)


def lines(path: Path) -> int:
    """Count the finished blocks."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_at(folder: Path, target: Path, goal: int, wait: float) -> None:
    """Kill a restoration some time after so many blocks are finished."""
    process = start(folder, target)
    while process.poll() is None and lines(target / "0.progress") < goal:
        time.sleep(0.05)
    time.sleep(wait)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise RuntimeError(f"{target}: the restoration ended before it was killed; start again")
    print(f"killed with {lines(target / '0.progress')} blocks done", flush=True)


def differing(one: Path, other: Path) -> list[str]:
    """Compare all shards of two level 0 and name those that differ or are missing."""
    files = {p.relative_to(one) for p in one.rglob("*") if p.is_file() and p.suffix != ".partial"}
    there = {p.relative_to(other) for p in other.rglob("*") if p.suffix != ".partial"}
    missing = files - there
    return sorted(
        str(f) for f in files if f in missing or (one / f).read_bytes() != (other / f).read_bytes()
    )


def synthesised(folder: Path, gvoxel: float) -> tuple["VolumeRecord", "State"]:
    """Write the volume and the bundle, or take those that are there."""
    from decon3d.restoration.restorers import State
    from support.large_volumes import described, prepared, synthesise

    side = round((gvoxel * 1e9 / 2) ** (1 / 3))
    shape, state = (side, side, 2 * side), folder / "state.json"
    if not state.exists():
        synthesise(folder / "v.zarr", shape)
        prepared(folder / "bundle").save(state)
    return described(folder / "v.zarr", shape), State.load(state)


def restored(folder: Path, target: Path, plan: "Plan", kills: int) -> None:
    """Restore with so many kills, and print what was found."""
    import numpy as np

    marker, killed = target / "0.json", target / "kills"
    rng = np.random.default_rng()
    started = time.perf_counter()
    # Early enough that a block is left for each kill.
    moments = sorted(rng.integers(0, max(1, plan.bounds[-1] - 2 * kills), kills))
    for moment in moments[lines(killed) :]:
        kill_at(folder, target, int(moment), float(rng.uniform(0, 2)))
        with killed.open("a") as record:
            record.write("killed\n")
    if not marker.exists():
        assert start(folder, target).wait() == 0
    found = json.loads(marker.read_text())
    rate = found["voxels"] / 1e6 / (time.perf_counter() - started)
    print(
        f"{target.name}: {found['voxels'] / 1e9:.3g} Gvoxel in {found['blocks']} blocks, "
        f"{rate:.2f} Mvoxel/s end to end, peak memory {found['peak_memory_gb']:.2f} GB, "
        f"{found['engine']}",
        flush=True,
    )


def main(folder: Path, gvoxel: float, options: dict[str, object]) -> None:
    """Do all of it and print what was found; exit 1 where a byte differs."""
    from support.large_volumes import planned

    record, state = synthesised(folder, gvoxel)
    for name, kills in RUNS.items():
        target = folder / name
        if not kills and target.exists() and not (target / "0.json").exists():
            shutil.rmtree(target)  # it was disturbed
        restored(folder, target, planned(target, record, state, **options), kills)
    wrong = differing(*(folder / name / "v" / "0" for name in RUNS))
    print(f"{len(wrong)} shards differ: {wrong[:5]}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="where all is written; a temporary one if none")
    parser.add_argument("--gvoxel", type=float, default=2.0)
    parser.add_argument("--memory-gb", type=float, default=1.0)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.target:
        restore(given.folder, given.target)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            options = {name: getattr(given, name) for name in ("memory_gb", "engine", "precision")}
            main(given.folder or Path(temporary), given.gvoxel, options)
