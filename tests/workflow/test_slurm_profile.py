"""The profile `slurm`, without a cluster: what it would submit."""

import re

import numpy as np
import tifffile

from support.configs import simulated_dataset
from support.paths import ROOT
from support.volumes import volume_on_paper

GPU_RULES = {"train", "restore_part_gpu", "restore_phantoms_gpu", "evaluate_sample"}
LOCAL = {"restore_prepare", "restore_plan", "index", "all"}


def test_a_dataset_of_300_stacks_and_two_channels_is_at_most_40_jobs(workplace):
    (workplace.folder / "data").mkdir()
    for i in range(300):
        volume = np.zeros((2, 4, 8, 8), np.uint16)
        tifffile.imwrite(
            workplace.folder / "data" / f"{i}.ome.tif", volume, metadata={"axes": "CZYX"}
        )
    channels = {name: {"index": i, "emission_um": 0.5} for i, name in enumerate("ab")}
    dataset = simulated_dataset(volumes="data/*.ome.tif", channels=channels)
    del dataset["simulate"]
    methods = {"rl": {}, "rltv": {"iterations": "tune"}, "rln": {}}
    workplace.configure(
        {"datasets": {"d": dataset}, "methods": methods, "restoration": {"parts": 4}}
    )
    run = workplace.snakemake(
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--profile",
        str(ROOT / "profiles" / "slurm"),
        "--configfile",
        "config.yaml",
        "--dry-run",
    )
    assert run.code == 0, run.output[-3000:]
    groups = re.findall(r"Group job (\w+)", run.output)
    alone = [r for r in re.findall(r"^rule (\w+):", run.output, re.MULTILINE) if r not in LOCAL]
    assert groups.count("ingest") == 1 and alone.count("train") == 2
    assert 3 <= run.output.count("rule ingest.d.") <= 12  # of the same job
    assert 20 < len(groups) + len(alone) <= 35
    asked = re.findall(r"^ *rule (\w+):\n(?:.+\n)*? +resources: (.*)$", run.output, re.MULTILINE)
    assert {rule for rule, _ in asked} >= {*GPU_RULES, "restore_part_cpu", "restore_phantoms_cpu"}
    for rule, resources in asked:
        on_gpu = rule in GPU_RULES
        if rule not in LOCAL:
            assert f"slurm_partition={'gpu' if on_gpu else 'cpu'}" in resources, rule
            assert ("gpu=1" in resources) == on_gpu, rule


def test_time_follows_from_the_size_of_the_data(workplace):
    """60 minutes and 0.2 for each Mvoxel of a part; and so on, up to a partition's limit."""
    datasets = {}
    for name, side in (("small", 100), ("brain", 6000)):
        store = workplace.folder / f"{name}.ome.zarr"  # empty, so that any size is small
        volume_on_paper(
            store, shape=(1, 2, 300, side, side), channels=("a", "b"), chunk=(300, 500, 500)
        )
        datasets[name] = simulated_dataset(volumes=str(store))
        del datasets[name]["simulate"]
    workplace.configure(
        {"datasets": datasets, "methods": {"rl": {}}, "restoration": {"parts": 4, "memory_gb": 2}}
    )
    run = workplace.run("--dry-run", "--set-resources", "evaluate:most_minutes=300", "--cores", "4")
    assert run.code == 0, run.output[-3000:]
    threaded = re.findall(
        r"^rule restore_part_cpu:\n(?:    .+\n)*?    wildcards: dataset=(\w+).*\n"
        r"(?:    .+\n)*?    threads: 4",
        run.output,
        re.MULTILINE,
    )
    assert set(threaded) == {"brain"}  # small jobs run side by side
    found = re.findall(
        r"^rule (\w+):\n(?:    .+\n)*?    wildcards: dataset=(\w+).*\n"
        r"(?:    .+\n)*?    resources: (.*)",
        run.output,
        re.MULTILINE,
    )
    asked = {
        tuple(names): tuple(
            int(re.search(rf"\b{key}=(\d+)", resources)[1]) for key in ("mem_mb", "runtime")
        )
        for *names, resources in found
        if names[0] in ("restore_part_cpu", "restore_finish", "evaluate")
    }
    assert asked["restore_part_cpu", "small"] == (3500, 60)
    assert asked["restore_part_cpu", "brain"] == (3500, 60 + 10800 // 4 // 5)
    assert asked["restore_finish", "brain"] == (3500, 30 + 10800 // 100)
    assert asked["evaluate", "small"] == (4000, 120) and asked["evaluate", "brain"][1] == 300
