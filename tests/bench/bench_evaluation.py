"""Evaluation: time and memory of all metrics of one volume, and what held-out photons choose."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from run import Row, memory_gb

from support.chosen_iterations import exposure_of, outcome, psf_of

SHAPE = (64, 256, 256)
LARGE = (512, 2048, 2048)
"""2.1 Gvoxel."""
MEASURE = """
import sys, json
sys.path[:0] = {path}
import bench_evaluation as bench
print(json.dumps(bench.{what}()))
"""


class Noise:
    """A volume that is made where it is read, so that its size costs nothing."""

    clip_at_zero = False

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.name, self.shape = "large", (1, 1, *shape)

    def open(self) -> "Noise":
        return self

    def fill(self, channel: int) -> None:
        return None

    def read(self, time: int, channel: int, region) -> np.ndarray:
        shape = [part.stop - part.start for part in region]
        seed = [part.start for part in region]
        return np.random.default_rng(seed).poisson(20, shape).astype(np.uint16)


def one_volume() -> tuple[float, float]:
    """Seconds and peak memory (GB above the start) of all metrics of one volume.

    What takes the method itself (held-out photons, probes) costs as much as the method does.
    """
    from decon3d.evaluation.consistency import Checker
    from decon3d.evaluation.full_reference import compare
    from decon3d.evaluation.noise import Noise as Law
    from decon3d.evaluation.sampling import windows
    from decon3d.evaluation.without_truth import measure_window

    psf = psf_of("light_sheet")
    rng = np.random.default_rng(0)
    truth = (rng.random(SHAPE, np.float32) ** 20 * 1000).astype(np.float32)
    restored = truth + rng.normal(0, 5, SHAPE).astype(np.float32)
    before, start = memory_gb("VmRSS"), time.perf_counter()
    compare(restored, truth)
    for window in windows(Noise(SHAPE), channel=0, times=None, seed=1):  # type: ignore[arg-type]
        measure_window(restored, window, psf=psf)
    law = Law(1.0, 0.0, 1.0, ((0.0, 0.0),) * 3, 0, "data")
    Checker(psf=psf, noise=law, background=1.0, threads=1).whole(truth, restored)
    return time.perf_counter() - start, memory_gb() - before


def large_volume() -> tuple[float, float]:
    """The same for the windows of a volume of 2 Gvoxel, without truth."""
    from decon3d.evaluation.sampling import windows
    from decon3d.evaluation.without_truth import measure_window

    psf = psf_of("light_sheet")
    before, start = memory_gb("VmRSS"), time.perf_counter()
    for window in windows(Noise(LARGE), channel=0, times=None, seed=1):  # type: ignore[arg-type]
        measure_window(window.values.astype(np.float32), window, psf=psf)
    return time.perf_counter() - start, memory_gb() - before


def rows() -> Iterator[Row]:
    for what, name, seconds, memory in (
        ("one_volume", "metrics and map of 64×256×256, one core", 30, 1),
        ("large_volume", "without truth, 2.1 Gvoxel, 3 windows", None, 2),
    ):
        code = MEASURE.format(path=sys.path[:3], what=what)
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        spent, peak = json.loads(done.stdout)
        yield Row(name, spent, "s", seconds)
        yield Row("  peak memory above the libraries'", peak, "GB", memory)
    psf = psf_of("light_sheet")
    for photons in (50.0, 500.0, 5000.0):
        found = outcome(exposure_of("rln_mixed", psf, photons), psf)
        name = f"RL, {photons:g} photons: {found.choice.iterations} it. chosen, best {found.best}"
        yield Row(f"{name}; PSNR lost", found.lost, "dB", 0.2 if photons <= 300 else 0.3)
