"""Describe this cluster and write a Snakemake profile for it: `decon3d doctor`.

Run it on a login node. It asks SLURM's own commands and changes nothing; with `--write NAME` it
writes profiles/NAME/config.yaml, with `--try` it runs one tiny job per partition.
"""

import argparse
import sys
from pathlib import Path

import yaml

from decon3d.errors import UserError
from decon3d.files import write_text
from decon3d.slurm.advice import Advice, advise
from decon3d.slurm.environment import OWN_DISK, file_system, missing_packages, tool, try_node
from decon3d.slurm.facts import Cluster, look

TEMPLATE = Path(__file__).resolve().parents[1] / "profiles" / "slurm" / "config.yaml"
PROFILES = Path("profiles")
"""Where `--write` puts a profile, below the working directory."""


def describe(cluster: Cluster) -> None:
    """Print the cluster's facts."""
    print(f"SLURM {cluster.version}; accounting: {'yes' if cluster.accounting else 'no'}")
    for p in cluster.partitions:
        limit = "none" if p.minutes is None else f"{p.minutes} min"
        models = ", ".join(f"{n} × {model or 'GPU'}" for model, n in p.gpus.items()) or "no GPU"
        print(
            f"  {p.name}{' (default)' if p.default else ''}: {p.nodes} nodes, {p.cpus} CPUs, "
            f"{p.memory_mb or '?'} MB, {models}, time limit {limit}"
        )


def surroundings() -> list[str]:
    """Print the available tools; return warnings."""
    folder = Path.cwd()
    kind = file_system(folder)
    print(f"  {folder} lies on {kind}")
    print(f"  apptainer: {tool('apptainer', 'singularity') or 'none (pip or conda is enough)'}")
    print(f"  conda: {tool('conda', 'mamba', 'micromamba') or 'none (pip is enough)'}")
    warnings = []
    if kind in OWN_DISK:
        warnings.append(
            f"{folder} lies on {kind}, usually a machine's own disk; clone and data must have the "
            "same path on every node (`make doctor DOCTOR=--try` tests it)"
        )
    if missing := missing_packages():
        warnings.append(
            f"{', '.join(missing)} is not installed in {sys.executable}; run `make setup`"
        )
    return warnings


def tried(advice: Advice) -> None:
    """Run a tiny job in each partition of the profile and print its result."""
    train = advice.profile["set-resources"].get("train", {})
    requests = {advice.profile["default-resources"]["slurm_partition"]: ()}
    if "gpu" in train:
        requests[train["slurm_partition"]] = ("--gpus=1",)
    elif "gres" in train:
        requests[train["slurm_partition"]] = (f"--gres={train['gres']}",)
    for partition, request in requests.items():
        said = try_node(partition, request, folder=Path.cwd())
        print(f"  a job in {partition}: {said}", flush=True)


def main() -> None:
    """Print facts and advice; on request, write the profile and try it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", metavar="NAME", help="write profiles/NAME/config.yaml")
    parser.add_argument("--try", action="store_true", dest="tries", help="run tiny jobs, too")
    options = parser.parse_args()
    cluster = look()
    template = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    advice = advise(cluster, template)
    describe(cluster)
    warnings = [*advice.warnings, *surroundings()]
    if options.tries:
        tried(advice)
    print("The profile for this cluster:")
    for key, reason in advice.reasons.items():
        print(f"  {key}: {advice.value(key)}   # {reason}")
    for warning in warnings:
        print(f"! {warning}")
    if options.write:
        place = PROFILES / options.write / "config.yaml"
        if place.exists():
            raise UserError(f"{place} exists; give another name")
        write_text(place, advice.text(name=options.write))
        print(f"Written: {place}; run `decon3d run config.yaml --profile {options.write}`")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
