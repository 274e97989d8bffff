"""The profile `slurm`, without a cluster: what it would submit."""

import re

import numpy as np
import tifffile
from helpers import ROOT, simulated_dataset

GPU_RULES = {"train", "restore_part_gpu", "restore_phantoms_gpu", "evaluate_sample_gpu"}
LOCAL = {"channel_statistics", "restore_prepare", "restore_plan", "index", "all"}


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
    assert groups.count("ingest") == 6 and alone.count("train") == 2
    assert 20 < len(groups) + len(alone) <= 40
    asked = re.findall(r"^ *rule (\w+):\n(?:.+\n)*? +resources: (.*)$", run.output, re.MULTILINE)
    assert {rule for rule, _ in asked} >= {*GPU_RULES, "restore_part_cpu", "restore_phantoms_cpu"}
    for rule, resources in asked:
        on_gpu = rule in GPU_RULES
        if rule not in LOCAL:
            assert f"slurm_partition={'gpu' if on_gpu else 'cpu'}" in resources, rule
            assert ("gpu=1" in resources) == on_gpu, rule
