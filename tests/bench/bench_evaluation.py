"""Evaluation: time and memory of all metrics of one volume, and what held-out photons choose."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice

import numpy as np
from run import Row

from decon3d.classical.held_out import held_out_subjects
from decon3d.classical.photons import PhotonScale
from decon3d.classical.tuning import AffineScore, checkpoints
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.imaging import Camera, simulate
from decon3d.restoration.richardson_lucy import base_recipe
from decon3d.seeds import generator
from decon3d.settings import Camera as CameraSettings
from decon3d.settings import Optics, Rl
from decon3d.volumes.ingest import ChannelStatistics

VOXEL = (0.3, 0.15, 0.15)
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


def light_sheet() -> Psf:
    """The demo's PSF."""
    optics = Optics(
        modality="light_sheet", numerical_aperture=0.8, immersion_index=1.333,
        sheet_thickness_um=2.0,
    )  # fmt: skip
    data = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=VOXEL)
    return normalised_psf(data, VOXEL, {})


def one_volume() -> tuple[float, float]:
    """Seconds and peak memory (GB above the start) of all metrics of one volume.

    What takes the method itself (held-out photons, probes) costs as much as the method does.
    """
    from decon3d.evaluation.consistency import Checker
    from decon3d.evaluation.full_reference import compare
    from decon3d.evaluation.noise import Noise as Law
    from decon3d.evaluation.sampling import windows
    from decon3d.evaluation.without_truth import measure_window

    psf = light_sheet()
    rng = np.random.default_rng(0)
    truth = (rng.random(SHAPE, np.float32) ** 20 * 1000).astype(np.float32)
    restored = truth + rng.normal(0, 5, SHAPE).astype(np.float32)
    before, start = _memory_gb("VmRSS"), time.perf_counter()
    compare(restored, truth)
    for window in windows(Noise(SHAPE), channel=0, times=None, seed=1):  # type: ignore[arg-type]
        measure_window(restored, window, psf=psf)
    law = Law(1.0, 0.0, 1.0, ((0.0, 0.0),) * 3, 0, "data")
    Checker(psf=psf, noise=law, background=1.0, threads=1).whole(truth, restored)
    return time.perf_counter() - start, _memory_gb("VmHWM") - before


def large_volume() -> tuple[float, float]:
    """The same for the windows of a volume of 2 Gvoxel, without truth."""
    from decon3d.evaluation.sampling import windows
    from decon3d.evaluation.without_truth import measure_window

    psf = light_sheet()
    before, start = _memory_gb("VmRSS"), time.perf_counter()
    for window in windows(Noise(LARGE), channel=0, times=None, seed=1):  # type: ignore[arg-type]
        measure_window(window.values.astype(np.float32), window, psf=psf)
    return time.perf_counter() - start, _memory_gb("VmHWM") - before


def _memory_gb(what: str) -> float:
    """Read VmRSS or VmHWM (its peak); `ru_maxrss` would start at the parent's."""
    with open("/proc/self/status") as stream:
        found = re.search(what + r":\s+(\d+) kB", stream.read())
    assert found is not None
    return int(found[1]) * 1024 / 1e9


def rows() -> Iterator[Row]:
    for what, name, seconds, memory in (
        ("one_volume", "metrics and map of 64×256×256, one core", 30, 1),
        ("large_volume", "without truth, 2.1 Gvoxel, 3 windows", None, 2),
    ):
        code = MEASURE.format(path=sys.path[:2], what=what)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, check=True,
            env={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        spent, peak = json.loads(done.stdout)
        yield Row(name, spent, "s", seconds)
        yield Row("  peak memory above the libraries'", peak, "GB", memory)
    psf = light_sheet()
    for photons in (50.0, 500.0, 5000.0):
        chosen, best, lost = lost_by_deviance(psf, photons)
        name = f"RL, {photons:g} photons: {chosen} it. by held-out photons, best {best}; PSNR lost"
        yield Row(name, lost, "dB", 0.5)


def lost_by_deviance(psf: Psf, photons: float, *, count: int = 4) -> tuple[int, int, float]:
    """Compare what held-out photons choose on phantoms with what the truth would.

    Returns
    -------
    chosen, best, lost
        Iterations by either, of one number for all phantoms, and the loss of mean PSNR in dB.
    """
    deviance, quality = [], []
    most = checkpoints(400)
    for i in range(count):
        exposure = simulate(
            "rln_mixed", shape=(20, 40, 40), psf=psf.data, voxel_size_um=VOXEL, photons=photons,
            background_photons=5, camera=Camera(100, 1, 1.5), rng=generator(1, "bench", i),
        )  # fmt: skip
        image = exposure.images[0]
        recipe = base_recipe(
            Rl(kind="rl"), psf=psf, camera=CameraSettings(offset=100, gain=1, read_noise=1.5),
            statistics=ChannelStatistics.of_image(image, camera_offset=100),
        )  # fmt: skip
        scale = PhotonScale(100 - 1.5**2, 1.0, "config")
        (subject,) = held_out_subjects([image], recipe=recipe, scale=scale, seed=1)
        truth = AffineScore(exposure.object)
        model = recipe.model(image.shape, psf=psf.data, threads=1)
        halves = subject.recipe.iterate(subject.image, model=model)
        deviance.append(_scores(halves, lambda x, s=subject, m=model: s.score(x, m), most))
        quality.append(_scores(recipe.iterate(image, model=model), truth, most))
    by_photons, by_truth = np.mean(deviance, axis=0), np.mean(quality, axis=0)
    chosen, best = int(np.argmax(by_photons)), int(np.argmax(by_truth))
    return most[chosen], most[best], float(by_truth[best] - by_truth[chosen])


def _scores(run, score, at: list[int]) -> list[float]:
    """Score a run at some iterations."""
    return [score(x) for k, x in islice(run, at[-1]) if k in at]
