"""The workflow as a module of another one (Snakemake's catalog standard)."""

from support.configs import simulated_dataset
from support.paths import ROOT


def test_another_workflow_uses_the_rules_with_a_part_of_its_config(workplace):
    ours = {"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}}
    workplace.configure({"deconvolution": ours, "other": 1})
    (workplace.folder / "Snakefile").write_text(
        f"""
configfile: "config.yaml"

module decon3d:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config["deconvolution"]

use rule * from decon3d

rule count:
    input: "results/d/tables/metrics.csv"
    output: "count.txt"
    shell: "wc -l {{input}} > {{output}}"
"""
    )
    run = workplace.snakemake("count.txt", "--dry-run", "--cores", "1")
    assert run.code == 0, run.output
    assert run.jobs["count"] == run.jobs["report"] == 1


def test_the_workflow_s_own_snakefile_works_without_the_one_above(workplace):
    workplace.configure({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}})
    own = ("--snakefile", f"{ROOT}/workflow/Snakefile", "--configfile", "config.yaml")
    run = workplace.snakemake("--dry-run", "--cores", "1", *own)
    assert run.code == 0 and run.jobs["report"] == 1, run.output
