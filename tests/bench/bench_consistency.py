"""Consistency maps: time of the demo's volume, memory of a block."""

import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from run import Row, seconds

from decon3d.evaluation.consistency import BYTES_PER_VOXEL, Checker, beyond
from decon3d.evaluation.noise import Noise
from decon3d.optics.psf import normalised_psf

SHAPE = (64, 192, 192)
MEMORY = """
import sys, json
sys.path[:0] = {path}
from run import memory_gb
from bench_consistency import checker, pair
from decon3d.evaluation.consistency import Scale
judge = checker()
raw, restored = pair((96, 256, 256), judge)
before = memory_gb("VmRSS")
judge.z(raw, restored, Scale(1.0, 0.0, True))
used = (memory_gb() - before) * 1e9 + raw.nbytes + restored.nbytes
print(json.dumps(used / raw.size))
"""


def checker() -> Checker:
    """A PSF of 13 × 39 × 39 voxels, like the demo's."""
    axes = np.meshgrid(
        *(np.arange(-h, h + 1) / s for h, s in ((6, 2.5), (19, 1.6), (19, 1.6))), indexing="ij"
    )
    psf = normalised_psf(np.exp(-sum(a**2 for a in axes) / 2), (0.3, 0.15, 0.15), {})
    noise = Noise(1.0, -98.0, 1.0, ((0.0, 0.0),) * 3, 0, "data")
    return Checker(psf=psf, noise=noise, background=105.0, threads=2)


def pair(shape, judge):
    """Raw and restored counts of a block at a face, halo included."""
    rng = np.random.default_rng(0)
    raw = 100 + rng.poisson(20, shape).astype(np.float32)
    around = [(h, h) for h in judge.halo]
    return beyond(raw, around), beyond(raw, around)


def rows() -> Iterator[Row]:
    judge = checker()
    raw = 100 + np.random.default_rng(0).poisson(20, SHAPE).astype(np.float32)
    name = f"map of {' × '.join(map(str, SHAPE))} voxels, fit included"
    yield Row(name, seconds(lambda: judge.whole(raw, raw), runs=1), "s", 5)
    code = MEMORY.format(path=sys.path[:3])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    name = "memory per voxel of a padded block at a face"
    yield Row(name, json.loads(done.stdout), "bytes", BYTES_PER_VOXEL)
