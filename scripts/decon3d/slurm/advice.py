"""From a cluster's facts to a profile: its values and their reasons."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from decon3d.slurm.facts import Cluster, Partition

ATTEMPTS = 3
"""Attempts per job: the profile's `retries` plus one."""
GPU_RULES = (
    "train",
    "restore_part_gpu",
    "restore_phantoms_gpu",
    "pairs_after_gpu",
    "evaluate_sample",
)
"""Rules that use networks."""


@dataclass(frozen=True)
class Need:
    """The resources of a rule's first attempt; later ones get more."""

    minutes: int = 0
    """0 = the default."""
    memory_mb: int = 0
    """0 = the default, or from the config."""
    threads: int = 1


NEEDS = {
    "train": Need(720, 8000, 8),
    "restore_part_gpu": Need(threads=4),
    "restore_part_cpu": Need(threads=4),
    "restore_prepare_on_sample": Need(threads=4),
    "tune": Need(threads=4),
    "measured_pairs": Need(memory_mb=8000),
    "pairs_after_gpu": Need(threads=4),
    "pairs_after_cpu": Need(threads=4),
    "restore_phantoms_gpu": Need(threads=4),
    "restore_phantoms_cpu": Need(threads=4),
    "evaluate": Need(threads=4),
    "evaluate_network": Need(threads=4),
    "evaluate_sample": Need(threads=4),
    "report": Need(threads=4),
    "preview_dataset": Need(memory_mb=6000, threads=4),
}
"""The rules that need more than the defaults; a test compares this with the rules."""
ALONE = (
    "restore_part_gpu",
    "restore_part_cpu",
    "restore_finish",
    "evaluate",
    "evaluate_network",
    "evaluate_input",
)
"""Rules with their own jobs, whose time depends on the size of the data."""
LEAST = {"ingest": 10, "ingest_restored": 10}
"""Minutes of small volumes, for those among the rules that share jobs."""
DEFAULT = Need(120, 4000)
"""The profile's `default-resources`."""


@dataclass(frozen=True)
class Advice:
    """A profile for a cluster."""

    profile: dict[str, Any]
    """The complete profile, as Snakemake reads it."""
    reasons: dict[str, str]
    """Reasons of the values that are set for this cluster."""
    warnings: tuple[str, ...]
    """Problems that no profile can solve."""

    def value(self, key: str) -> Any:
        """Return what a key with a reason is set to."""
        found: Any = self.profile
        for part in key.split("."):
            if isinstance(found, list):  # `name=value`, as Snakemake's command line has it
                found = dict(entry.split("=") for entry in found)
            found = found[part]
        return found

    def text(self, *, name: str) -> str:
        """Write the profile as YAML, the reasons above it."""
        lines = [
            f"# The profile of a cluster: `decon3d run config.yaml --profile {name}`.",
            "# Made by `decon3d doctor` from profiles/slurm/config.yaml, which explains each key.",
            "# For this cluster:",
            *(f"# {key}: {reason}" for key, reason in self.reasons.items()),
        ]
        body = yaml.safe_dump(self.profile, sort_keys=False, default_flow_style=None, width=100)
        return "\n".join(lines) + "\n" + body


def advise(cluster: Cluster, template: Mapping[str, Any]) -> Advice:
    """Fit a profile to a cluster.

    Parameters
    ----------
    cluster
        Its facts.
    template
        The profile `slurm`, as plain values.
    """
    profile = copy.deepcopy(dict(template))
    reasons: dict[str, str] = {}
    warnings: list[str] = []
    with_gpu = [p for p in cluster.partitions if p.gpus]
    gpu = max(with_gpu, key=lambda p: sum(p.gpus.values()), default=None)
    cpu = _cpu_partition(cluster)
    _status(cluster, profile, reasons, warnings)
    _account(cluster, profile, reasons, warnings)

    default = profile["default-resources"]
    default["slurm_partition"] = cpu.name
    reasons["default-resources.slurm_partition"] = f"{cpu.name}: {_in_words(cpu)}"
    _cap(default, DEFAULT, cpu, "default-resources", reasons)
    resources = profile["set-resources"]
    for rule in GPU_RULES:
        for key in ("slurm_partition", "gpu"):
            resources[rule].pop(key, None)
        if gpu:
            resources[rule]["slurm_partition"] = gpu.name
            resources[rule].update({"gpu": 1} if cluster.counts_gpus else {"gres": "gpu:1"})
        elif not resources[rule]:
            del resources[rule]
    limits = [entry for entry in profile["resources"] if not entry.startswith("gpu=")]
    if gpu:
        _gpu_reasons(cluster, gpu, reasons)
        if cluster.counts_gpus:
            total = sum(gpu.gpus.values())
            limits.insert(0, f"gpu={min(4, total)}")
            reasons["resources.gpu"] = f"GPUs that jobs use at once, of {total} in the partition"
    else:
        warnings.append("no partition has GPUs, so networks run on CPUs, where training takes days")
    profile["resources"] = limits
    for rule, need in NEEDS.items():
        place = gpu if gpu and rule in GPU_RULES else cpu
        _cap(resources.setdefault(rule, {}), need, place, f"set-resources.{rule}", reasons)
        if need.threads > place.cpus:
            profile.setdefault("set-threads", {})[rule] = place.cpus
            reasons[f"set-threads.{rule}"] = f"nodes of {place.name} have {place.cpus} CPUs"
        if not resources[rule]:
            del resources[rule]
    for rule in ALONE:
        place = gpu if gpu and rule in GPU_RULES else cpu
        _limit(profile, rule, place, place.minutes, reasons)
    _groups(cpu, gpu, profile, reasons)
    for partition in cluster.partitions:
        if partition.broken and partition in (cpu, gpu):
            broken, all_ = partition.broken, partition.broken + partition.nodes
            warnings.append(f"{broken} of {all_} nodes of {partition.name} are down or drained")
    return Advice(profile, reasons, tuple(warnings))


def _cpu_partition(cluster: Cluster) -> Partition:
    """Choose the partition of most jobs: without GPUs, then the default, then the largest."""
    return max(cluster.partitions, key=lambda p: (not p.gpus, p.default, p.nodes * p.cpus))


def _in_words(partition: Partition) -> str:
    limit = "no time limit" if partition.minutes is None else f"at most {partition.minutes} min"
    memory = f"{partition.memory_mb} MB" if partition.memory_mb else "memory unknown"
    return f"{partition.nodes} nodes up to {partition.cpus} CPUs and {memory}, {limit}"


def _status(
    cluster: Cluster, profile: dict[str, Any], reasons: dict[str, str], warnings: list[str]
) -> None:
    """Choose the command for the state of jobs; the wrong choice waits for ever."""
    if cluster.accounting:
        profile["slurm-status-command"] = "sacct"
        reasons["slurm-status-command"] = "sacct works and reports why jobs failed"
        profile["slurm-efficiency-report"] = True
        reasons["slurm-efficiency-report"] = "sacct reports each job's use of its resources"
        return
    profile["slurm-status-command"] = "squeue"
    reasons["slurm-status-command"] = (
        "no accounting: sacct reports nothing, and the run would wait for ever"
    )
    key = "slurm-init-seconds-before-status-checks"
    if cluster.min_job_age_s < 3 * profile[key]:
        profile[key] = max(1, cluster.min_job_age_s // 3)
        reasons[key] = (
            f"squeue forgets jobs {cluster.min_job_age_s} s after their end (MinJobAge); with an "
            "interval above a third of it, the executor would use sacct and wait for ever"
        )
    if cluster.min_job_age_s < 200:  # the executor may ask only every 180 s
        warnings.append(
            f"no accounting, and MinJobAge is only {cluster.min_job_age_s} s: the end of a long "
            "job may be missed; ask the administrators for 300 s"
        )


def _account(
    cluster: Cluster, profile: dict[str, Any], reasons: dict[str, str], warnings: list[str]
) -> None:
    if len(cluster.accounts) == 1:
        profile["default-resources"]["slurm_account"] = cluster.accounts[0]
        reasons["default-resources.slurm_account"] = "your only account"
    elif cluster.accounts:
        warnings.append(
            f"you have the accounts {', '.join(cluster.accounts)}; add one to default-resources, "
            "slurm_account: …"
        )
    if cluster.most_jobs is not None and cluster.most_jobs < profile["jobs"]:
        profile["jobs"] = cluster.most_jobs
        reasons["jobs"] = f"you may have {cluster.most_jobs} jobs in the queue"


def _gpu_reasons(cluster: Cluster, gpu: Partition, reasons: dict[str, str]) -> None:
    models = ", ".join(f"{count} {model or 'GPUs'}" for model, count in gpu.gpus.items())
    reasons["set-resources.train.slurm_partition"] = f"{gpu.name}: {models}; {_in_words(gpu)}"
    named = [model for model in gpu.gpus if model]
    if len(named) > 1 and cluster.counts_gpus:
        reasons["set-resources.train.gpu"] = (
            f"any model; add `gpu_model: {named[0]}` for one model ({', '.join(named)})"
        )
    if not cluster.counts_gpus:
        reasons["set-resources.train.gres"] = (
            "this cluster does not support --gpus (not select/cons_tres); `jobs` limits jobs "
            "instead of GPUs"
        )


def _cap(
    resources: dict[str, Any], need: Need, place: Partition, key: str, reasons: dict[str, str]
) -> None:
    """Keep the resources of a rule's last attempt within a partition's limits."""
    if place.minutes is not None and need.minutes * ATTEMPTS > place.minutes:
        resources["runtime"] = f"min({need.minutes} * attempt, {place.minutes})"
        reasons[f"{key}.runtime"] = _allows(place)
    if need.memory_mb and place.memory_mb and need.memory_mb * ATTEMPTS > place.memory_mb:
        resources["mem_mb"] = f"min({need.memory_mb} * attempt, {place.memory_mb})"
        reasons[f"{key}.mem_mb"] = f"nodes of {place.name} have {place.memory_mb} MB"


def _limit(
    profile: dict[str, Any], rule: str, place: Partition, most: int | None, reasons: dict[str, str]
) -> None:
    """Limit resources that grow with the data to a partition's."""
    if most is not None:
        profile["set-resources"].setdefault(rule, {})["most_minutes"] = most
        reasons[f"set-resources.{rule}.most_minutes"] = _allows(place)


def _allows(place: Partition) -> str:
    return f"{place.name} allows {place.minutes} minutes"


def _groups(
    cpu: Partition, gpu: Partition | None, profile: dict[str, Any], reasons: dict[str, str]
) -> None:
    """Reduce the size of shared jobs if jobs must be short, since their times add up.

    The memory of a shared job is that of its largest.
    """
    of_rule = {"ingest": "ingest", "ingest_restored": "ingest_restored"}
    of_rule |= dict(entry.split("=") for entry in profile["groups"])
    counts = dict(entry.split("=") for entry in profile["group-components"])
    asked = profile["set-resources"]
    for group in dict.fromkeys(of_rule.values()):
        rules = [rule for rule in of_rule if of_rule[rule] == group]
        place = gpu if gpu and set(rules) & set(GPU_RULES) else cpu
        if place.minutes is None:
            continue
        minutes = {rule: _minutes(rule, asked) for rule in rules}
        longest = max(minutes.values())
        count = int(counts.get(group, 1))
        fitting = max(1, place.minutes // (longest * ATTEMPTS))
        if fitting < count:
            count = fitting
            counts[group] = str(count)
            reasons[f"group-components.{group}"] = _allows(place)
        share = place.minutes // count
        for rule in rules:
            if rule in LEAST:
                _limit(profile, rule, place, share, reasons)
            elif minutes[rule] * ATTEMPTS > share:
                asked.setdefault(rule, {})["runtime"] = f"min({minutes[rule]} * attempt, {share})"
                reasons[f"set-resources.{rule}.runtime"] = _allows(place)
    profile["group-components"] = [f"{group}={count}" for group, count in counts.items()]


def _minutes(rule: str, asked: dict[str, Any]) -> int:
    """Return the resources of the first attempt of a rule that shares a job."""
    runtime = asked.get(rule, {}).get("runtime")
    if runtime is None:
        return LEAST.get(rule, DEFAULT.minutes)
    return int(str(runtime).split()[0])  # `60 * attempt`
