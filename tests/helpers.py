"""Running the workflow as a user would, in a folder of its own."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
import zarr

from decon3d.evaluation.records import Record
from decon3d.networks.description import SCHEMA_VERSION, BundleInfo, TrainedOn
from decon3d.volumes.writer import create_level, image_attributes

ROOT = Path(__file__).resolve().parents[1]
REFERENCE_DATA = Path(os.environ.get("DECON3D_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
"""Folder of the reference data, which may be absent."""


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


def volume_on_paper(store: Path, *, shape, channels=("a",), chunk, voxel_size_um=(1, 1, 1)) -> None:
    """An OME-Zarr of uint16 (T, C, Z, Y, X) from elsewhere, which stores no chunk: all zeros."""
    create_level(store, shape=shape, dtype="uint16", chunk=chunk)
    attributes = image_attributes(
        name="v",
        factors=[(1, 1, 1)],
        voxel_size_um=voxel_size_um,
        channel_names=list(channels),
        windows=[(0, 1000)] * len(channels),
    )
    zarr.create_group(store, attributes=attributes)


def bundle_info(**changes) -> BundleInfo:
    """What a trained network says of itself; 0.2 × 0.1 × 0.1 µm voxels, noise 1 to 2 %."""
    trained_on = TrainedOn(2, (8, 8, 8), "law", (100.0, 100.0), (50.0, 60.0), (0.01, 0.02), {})
    values = {
        "schema_version": SCHEMA_VERSION,
        "kind": "rln",
        "options": {},
        "input_channels": 1,
        "halo": (18, 18, 18),
        "stride": (2, 2, 2),
        "bytes_per_voxel": 250.0,
        "global_means": False,
        "target_kernel": "object",
        "voxel_size_um": (0.2, 0.1, 0.1),
        "psf_fwhm_um": (0.6, 0.25, 0.25),
        "psf_fingerprint": "ab",
        "trained_on": trained_on,
        "training": {"steps": 1},
        "seed": 1,
        "stream": ("d", "c"),
        "device": "CPU",
        "best_step": 1,
        "validation": {},
        "versions": {"decon3d": "0"},
        "model_sha256": "0",
        "weights_sha256": "0",
    }
    return BundleInfo(**{**values, **changes})


def metric_record(**changes) -> Record:
    """A value of a metric: the PSNR of a restored volume."""
    values = {
        "dataset": "d",
        "channel": "a",
        "method": "rl",
        "subject": "volume/v",
        "split": "test",
        "recipe": None,
        "photons": None,
        "metric": "psnr",
        "variant": "unmatched",
        "region": "volume",
        "range": 1.0,
        "implementation": "own",
        "value": 31.25,
        "unit": "dB",
    }
    return Record(**{**values, **changes})


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
