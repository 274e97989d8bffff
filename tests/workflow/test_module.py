"""The workflow as a module of another one (Snakemake's catalog standard)."""

import subprocess
from pathlib import Path

import pytest

from decon3d import paths
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


def test_an_environment_with_snakemake_alone_is_named_with_what_it_lacks(workplace):
    missing = workplace.folder / "without"
    missing.mkdir()
    (missing / "tifffile.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tifffile'\")\n"
    )
    workplace.configure({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}})
    own = ("--snakefile", f"{ROOT}/workflow/Snakefile", "--configfile", "config.yaml")
    run = workplace.snakemake("-n", *own, PYTHONPATH=str(missing))
    assert run.code != 0
    assert run.output.splitlines()[-1].startswith("No module named 'tifffile': ")
    assert f"pip install -r {ROOT}/envs/cpu.lock.txt" in run.output


MARK = '__import__("pathlib").Path("library").write_text(__file__)\n'
"""Appended to a module that only the job imports: names the file that it was read from."""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="the source is not in a repository")
def test_a_module_from_a_repository_brings_its_library(workplace, tmp_path):
    """As snakedeploy deploys it. Snakemake keeps clones of repositories in its cache."""
    changed = tmp_path / "changed"

    def git(*words):
        who = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        subprocess.run(["git", *who, *map(str, words)], check=True, capture_output=True)

    git("clone", "--quiet", ROOT, changed)
    with Path(changed, "scripts/decon3d/optics/build.py").open("a") as module:
        module.write(MARK)
    git("-C", changed, "commit", "--all", "--message", "marked")
    git("-C", changed, "tag", "v0")
    cache = tmp_path / "cache/snakemake/snakemake/source-cache/snakemake-git-cache"
    git("clone", "--quiet", "--bare", changed, cache / "github.com/owner/decon3d")

    workplace.configure({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}})
    (workplace.folder / "Snakefile").write_text(
        """
configfile: "config.yaml"

module decon3d:
    snakefile: github("owner/decon3d", path="workflow/Snakefile", tag="v0")
    config: config

use rule * from decon3d
"""
    )
    target = paths.psf("d", "gfp")
    run = workplace.snakemake(target, "--cores", "1", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert run.code == 0, run.output[-3000:]
    used = Path((workplace.folder / "library").read_text())
    assert used.is_relative_to(workplace.folder / ".snakemake" / "decon3d")
