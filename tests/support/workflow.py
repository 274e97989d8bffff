"""Running the workflow as a user would, in a folder of its own."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from support.paths import ROOT


@dataclass
class Run:
    """What a call of Snakemake said."""

    code: int
    output: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule, from the job table."""
        table = self.output.partition("Job stats:")[2].partition("\n\n")[0]
        rows = re.findall(r"^(\w+)\s+(\d+)$", table, re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule != "total"}


@dataclass
class Workplace:
    """A folder with a config, in which Snakemake runs this clone's workflow."""

    folder: Path

    def configure(self, config) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def snakemake(self, *arguments: str, **environment: str) -> Run:
        """Call Snakemake here."""
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", *arguments],
            cwd=self.folder,
            env={**os.environ, **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=1800,
        )
        return Run(done.returncode, done.stdout)

    def run(self, *arguments: str, **environment: str) -> Run:
        """Run the folder's own config as the local profile would, on one core.

        The suite has two workers: with one core each, no two threads wait for one another.
        """
        return self.snakemake(
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--profile",
            str(ROOT / "profiles" / "local"),
            "--configfile",
            "config.yaml",
            "--cores",
            "1",
            *arguments,
            **environment,
        )
