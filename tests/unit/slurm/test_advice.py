"""From a cluster's facts to a profile."""

import copy
import re
from dataclasses import replace

import pytest
import yaml

from decon3d.slurm.advice import ALONE, ATTEMPTS, DEFAULT, GPU_RULES, LEAST, NEEDS, Need, advise
from decon3d.slurm.facts import Cluster, Partition
from support.paths import ROOT

TEMPLATE = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
CPU = Partition("cpu", True, 10080, 2, 0, 8, 64000, {})
GPU = Partition("gpu", False, 2880, 2, 0, 8, 64000, {"": 2})
HOUSE = Cluster("22.05.8", (CPU, GPU), False, (), None, 300, True)


def with_partitions(*partitions):
    return replace(HOUSE, partitions=partitions)


def test_what_the_profile_is_written_for_only_gets_its_limits():
    longest = {
        "restore_part_gpu": 2880,
        "restore_part_cpu": 10080,
        "restore_finish": 10080,
        "evaluate": 10080,
        "evaluate_network": 10080,
        "evaluate_input": 10080,
        "ingest": 10080 // 50,
        "ingest_restored": 10080 // 50,
    }
    asked = copy.deepcopy(TEMPLATE["set-resources"])
    for rule, minutes in longest.items():
        asked.setdefault(rule, {})["most_minutes"] = minutes
    changed = {"resources": ["gpu=2", "in_turn=1"], "set-resources": asked}
    assert advise(HOUSE, TEMPLATE).profile == {**TEMPLATE, **changed}


def test_accounting_decides_how_jobs_are_watched():
    assert advise(HOUSE, TEMPLATE).profile["slurm-status-command"] == "squeue"
    there = advise(replace(HOUSE, accounting=True, accounts=("lab",)), TEMPLATE).profile
    assert there["slurm-status-command"] == "sacct" and there["slurm-efficiency-report"] is True
    assert there["default-resources"]["slurm_account"] == "lab"
    several = advise(replace(HOUSE, accounting=True, accounts=("lab", "other")), TEMPLATE)
    assert "slurm_account" not in several.profile["default-resources"]
    assert "lab, other" in several.warnings[0]


def test_a_forgetful_squeue_is_asked_so_often_that_sacct_is_not_taken():
    advice = advise(replace(HOUSE, min_job_age_s=20), TEMPLATE)
    assert advice.profile["slurm-init-seconds-before-status-checks"] == 6
    assert "MinJobAge" in advice.warnings[0]


def test_the_partitions_are_the_default_without_gpus_and_the_one_with_most_gpus():
    few = replace(GPU, name="few", default=True, gpus={"a100": 1})
    many = replace(GPU, name="many", gpus={"a100": 4, "v100": 4}, broken=1)
    advice = advise(
        with_partitions(few, replace(CPU, name="other", default=False, nodes=9), many, CPU),
        TEMPLATE,
    )
    assert advice.profile["default-resources"]["slurm_partition"] == "cpu"
    for rule in GPU_RULES:
        asked = advice.profile["set-resources"][rule]
        assert (asked["slurm_partition"], asked["gpu"]) == ("many", 1)
    assert "gpu=4" in advice.profile["resources"]
    assert "gpu_model: a100" in advice.reasons["set-resources.train.gpu"]
    assert advice.warnings == ("1 of 3 nodes of many are down or drained",)


def test_where_gpus_are_not_counted_gres_asks_for_them():
    profile = advise(replace(HOUSE, counts_gpus=False), TEMPLATE).profile
    assert profile["set-resources"]["train"] == {"slurm_partition": "gpu", "gres": "gpu:1"}
    assert profile["resources"] == ["in_turn=1"]


def test_without_gpus_nothing_asks_for_one():
    advice = advise(with_partitions(CPU), TEMPLATE)
    asked = advice.profile["set-resources"]
    assert not any({"gpu", "gres", "slurm_partition"} & set(asked.get(r, {})) for r in GPU_RULES)
    assert "gpu" not in str(advice.profile["resources"]) and "GPU" in advice.warnings[0]


def test_no_attempt_asks_for_more_than_a_partition_has():
    small = replace(CPU, minutes=240, memory_mb=10000, cpus=2)
    gpu = replace(GPU, minutes=1440, memory_mb=16000, cpus=6)
    advice = advise(with_partitions(small, gpu), TEMPLATE)
    profile = advice.profile

    def most(expression):
        return eval(expression, {"attempt": ATTEMPTS, "min": min})

    assert most(profile["default-resources"]["runtime"]) == 240
    assert most(profile["default-resources"]["mem_mb"]) == 10000
    assert most(profile["set-resources"]["train"]["runtime"]) == 1440
    assert most(profile["set-resources"]["train"]["mem_mb"]) == 16000
    assert most(profile["set-resources"]["measured_pairs"]["mem_mb"]) == 10000
    on_cpu = {rule for rule, need in NEEDS.items() if need.threads > 2 and rule not in GPU_RULES}
    assert profile["set-threads"] == {"train": 6, **dict.fromkeys(on_cpu, 2)}
    assert "ingest=8" in profile["group-components"]
    for key in advice.reasons:
        assert advice.value(key) is not None


def test_a_written_profile_says_why_and_reads_back():
    advice = advise(HOUSE, TEMPLATE)
    text = advice.text(name="mine")
    assert yaml.safe_load(text) == advice.profile
    assert "# slurm-status-command: no accounting" in text


RULES = "\n".join(f.read_text() for f in (ROOT / "workflow" / "rules").glob("*.smk"))


def body(rule):
    """What a rule says, and the one that it takes the rest from."""
    header = rf"^(?:rule {rule}|use rule \w+ as {rule} with):\n"
    found = re.search(rf"{header}(.*?)(?=^\S|\Z)", RULES, re.DOTALL | re.MULTILINE)[1]
    other = re.search(rf"^use rule (\w+) as {rule} with:", RULES, re.MULTILINE)
    return found + (body(other[1]) if other else "")


def said(rule, pattern):
    """The first number that fits in a rule."""
    found = re.search(pattern, body(rule))
    return int(found[1]) if found else None


def test_needs_are_those_of_the_rules():
    for rule in re.findall(r"^(?:rule|use rule \w+ as) (\w+)(?: with)?:", RULES, re.MULTILINE):
        need = NEEDS.get(rule, Need())
        threads = said(rule, r" threads: (?:threads_for\(\w+, most=)?(\d+)")
        memory = said(rule, r"mem_mb=per_attempt\((\d+)\)")
        assert max(need.threads, 2) == max(threads or 1, 2), rule
        assert need.memory_mb == (memory or 0) or memory <= DEFAULT.memory_mb, rule
        assert need.minutes == (said(rule, r"runtime=per_attempt\((\d+)\)") or 0), rule
        by_size = {*ALONE, *LEAST}
        resources = re.search(r"resources:\n(.*?)\n    \w+:", body(rule), re.DOTALL)
        grows = resources is not None and "runtime=minutes_for(" in resources[1]
        assert grows == (rule in by_size), rule
    for rule in NEEDS:
        assert body(rule)


@pytest.mark.parametrize("limit", [60, 240, 720, 1440])
def test_no_shared_job_asks_for_more_than_a_partition_allows(limit):
    short = with_partitions(replace(CPU, minutes=limit), replace(GPU, minutes=limit))
    profile = advise(short, TEMPLATE).profile
    counts = dict(entry.split("=") for entry in profile["group-components"])
    assert counts.keys() == dict(e.split("=") for e in TEMPLATE["group-components"]).keys()
    default = profile["default-resources"]["runtime"]
    of_group = {"ingest": ["ingest"], "ingest_restored": ["ingest_restored"]}
    for entry in profile["groups"]:
        rule, group = entry.split("=")
        of_group.setdefault(group, []).append(rule)
    for group, rules in of_group.items():
        minutes = []
        for rule in rules:
            asked = profile["set-resources"][rule]
            most = asked.get("most_minutes") or asked.get("runtime", default)
            minutes.append(eval(str(most), {"attempt": ATTEMPTS, "min": min}))
        assert 0 < max(minutes) * int(counts[group]) <= limit, group
    assert ("classical=4" in profile["group-components"]) == (limit >= 720)


def test_defaults_are_those_of_the_profile():
    assert TEMPLATE["retries"] == ATTEMPTS - 1
    default = TEMPLATE["default-resources"]
    assert default["runtime"] == f"{DEFAULT.minutes} * attempt"
    assert default["mem_mb"] == f"{DEFAULT.memory_mb} * attempt"
