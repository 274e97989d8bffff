"""On a cluster, too: other voxels are restored again, a touched file is only read."""

import os

import numpy as np
import pytest
import tifffile
import zarr

from decon3d import paths
from support.paths import ROOT
from support.workflow import Workplace

IMPATIENT = (
    "--slurm-init-seconds-before-status-checks",
    "3",
    "--seconds-between-status-checks",
    "2",
    "--max-jobs-per-timespan",
    "100/1s",
)
CONFIG = {
    "datasets": {
        "d": {
            "volumes": "data/*.tif",
            "voxel_size_um": [0.3, 0.15, 0.15],
            "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
            # All of it: what the data tell of a camera changes a little with each of them.
            "camera": {"offset": 100, "gain": 1.0, "read_noise": 0.0},
            "channels": {"gfp": {"emission_um": 0.525}},
        }
    },
    "methods": {"rl": {"iterations": 3}},
    "restoration": {"parts": 1},
}


def level(folder, volume):
    return folder / paths.restored("d", volume, "rl") / "0"


def shards(folder, volume):
    files = (p for p in level(folder, volume).rglob("*") if p.is_file())
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture
def run(cluster, tmp_path):
    place = Workplace(tmp_path)
    place.configure(CONFIG)

    def once():
        return place.snakemake(
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--profile",
            str(ROOT / "profiles" / "slurm"),
            *IMPATIENT,
            "--configfile",
            "config.yaml",
            "--",
            paths.finished("d", "rl"),
            **cluster.environment,
        )

    return once


def test_other_voxels_are_restored_again_and_touched_ones_are_not(run, tmp_path):
    (tmp_path / "data").mkdir()
    images = np.random.default_rng(1).poisson(200, (2, 12, 40, 36)).astype(np.uint16)
    files = {name: tmp_path / "data" / f"{name}.tif" for name in ("kept", "flipped")}
    for file, image in zip(files.values(), images, strict=True):
        tifffile.imwrite(file, image, photometric="minisblack")
    first = run()
    assert first.code == 0, first.output[-5000:]
    before = shards(tmp_path, "kept")
    restored = zarr.open_array(level(tmp_path, "flipped"), mode="r")[0, 0]
    os.utime(files["kept"])
    stat = files["flipped"].stat()
    tifffile.imwrite(tmp_path / "new.tif", images[1, ::-1], photometric="minisblack")
    os.utime(tmp_path / "new.tif", ns=(stat.st_mtime_ns - 10**12,) * 2)
    os.replace(tmp_path / "new.tif", files["flipped"])
    second = run()
    assert second.code == 0, second.output[-5000:]
    assert second.jobs["ingest"] == 2 and shards(tmp_path, "kept") == before
    flipped = zarr.open_array(level(tmp_path, "flipped"), mode="r")[0, 0]
    assert np.allclose(flipped, restored[::-1], rtol=1e-3) and not np.allclose(flipped, restored)
    assert "Nothing to be done" in run().output
