"""Example configs that no test runs: all of their jobs can be planned."""

import pytest

from support.paths import ROOT
from support.workflow import Workplace


@pytest.mark.parametrize("name", ["universal", "universal_full"])
def test_a_dry_run_plans_all_jobs(name, tmp_path):
    run = Workplace(tmp_path).snakemake(
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        str(ROOT / "config" / "examples" / f"{name}.yaml"),
        "--cores",
        "2",
        "--dry-run",
    )
    assert run.code == 0, run.output
    assert (run.jobs["phantoms"], run.jobs["train"], run.jobs["report"]) == (3, 1, 1)
