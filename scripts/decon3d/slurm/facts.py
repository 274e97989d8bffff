"""Facts about a cluster: partitions, GPUs, limits, accounting."""

import getpass
import re
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from decon3d.errors import UserError

Ask = Callable[[Sequence[str]], str | None]
"""Runs a command; returns its output, or None if it failed or is not installed."""

SINFO = ("sinfo", "--noheader", "--Node", "--format=%N|%P|%a|%l|%c|%m|%G|%T")
CONFIG = ("scontrol", "show", "config")
SACCT = ("sacct", "--allocations", "--noheader", "--format=JobID")
ASSOCIATIONS = (
    "sacctmgr",
    "--noheader",
    "--parsable2",
    "show",
    "assoc",
    "format=Account,MaxSubmit",
)
WORKING = {"idle", "mixed", "allocated", "completing", "planned", "reserved"}
"""States of a node on which a job may run, now or later."""


@dataclass(frozen=True)
class Partition:
    """A partition, by its working nodes; sizes are those of its largest node."""

    name: str
    default: bool
    minutes: int | None
    """Longest job; None = no limit."""
    nodes: int
    """Nodes that work."""
    broken: int
    """Nodes that do not work."""
    cpus: int
    memory_mb: int
    """0 = unknown."""
    gpus: Mapping[str, int]
    """GPUs of all working nodes by model; the model is empty if the cluster names none."""


@dataclass(frozen=True)
class Cluster:
    """The facts that decide a profile."""

    version: str
    partitions: tuple[Partition, ...]
    """Those that are up and have working nodes, in the cluster's order."""
    accounting: bool
    """`sacct` answers."""
    accounts: tuple[str, ...]
    """The user's; empty without accounting."""
    most_jobs: int | None
    """Jobs that the user may have in the queue; None = no limit is known."""
    min_job_age_s: int
    """How long `squeue` remembers ended jobs."""
    counts_gpus: bool
    """`sbatch --gpus` works (select/cons_tres); otherwise GPUs are requested with `--gres`."""


def ask(command: Sequence[str]) -> str | None:
    """Run a command; return its output, or None if it failed, timed out or is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def look(ask: Ask = ask, *, user: str | None = None) -> Cluster:
    """Ask the cluster's own commands.

    Parameters
    ----------
    ask
        Runs a command.
    user
        The user whose accounts are listed; None = the current user.

    Raises
    ------
    UserError
        If there is no SLURM here, or no partition in which a job could run.
    """
    nodes = ask(SINFO)
    if nodes is None:
        raise UserError(
            "sinfo cannot be run here, or slurmctld does not answer; run this on a login node of "
            "a SLURM cluster (perhaps after `module load slurm`)"
        )
    partitions = tuple(read_partitions(nodes))
    if not partitions:
        raise UserError(f"no partition is up and has working nodes; the output of sinfo:\n{nodes}")
    config = read_config(ask(CONFIG) or "")
    accounting = ask(SACCT) is not None
    user = user or getpass.getuser()
    listed = (ask((*ASSOCIATIONS, f"user={user}")) or "") if accounting else ""
    rows = [line.split("|") for line in listed.splitlines() if "|" in line]
    limits = [int(most) for _, most in rows if most.isdigit()]
    return Cluster(
        version=config.get("SLURM_VERSION", "unknown"),
        partitions=partitions,
        accounting=accounting,
        accounts=tuple(dict.fromkeys(account for account, _ in rows if account)),
        most_jobs=min(limits, default=None),
        min_job_age_s=int(re.match(r"\d*", config.get("MinJobAge", "300"))[0] or 300),  # type: ignore[index]
        counts_gpus=config.get("SelectType", "select/cons_tres") == "select/cons_tres",
    )


def read_partitions(output: str) -> Iterator[Partition]:
    """Read the output of `sinfo` for every node in every partition (`SINFO`'s format)."""
    found: dict[str, Partition] = {}
    for line in filter(None, output.splitlines()):
        _, name, up, limit, cpus, memory, gres, state = line.split("|")
        if up != "up":
            continue
        first = Partition(name.rstrip("*"), name.endswith("*"), minutes(limit), 0, 0, 0, 0, {})
        so_far = found.setdefault(first.name, first)
        # Marks behind a state: * = does not answer; others tell of power saving and planning.
        if state.endswith("*") or state.rstrip("~#!%$@^-+") not in WORKING:
            found[first.name] = replace(so_far, broken=so_far.broken + 1)
            continue
        megabytes = int(memory.rstrip("+"))
        found[first.name] = replace(
            so_far,
            nodes=so_far.nodes + 1,
            cpus=max(so_far.cpus, int(cpus.rstrip("+"))),
            # 1 MB is SLURM's value if none is configured.
            memory_mb=max(so_far.memory_mb, megabytes if megabytes > 1 else 0),
            gpus=Counter(so_far.gpus) + Counter(gpus(gres)),
        )
    return (partition for partition in found.values() if partition.nodes)


def read_config(output: str) -> dict[str, str]:
    """Read `scontrol show config`."""
    pairs = (line.split("=", 1) for line in output.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def minutes(limit: str) -> int | None:
    """Read a time limit: `infinite`, `30` (min), `30:00`, `12:00:00`, `7-00:00:00`, `7-12`."""
    if not limit[:1].isdigit():
        return None
    days, dash, rest = limit.rpartition("-")
    numbers = [int(n) for n in rest.split(":")]
    if dash:
        hours, mins = [*numbers, 0][:2]
    else:
        hours, mins = (numbers[0], numbers[1]) if len(numbers) == 3 else (0, numbers[0])
    return (int(days or 0) * 24 + hours) * 60 + mins


def gpus(gres: str) -> dict[str, int]:
    """Read a node's GPUs by model from its `Gres`: `gpu:a100:4(S:0-1),gpu:t4:2,nvme:1`."""
    found: Counter[str] = Counter()
    for entry in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = entry.strip().split(":")
        if kind == "gpu":
            count = int(rest.pop()) if rest and rest[-1].isdigit() else 1
            found[rest[0] if rest else ""] += count
    return dict(found)
