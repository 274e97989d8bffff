"""The workflow with the profile `slurm`, on a real SLURM without accounting and GPUs that are faked.

One run of two datasets, one of them up to its page, in which a training and a part are told to stop and another part's node is
killed; beside it, since both mostly wait, a small workflow of jobs that fail in other ways.
"""

import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from decon3d import paths
from support.configs import simulated_dataset
from support.paths import ROOT
from support.slurm_cluster import wait
from support.workflow import Run, Workplace

PROFILE = ("--profile", str(ROOT / "profiles" / "slurm"))
IMPATIENT = (
    "--slurm-init-seconds-before-status-checks",
    "3",
    "--seconds-between-status-checks",
    "2",
    "--max-jobs-per-timespan",
    "100/1s",
)
GPU_RULES = {"train", "restore_part_gpu", "networks"}
"""Or groups of rules: restored phantoms and samples."""
STEPS = 1500
ONE_TRAINING = {"steps": STEPS, "crop": [8, 16, 16], "batch": 2, "validate_every": 50}
SPLIT = {"count": 1, "recipes": {"rln_mixed": 1}}
VOLUME = {"simulate": {"small": {"shape": [12, 256, 256]}}}
CONFIG = {
    "datasets": {
        "one": simulated_dataset(**VOLUME),
        "two": simulated_dataset(**VOLUME, camera={"offset": 50}),
    },
    "methods": {"rln": {"training": ONE_TRAINING}},
    "phantoms": {"shape": [12, 32, 32], "train": SPLIT, "val": SPLIT, "test": SPLIT},
    # Many blocks, so that a part is killed after some of them; the engine of jobs with a GPU, also
    # where the same is made without.
    "restoration": {"memory_gb": 0.05, "engine": "tensorflow"},
    "require_gpu": False,  # the cluster's GPUs are /dev/null
}
TARGETS = [paths.report("one"), paths.finished("two", "rln")]
FAILING = """
rule all:
    input: "died.txt", "over.txt", expand("{i}.txt", i=range(3)), "x.gpu", "y.gpu"
    localrule: True

rule dies_once:
    output: "died.txt"
    shell: "test -e first || {{ touch first; exit 1; }}; touch {output}"

rule over_time:
    output: "over.txt"
    resources: runtime=lambda wildcards, attempt: attempt
    script: "over_time.py"

rule ingest:
    output: "{i}.txt"
    group: "ingest"
    resources: runtime=5
    shell: "touch {output}"

rule train:
    output: "{name}.gpu"
    shell: "echo $CUDA_VISIBLE_DEVICES > {output}"
"""
OVER_TIME = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(ROOT / "scripts")!r})
from decon3d.signals import catch_sigterm
saved = Path("saved")
with catch_sigterm() as stopped:
    while not stopped() and not saved.exists():
        time.sleep(0.2)
if stopped():
    saved.touch()
    sys.exit(1)
Path(snakemake.output[0]).touch()
"""


@dataclass
class Finished:
    """A workplace after a run on the cluster, what the run said, SLURM's records of its jobs."""

    place: Workplace
    run: Run
    records: list[dict[str, str]]
    progress: str
    """Of the part whose node was killed, as it was then."""

    @property
    def folder(self) -> Path:
        return self.place.folder


@pytest.fixture(scope="module")
def both(cluster, tmp_path_factory):
    """Both runs, at the same time."""
    place, failing = (Workplace(tmp_path_factory.mktemp(name)) for name in ("slurm", "failing"))
    place.configure(CONFIG)
    (failing.folder / "Snakefile").write_text(FAILING)
    (failing.folder / "over_time.py").write_text(OVER_TIME)
    with ThreadPoolExecutor() as pool:
        main = pool.submit(
            place.snakemake,
            "--snakefile",
            str(ROOT / "Snakefile"),
            *PROFILE,
            *IMPATIENT,
            "--configfile",
            "config.yaml",
            "--",
            *TARGETS,
            **cluster.environment,
        )
        beside = pool.submit(
            failing.snakemake,
            *PROFILE,
            *IMPATIENT,
            "--resources",
            "gpu=1",
            "in_turn=1",
            **cluster.environment,
        )
        try:
            progress = disturb(cluster, place.folder, main)
        finally:
            run, run_beside = main.result(), beside.result()
    jobs = cluster.jobs()
    return [
        Finished(of, said, [r for r in jobs if r["WorkDir"] == str(of.folder)], known)
        for of, said, known in ((place, run, progress), (failing, run_beside, ""))
    ]


@pytest.fixture
def finished(both):
    assert both[0].run.code == 0, both[0].run.output[-5000:]
    return both[0]


@pytest.fixture
def failing(both):
    assert both[1].run.code == 0, both[1].run.output[-5000:]
    return both[1]


def disturb(cluster, folder, run):
    """Tell a training and a part to stop, kill the node of another part; return its progress."""

    def until(condition, what):
        wait(lambda: run.done() or condition(), what, 900)
        assert not run.done(), f"the run ended before {what}: {run.result().output[-5000:]}"

    def said(dataset, rule, name, pattern):
        file = folder / "logs" / dataset / rule / name
        return file.exists() and re.search(pattern, file.read_text())

    def tell_to_stop(*log):
        job = said(*log, r"SLURM job (\d+)")[1]
        cluster.call("scancel", "--signal=TERM", job)  # what SLURM sends at the time limit

    def begun(dataset):
        progress = folder / Path(paths.part(dataset, "rln", 0)).with_suffix(".progress")
        return progress.read_text() if progress.exists() else ""

    def to_train():
        jobs = [r for r in cluster.jobs() if r["WorkDir"] == str(folder)]
        return sum(rule_of(r) == "train" for r in jobs)

    # A training takes seconds. Both start at once, whichever of them is ready first.
    cluster.call("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    try:
        until(lambda: to_train() == 2, "two trainings in the queue")
    finally:
        cluster.call("scontrol", "update", "PartitionName=gpu", "State=UP")
    trainings = [(name, "train", "gfp.rln.log") for name in ("one", "two")]
    until(lambda: all(said(*log, "step 50:") for log in trainings), "both trainings")
    tell_to_stop(*trainings[0])

    def stop_two():
        until(lambda: begun("two").count("\n") >= 2, "two blocks of two's part")
        tell_to_stop("two", "restore", "rln.0.log")

    def lose_the_node_of_one():
        until(lambda: begun("one").count("\n") >= 2, "two blocks of one's part")
        job, node = said("one", "restore", "rln.0.log", r"SLURM job (\d+), .*node (gpu\d)").groups()
        cluster.kill_node(node)
        progress = begun("one")
        try:
            until(lambda: state(cluster, job) == "NODE_FAIL", f"SLURM to miss {node}")
        finally:
            cluster.start_node(node)
        return progress

    with ThreadPoolExecutor() as pool:  # either part may be the first
        stopped, progress = pool.submit(stop_two), pool.submit(lose_the_node_of_one)
    stopped.result()
    return progress.result()


def state(cluster, job):
    """SLURM's word for a job's state."""
    return next(r["JobState"] for r in cluster.jobs() if r["JobId"] == job)


def rule_of(record):
    """The rule, or group of rules, of a job on SLURM's record."""
    names = [
        "train",
        "restore_part_gpu",
        "networks",
        "restore_finish",
        "psf_fit",
        "psf",
        "simulate",
        "ingest",
        "measure",
        "phantoms",
        "evaluate",
        "report",
        "dies_once",
        "over_time",
    ]
    return next(n for n in names if record["Comment"].removeprefix("rule_").startswith(n))


def attempts(finished, *words):
    """SLURM's records of a rule's jobs, in the order of submission."""
    rule, *rest = words
    return [
        r for r in finished.records if rule_of(r) == rule and all(w in r["Comment"] for w in rest)
    ]


def contents(folder):
    """All files below a folder."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def test_slurm_ran_gpu_rules_on_gpu_nodes_and_all_others_elsewhere(finished):
    assert set(map(rule_of, finished.records)) & GPU_RULES == GPU_RULES
    for record in finished.records:
        on_gpu = rule_of(record) in GPU_RULES
        assert record["Partition"] == ("gpu" if on_gpu else "cpu"), record
        assert record.get("TresPerJob") == ("gres:gpu:1" if on_gpu else None), record
        assert record["NodeList"].startswith(record["Partition"])
        assert record["Requeue"] == "0"


def test_only_what_was_disturbed_was_submitted_twice(finished):
    again = Counter(rule_of(r) for r in finished.records if r["JobState"] != "COMPLETED")
    assert again == {"train": 1, "restore_part_gpu": 2}
    rules = Counter(map(rule_of, finished.records)) - again
    assert rules == {
        "psf": 1,
        "simulate": 2,
        "ingest": 1,
        "measure": 1,
        "psf_fit": 1,
        "phantoms": 2,
        "train": 2,
        "networks": 1,
        "restore_part_gpu": 2,
        "restore_finish": 2,
        "evaluate": 2,
        "report": 1,
    }


def test_every_job_says_itself_where_it_ran(finished):
    logs = finished.folder / "logs"
    both = [
        logs / d / f"{n}.log" for d in ("one", "two") for n in ("train/gfp.rln", "restore/rln.0")
    ]
    one = [logs / "one" / f"{n}.log" for n in ("restore_phantoms/gfp.rln", "evaluate/rln.sample")]
    gpu = {*both, *one}
    local = {f for n in ("prepare", "plan") for f in logs.glob(f"*/{n}/*")}
    assert len(local) == 4
    assert gpu | local < set(logs.rglob("*.log"))
    for file in logs.rglob("*.log"):
        line = file.read_text().splitlines()[0]
        if file in gpu:
            assert re.search(r"partition gpu, node gpu[12], CUDA_VISIBLE_DEVICES 0$", line), file
        elif file in local:
            assert "SLURM" not in line, file
        else:
            assert re.search(r"partition cpu, node cpu[12]$", line), file


def test_two_datasets_are_trained_at_the_same_time(finished):
    first = [attempts(finished, "train", name)[0] for name in ("one", "two")]
    assert {r["NodeList"] for r in first} == {"gpu1", "gpu2"}
    assert max(r["StartTime"] for r in first) < min(r["EndTime"] for r in first)


def test_a_training_that_is_told_to_stop_goes_on_in_the_next_attempt(finished):
    states = [r["JobState"] for r in attempts(finished, "train", "one")]
    assert states == ["FAILED", "COMPLETED"]
    saved = re.search(
        rf"stopped by SIGTERM and saved its state after step (\d+) of {STEPS}", finished.run.output
    )
    log = (finished.folder / "logs" / "one" / "train" / "gfp.rln.log").read_text()
    assert 0 < int(saved[1]) < STEPS and f"resuming after step {saved[1]}\n" in log


def test_a_part_that_is_told_to_stop_goes_on_in_the_next_attempt(finished):
    states = [r["JobState"] for r in attempts(finished, "restore_part_gpu", "two")]
    assert states == ["FAILED", "COMPLETED"]
    left = re.search(r"stopped by SIGTERM with (\d+) of its blocks left", finished.run.output)
    log = (finished.folder / "logs" / "two" / "restore" / "rln.0.log").read_text()
    assert f"part 0: {left[1]} block(s) to do" in log


def test_a_part_whose_node_was_killed_goes_on_in_the_next_attempt(finished):
    first, second = attempts(finished, "restore_part_gpu", "one")
    assert (first["JobState"], second["JobState"]) == ("NODE_FAIL", "COMPLETED")
    marker = finished.folder / paths.part("one", "rln", 0)
    blocks = json.loads(marker.read_text())["blocks"]
    done = [json.loads(line) for line in finished.progress.splitlines()]
    assert 2 <= len(done) < blocks
    lines = [json.loads(line) for line in marker.with_suffix(".progress").open()]
    assert lines[: len(done)] == done
    assert sorted(line["item"] for line in lines) == list(range(blocks))
    log = (finished.folder / "logs" / "one" / "restore" / "rln.0.log").read_text()
    assert f"part 0: {blocks - len(done)} block(s) to do" in log


def test_what_was_killed_or_stopped_is_byte_for_byte_what_a_local_run_makes(finished, tmp_path):
    local = Workplace(tmp_path / "local")
    shutil.copytree(finished.folder, local.folder)
    for name in ("one", "two"):
        for undone in ("restored", "parts/rln", "plans/rln.json", "finished/rln.json"):
            place = local.folder / "results" / name / undone
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    marker = json.loads((finished.folder / paths.part("one", "rln", 0)).read_text())
    threads = marker["threads"]
    targets = [paths.finished(name, "rln") for name in ("one", "two")]
    run = local.run(*targets, "--cores", str(threads))
    assert run.code == 0, run.output[-5000:]
    assert run.jobs == {"restore_plan": 2, "restore_part_gpu": 2, "restore_finish": 2}
    for name in ("one", "two"):
        plan = paths.plan(name, "rln")
        assert (local.folder / plan).read_bytes() == (finished.folder / plan).read_bytes()
        store = paths.restored(name, "small", "rln")
        made, again = (contents(place.folder / store) for place in (finished, local))
        assert len(made) > marker["blocks"] and made == again


def test_a_job_that_failed_is_submitted_again_with_more_memory_and_time(failing):
    first, second = attempts(failing, "dies_once")
    assert (first["JobState"], second["JobState"]) == ("FAILED", "COMPLETED")
    assert (first["MinMemoryNode"], second["MinMemoryNode"]) == ("4000M", "8000M")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("02:00:00", "04:00:00")


def test_a_time_limit_reaches_the_script_which_saves_and_goes_on(failing):
    first, second = attempts(failing, "over_time")
    assert (first["JobState"], second["JobState"]) == ("TIMEOUT", "COMPLETED")
    assert (first["TimeLimit"], second["TimeLimit"]) == ("00:01:00", "00:02:00")


def test_rules_that_share_a_job_run_in_turn(failing):
    (record,) = attempts(failing, "ingest")
    asked = record["NumCPUs"], record["MinMemoryNode"], record["TimeLimit"]
    assert asked == ("1", "4000M", "00:15:00")


def test_no_more_gpus_at_once_than_the_profile_allows(failing):
    first, second = attempts(failing, "train")
    assert first["EndTime"] <= second["SubmitTime"]
