"""The workflow with the profile `slurm`, on a real SLURM without accounting and GPUs that are faked."""

import re
import subprocess
import sys

import pytest
from cluster import wait
from helpers import ROOT, Workplace, simulated_dataset

PROFILE = ("--profile", str(ROOT / "profiles" / "slurm"))
IMPATIENT = (
    "--slurm-init-seconds-before-status-checks",
    "3",
    "--seconds-between-status-checks",
    "2",
)
GPU_RULES = {"train", "restore_part_gpu", "restore_phantoms_gpu"}
ONE_TRAINING = {"steps": 20, "crop": [8, 16, 16], "batch": 2, "validate_every": 10}
SPLIT = {"count": 1, "recipes": {"rln_mixed": 1}}
CONFIG = {
    "datasets": {"one": simulated_dataset(), "two": simulated_dataset(camera={"offset": 50})},
    "methods": {"rl": {"iterations": 3}, "rln": {"training": ONE_TRAINING}},
    "phantoms": {"shape": [12, 32, 32], "train": SPLIT, "val": SPLIT, "test": SPLIT},
    "require_gpu": False,  # the cluster's GPUs are /dev/null
}


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory):
    """A workplace after a run on the cluster, what the run said, and SLURM's records of its jobs."""
    place = Workplace(tmp_path_factory.mktemp("slurm"))
    place.configure(CONFIG)
    before = len(cluster.jobs())
    run = place.snakemake(
        "--snakefile", str(ROOT / "Snakefile"), *PROFILE, *IMPATIENT,
        "--configfile", "config.yaml", **cluster.environment,
    )  # fmt: skip
    assert run.code == 0, run.output[-5000:]
    return place, run, cluster.jobs()[before:]


def rule_of(record):
    """The rule, or group of rules, of a job on SLURM's record."""
    names = ["train", "restore_part_gpu", "restore_part_cpu", "restore_phantoms_gpu",
             "restore_phantoms_cpu", "restore_finish", "psf", "simulate", "ingest", "phantoms",
             "evaluate", "pages"]  # fmt: skip
    return next(n for n in names if record["Comment"].removeprefix("rule_").startswith(n))


def test_slurm_ran_gpu_rules_on_gpu_nodes_and_all_others_elsewhere(finished):
    records = finished[2]
    assert {r["JobState"] for r in records} == {"COMPLETED"}
    assert set(map(rule_of, records)) & GPU_RULES == GPU_RULES
    for record in records:
        on_gpu = rule_of(record) in GPU_RULES
        assert record["Partition"] == ("gpu" if on_gpu else "cpu"), record
        assert record.get("TresPerJob") == ("gres:gpu:1" if on_gpu else None), record
        assert record["NodeList"].startswith(record["Partition"])
        assert record["Requeue"] == "0"
    assert sum(rule_of(r) == "train" for r in records) == 2
    # Both volumes are ingested in one job; so are three phantoms, four evaluations, three pages.
    assert len(records) == 26, [rule_of(r) for r in records]


def test_every_job_says_itself_where_it_ran(finished):
    logs = finished[0].folder / "logs"
    gpu = [*logs.glob("*/train/*"), *logs.glob("*/restore/rln.*"), *logs.glob("*/*/*.rln.log")]
    gpu = {f for f in gpu if f.parent.name in ("train", "restore", "restore_phantoms")}
    local = {f for n in ("statistics", "prepare", "plan") for f in logs.glob(f"*/{n}/*")}
    local.add(logs / "index.log")
    assert len(gpu) == 6 and len(local) == 11
    for file in logs.rglob("*.log"):
        line = file.read_text().splitlines()[0]
        if file in gpu:
            assert re.search(r"partition gpu, node gpu[12], CUDA_VISIBLE_DEVICES 0$", line), file
        elif file in local:
            assert "SLURM" not in line, file
        else:
            assert re.search(r"partition cpu, node cpu[12]$", line), file


def test_two_datasets_are_trained_at_the_same_time(finished):
    trainings = [r for r in finished[2] if rule_of(r) == "train"]
    assert {r["NodeList"] for r in trainings} == {"gpu1", "gpu2"}
    assert max(r["StartTime"] for r in trainings) < min(r["EndTime"] for r in trainings)


def test_a_job_that_failed_is_submitted_again_with_more_memory_and_time(cluster, tmp_path):
    (tmp_path / "Snakefile").write_text(
        "rule dies_once:\n"
        "    output: 'done.txt'\n"
        "    shell: 'test -e first || {{ touch first; exit 1; }}; touch {output}'\n"
    )
    before = len(cluster.jobs())
    run = Workplace(tmp_path).snakemake(*PROFILE, *IMPATIENT, **cluster.environment)
    assert run.code == 0, run.output[-3000:]
    first, second = cluster.jobs()[before:]
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("4000M", "8000M")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("02:00:00", "04:00:00")


def test_rules_that_share_a_job_run_in_turn(cluster, tmp_path):
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    input: expand('{i}.txt', i=range(3))\n    localrule: True\n"
        "rule ingest:\n    output: '{i}.txt'\n    group: 'ingest'\n    shell: 'touch {output}'\n"
    )
    before = len(cluster.jobs())
    run = Workplace(tmp_path).snakemake(*PROFILE, *IMPATIENT, **cluster.environment)
    assert run.code == 0, run.output[-3000:]
    (record,) = cluster.jobs()[before:]
    asked = record["NumCPUs"], record["MinMemoryNode"], record["TimeLimit"]
    assert asked == ("1", "4000M", "00:15:00")


def test_a_job_whose_node_dies_is_submitted_again_on_another(cluster, tmp_path):
    (tmp_path / "Snakefile").write_text(
        "rule waits_once:\n"
        "    output: 'done.txt'\n"
        "    shell: 'test -e first || {{ touch first; sleep 600; }}; touch {output}'\n"
    )
    before = len(cluster.jobs())
    with subprocess.Popen(
        [sys.executable, "-m", "snakemake", *PROFILE, *IMPATIENT],
        cwd=tmp_path, env=cluster.environment,
    ) as run:  # fmt: skip
        wait((tmp_path / "first").exists, "the first attempt")
        node = cluster.jobs()[-1]["NodeList"]
        cluster.kill_node(node)
        try:
            assert run.wait(300) == 0
        finally:
            run.terminate()
            cluster.start_node(node)
    first, second = cluster.jobs()[before:]
    assert first["JobState"] in ("FAILED", "NODE_FAIL") and first["NodeList"] == node
    assert second["JobState"] == "COMPLETED" and second["NodeList"] != node
    wait(lambda: node in cluster.nodes("idle"), f"{node} to come back")
