"""Running the workflow as a user would, in a folder of its own."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


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
            timeout=900,
        )
        return Run(done.returncode, done.stdout)

    def run(self, *arguments: str, **environment: str) -> Run:
        """Run the folder's own config as the local profile would."""
        return self.snakemake(
            "--snakefile", str(ROOT / "Snakefile"), "--profile", str(ROOT / "profiles" / "local"),
            "--configfile", "config.yaml", "--cores", "2", *arguments, **environment,
        )  # fmt: skip


def simulated_dataset(**changes):
    """A dataset that needs no files."""
    return {
        "simulate": {"small": {"shape": [12, 32, 32]}},
        "voxel_size_um": [0.3, 0.15, 0.15],
        "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
        "camera": {"offset": 100},
        "channels": {"gfp": {"emission_um": 0.525}},
        **changes,
    }
