"""Describe this SLURM cluster and write a Snakemake profile for it."""

import sys
from pathlib import Path

import yaml

from decon3d.command.launch import OWN_PROFILES, workflow_folder
from decon3d.errors import UserError
from decon3d.files import write_text
from decon3d.slurm.advice import Advice, advise
from decon3d.slurm.environment import OWN_DISK, file_system, missing_packages, tool, try_node
from decon3d.slurm.facts import Cluster, look


def suggest_profile(*, name: str | None, tries: bool) -> None:
    """Print the facts of the cluster and a profile for it.

    SLURM's own commands are asked; nothing is changed.

    Parameters
    ----------
    name
        Writes the profile as `profiles/<name>/config.yaml`, below the working directory; None = it
        is not written.
    tries
        Whether to run a tiny job in each partition of the profile.

    Raises
    ------
    UserError
        If the profile exists, or there is no SLURM here.
    """
    place = None if name is None else Path(OWN_PROFILES, name, "config.yaml")
    if place is not None and place.exists():
        raise UserError(f"{place} exists; give another name")
    cluster = look()
    template = workflow_folder() / OWN_PROFILES / "slurm" / "config.yaml"
    advice = advise(cluster, yaml.safe_load(template.read_text(encoding="utf-8")))
    _describe(cluster)
    warnings = [*advice.warnings, *_missing_packages()]
    disk = _disk_warning()
    if not (tries and _try(advice)) and disk:  # a node that reads the folder is a better test
        warnings.append(disk)
    print("The profile for this cluster:")
    for key, reason in advice.reasons.items():
        print(f"  {key}: {advice.value(key)}   # {reason}")
    for warning in warnings:
        print(f"! {warning}")
    if place is not None:
        write_text(place, advice.text(name=place.parent.name))
        print(f"Written: {place}; run `decon3d run config.yaml --profile {name}`")


def _describe(cluster: Cluster) -> None:
    """Print the cluster's facts."""
    print(f"SLURM {cluster.version}; accounting: {'yes' if cluster.accounting else 'no'}")
    for p in cluster.partitions:
        limit = "none" if p.minutes is None else f"{p.minutes} min"
        models = ", ".join(f"{n} × {model or 'GPU'}" for model, n in p.gpus.items()) or "no GPU"
        print(
            f"  {p.name}{' (default)' if p.default else ''}: {p.nodes} nodes, {p.cpus} CPUs, "
            f"{p.memory_mb or '?'} MB, {models}, time limit {limit}"
        )


def _disk_warning() -> str | None:
    """Print the available tools; return a warning if the folder may be a machine's own."""
    folder = Path.cwd()
    kind = file_system(folder)
    print(f"  {folder} lies on {kind}")
    print(f"  apptainer: {tool('apptainer', 'singularity') or 'none (pip or conda is enough)'}")
    print(f"  conda: {tool('conda', 'mamba', 'micromamba') or 'none (pip is enough)'}")
    if kind not in OWN_DISK:
        return None
    return (
        f"{folder} lies on {kind}, usually a machine's own disk; clone and data must have the same "
        "path on every node (`decon3d doctor --try` tests it)"
    )


def _missing_packages() -> list[str]:
    """Return a warning if this Python lacks a package that the profile needs."""
    missing = missing_packages()
    return (
        [
            f"{', '.join(missing)} is not installed in {sys.executable}; install decon3d with its "
            "dependencies there"
        ]
        if missing
        else []
    )


def _try(advice: Advice) -> bool:
    """Run a tiny job in each partition of the profile; return whether all could read the folder."""
    train = advice.profile["set-resources"].get("train", {})
    requests: dict[str, tuple[str, ...]] = {
        advice.profile["default-resources"]["slurm_partition"]: ()
    }
    if "gpu" in train:
        requests[train["slurm_partition"]] = ("--gpus=1",)
    elif "gres" in train:
        requests[train["slurm_partition"]] = (f"--gres={train['gres']}",)
    seen = []
    for partition, request in requests.items():
        works, answer = try_node(partition, request, folder=Path.cwd())
        seen.append(works)
        print(f"  a job in {partition}: {answer}", flush=True)
    return all(seen)
