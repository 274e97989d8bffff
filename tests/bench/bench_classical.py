"""Richardson-Lucy: speed beside public peers, the FFT library, memory, and convergence."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import scipy.fft
import tifffile
from numpy.typing import NDArray
from run import Row, process, ratios  # finds the library, too
from scipy.ndimage import gaussian_filter

from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import Acceleration, iterate, richardson_lucy
from decon3d.classical.tuning import AffineScore, tune, with_truth
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.imaging import SimulatedCamera, simulate
from decon3d.seeds import generator
from decon3d.settings import Optics
from decon3d.volumes.statistics import ChannelStatistics

SHAPE, PSF_SHAPE = (64, 512, 512), (33, 65, 65)
ITERATIONS = 10
PROCESS_ITERATIONS = 12
REPEATS = 3
VOXEL = (0.3, 0.15, 0.15)
DARK = 100 - 1.5**2
"""Dark level of the simulated camera: offset less the read noise's variance."""
MEMORY = """
import sys, json
sys.path[:0] = {path}
from run import memory_gb
from bench_classical import image_and_psf, PSF_SHAPE
from decon3d.classical.operators import Blur
from decon3d.classical.recipe import Recipe
from decon3d.classical.photons import PhotonScale
shape = (48, 256, 256)
image, psf = image_and_psf(shape)
before = memory_gb("VmRSS")
photons = PhotonScale(100.0, 1.0, "config") if {rlgc} else None
recipe = Recipe(100.0, float(image.mean()) - 100, (2, 1, 1), tv_weight={tv}, photons=photons)
steps = recipe.iterate(image, model=recipe.model(shape, psf=psf, threads=2))
for _, (k, _) in zip(range(3), steps):
    pass
padded = 4
for n, p in zip(shape, PSF_SHAPE):
    padded *= n + p - 1
print(json.dumps((memory_gb() - before) * 1e9 / padded))
"""


def image_and_psf(shape=SHAPE):
    """Counts like a camera's, uint16, and a Gaussian PSF."""
    rng = np.random.default_rng(0)
    image = (100 + rng.poisson(rng.random(shape, np.float32) ** 8 * 500)).astype(np.uint16)
    z, y, x = np.meshgrid(*(np.linspace(-3, 3, n) for n in PSF_SHAPE), indexing="ij")
    psf = np.exp(-(z**2 + y**2 + x**2) / 2)
    return image, (psf / psf.sum()).astype(np.float32)


def quick() -> Iterator[Row]:
    """RL and its peers as processes; RL's time to a quality."""
    yield from _processes()
    yield from _coarse_to_fine()


def rows() -> Iterator[Row]:
    yield from quick()
    yield from _speed()
    yield from _fft()
    for name, tv, rlgc, goal in (("RL", 0.0, 0, 10), ("RLTV", 0.002, 0, 14), ("RLGC", 0.0, 1, 18)):
        code = MEMORY.format(path=sys.path[:3], tv=tv, rlgc=rlgc)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        yield Row(f"{name}: peak memory, padded arrays", json.loads(done.stdout), "×", goal)
    yield from _momentum()
    yield from _convergence()


def _processes() -> Iterator[Row]:
    """Reading, iterating and writing, in turn with each peer."""
    found: dict[str, list[dict[str, float]]] = {"ours": [], "scikit_image": [], "deconwolf": []}
    with tempfile.TemporaryDirectory() as folder:
        for name, values in zip(("image", "psf"), image_and_psf(), strict=True):
            tifffile.imwrite(Path(folder) / f"{name}.tif", values, photometric="minisblack")
        for _ in range(REPEATS):
            for name in ("ours", "scikit_image"):
                found[name].append(process("rl_process.py", name, folder, PROCESS_ITERATIONS))
            if shutil.which("dw"):
                found["deconwolf"].append(deconwolf(folder))
    what = f"RL, 64×512×512, PSF 33×65×65, {PROCESS_ITERATIONS} iterations"
    yield Row(f"{what}: per iteration", [one["iteration"] for one in found["ours"]], "s")
    yield Row(f"{what}: whole process", [one["wall"] for one in found["ours"]], "s")
    yield Row(f"{what}: memory", [one["MiB"] for one in found["ours"]], "MiB", 920)
    for name, goal in (("scikit_image", 0.6), ("deconwolf", 1.0)):
        pairs = list(zip(found["ours"], found[name], strict=False))
        for key, of in (("iteration", "per iteration"), ("wall", "whole process")):
            if values := [own[key] / peer[key] for own, peer in pairs if key in peer]:
                yield Row(f"{what}: {of} / {name}", values, "×", goal, worse="slower")
        if values := [own["MiB"] / peer["MiB"] for own, peer in pairs if "MiB" in peer]:
            yield Row(f"{what}: memory / {name}", values, "×", worse="larger")


def deconwolf(folder: str) -> dict[str, float]:
    """Run deconwolf, where it is installed."""
    options = ["--iter", PROCESS_ITERATIONS, "--threads", 2, "--overwrite", "--out", "dw.tif"]
    command = ["dw", *map(str, options), "image.tif", "psf.tif"]
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {"wall": time.perf_counter() - started}


def _speed() -> Iterator[Row]:
    image, psf = image_and_psf()
    counts = image.astype(np.float32)
    mean = float(image.mean()) - 100

    def own(tv_weight: float = 0.0, acceleration: Acceleration = "none") -> None:
        model = Blur(SHAPE, psf=psf, threads=2)  # the peers' set-up counts, too
        richardson_lucy(
            image,
            model=model,
            background=100.0,
            initial=mean,
            iterations=ITERATIONS,
            tv_weight=tv_weight,
            acceleration=acceleration,
        )

    yield Row("heavy ball / RL", ratios(lambda: own(0.0, "heavy_ball"), own, runs=1), "×")
    yield Row("RLTV / RL", ratios(lambda: own(0.002), own, runs=1), "×")
    try:
        import RedLionfishDeconv.RLDeconv3DScipy as redlionfish  # noqa: N813 (its own name)
    except ImportError:
        print("| RedLionfish is not installed (`make bench` does it) | | |")
        return

    def lion() -> None:
        with scipy.fft.set_workers(2):
            redlionfish.doRLDeconvolution(counts, psf, niter=ITERATIONS)

    name = f"RL / RedLionfish {version('RedLionfish')} CPU (no padding), 10 iterations"
    yield Row(name, ratios(own, lion, runs=REPEATS), "×", 1.15)


def _fft() -> Iterator[Row]:
    try:
        import ducc0
    except ImportError:
        print("| ducc0 is not installed (`make bench` does it) | | |")
        return
    x = np.random.default_rng(0).random((128, 512, 512), np.float32)

    def ducc() -> None:
        ducc0.fft.r2c(x, nthreads=2)

    try:
        known = version("ducc0")
    except PackageNotFoundError:
        known = ""
    name = f"SciPy {version('scipy')} / ducc0 {known}: rfftn of 128×512×512 float32"
    yield Row(name, ratios(lambda: scipy.fft.rfftn(x, workers=2), ducc), "×")


def _coarse_to_fine() -> Iterator[Row]:
    """Time to the quality of 13 accelerated iterations on the full grid, relative to theirs."""
    for modality, voxel in (("widefield", (0.3, 0.13, 0.13)), ("confocal", (0.3, 0.1, 0.1))):
        optics = Optics(modality=modality, numerical_aperture=1.2, immersion_index=1.333)
        psf = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=voxel)
        psf = (psf / psf.sum()).astype(np.float32)
        for photons in (50.0, 500.0):
            pair = simulate(
                "rln_mixed",
                shape=(32, 96, 96),
                psf=psf,
                voxel_size_um=voxel,
                photons=photons,
                background_photons=5,
                camera=SimulatedCamera(100, 1, 1.5),
                rng=generator(1, "bench", 0),
            )
            image, score = pair.images[0], AffineScore(pair.object)
            found = ChannelStatistics.of_image(image, camera_offset=100).background
            for tv_weight in (0.0, 0.1 / photons):
                recipe = Recipe(
                    found, float(image.mean()) - found, voxel, tv_weight, dark_level=DARK
                )
                model = recipe.model(image.shape, psf=psf, threads=2)

                def restored(
                    iterations: int, recipe: Recipe, image=image, model=model
                ) -> NDArray[np.float32]:
                    steps = recipe.estimates(image, model=model, iterations=[iterations])
                    return next(steps)[1]

                coarse = replace(recipe, coarse_to_fine=True)
                goal = score(restored(13, recipe))
                enough = next(n for n in range(1, 40) if score(restored(n, coarse)) >= goal)
                share = ratios(
                    lambda n=enough, r=coarse, f=restored: f(n, r),
                    lambda r=recipe, f=restored: f(13, r),
                )
                name = (
                    f"{'RLTV' if tv_weight else 'RL'} to a quality, {modality}, {photons:g} photons"
                )
                yield Row(f"{name}: coarse to fine / full grid", share, "×", 0.5, worse="slower")
                yield Row("  iterations coarse to fine, to the quality of 13", enough, "")


def _convergence() -> Iterator[Row]:
    """Converged means converged: RL, heavy ball and RLTV with λ → 0 end at the same quality.

    Against a background of the camera's offset; and then as the restorers do it, with the
    background found in the data, which is better.
    """
    psf = theoretical_psf(
        optics=Optics(
            modality="light_sheet",
            numerical_aperture=0.8,
            immersion_index=1.333,
            sheet_thickness_um=2.0,
        ),
        emission_um=0.525,
        voxel_size_um=VOXEL,
        shape=(17, 21, 21),
    )
    psf = (psf / psf.sum()).astype(np.float32)
    for photons in (50.0, 500.0):
        pairs = [
            simulate(
                "rln_mixed",
                shape=(20, 40, 40),
                psf=psf,
                voxel_size_um=VOXEL,
                photons=photons,
                background_photons=5,
                camera=SimulatedCamera(100, 1, 1.5),
                rng=generator(1, "bench", i),
            )
            for i in range(4)
        ]
        images, truths = [p.images[0] for p in pairs], [p.object for p in pairs]
        found = [ChannelStatistics.of_image(i, camera_offset=100).background for i in images]
        for what, backgrounds in (("offset", [100.0] * 4), ("found", found)):
            best = {}
            for name, acceleration, prior in (
                ("RL", "none", None),
                ("heavy ball", "heavy_ball", None),
                ("RLTV", "heavy_ball", "tv_weight"),
            ):
                recipes = [
                    Recipe(
                        b, float(i.mean()) - b, VOXEL, acceleration=acceleration, dark_level=DARK
                    )
                    for i, b in zip(images, backgrounds, strict=True)
                ]
                best[name] = tune(
                    with_truth(images, truths, recipes), psf=psf, prior=prior, threads=2
                )
                at = best[name]
                yield Row(
                    f"{name}, {photons:g} photons, background {what}: λ {at.weight:.2g}, "
                    f"{at.iterations} it.",
                    at.score,
                    "dB",
                )
            recipes = [replace(r, tv_weight=1e-5) for r in recipes]
            steps = 3 * best["heavy ball"].iterations
            scores = [_scores(*p, psf, steps) for p in zip(images, truths, recipes, strict=True)]
            limit = float(np.max(np.mean(scores, axis=0)))
            same = [best["RL"].score, best["heavy ball"].score, limit]
            goal = 0.3 if what == "offset" else None
            yield Row("  spread of RL, heavy ball, RLTV λ → 0", max(same) - min(same), "dB", goal)
            gain = best["RLTV"].score - max(same)
            yield Row("  best RLTV above them", gain, "dB", 0.0, at_least=True)
            share = best["heavy ball"].iterations / best["RL"].iterations
            yield Row("  iterations at the peak, heavy ball / RL", share, "×", 0.5)


def _momentum() -> Iterator[Row]:
    """What momentum costs: the best quality with and without, from either start.

    A hollow grain with bumps under a Gaussian PSF of σ 1 voxel, 50 counts per photon, smooth on the
    scale of the PSF or a little more.
    """
    axes = np.meshgrid(*(np.arange(9) - 4 for _ in range(3)), indexing="ij")
    psf = np.exp(-sum(a**2 for a in axes) / 2)
    model = Blur((32, 64, 64), psf=psf / psf.sum(), threads=2)
    z, y, x = (
        i - (n - 1) / 2
        for i, n in zip(np.indices(model.object_shape), model.object_shape, strict=True)
    )
    radius = np.sqrt((1.8 * z) ** 2 + y**2 + x**2)
    polar, around = np.arctan2(np.hypot(y, x), 1.8 * z), np.arctan2(y, x)
    bumps = 2.5 * np.cos(9 * polar) * np.cos(11 * around) * np.sin(polar)
    grain = (np.abs(radius - 22 - bumps) < 2) + 0.25 * (radius < 20) * (
        1 + 0.5 * np.sin(z) * np.sin(x / 2)
    )
    for sigma, photons in ((1.0, 30.0), (1.0, 300.0), (1.5, 50.0), (1.5, 300.0)):
        truth = gaussian_filter(grain.astype(np.float32), sigma)
        light = model.forward(truth)
        light = np.maximum(light * np.float32(photons / light.max()), 0) + 0.5
        image = (50 * np.random.default_rng(0).poisson(light)).astype(np.float32)
        for start in ("even", "data"):
            scores = {}
            for acceleration in ("none", "heavy_ball"):
                score = AffineScore(truth[model.inside])
                steps = iterate(
                    image,
                    model=model,
                    background=25.0,
                    initial=float(image.mean() - 25),
                    acceleration=acceleration,
                    start=start,
                )
                at = [score(x) for _, (_, x) in zip(range(40), steps, strict=False)]
                scores[acceleration] = at
                best = int(np.argmax(at))
                name = f"σ {sigma:g}, {photons:g} photons, {start} start, {acceleration}"
                yield Row(f"pollen-like, {name}: best at {best + 1} it.", max(at), "dB")
                yield Row("  after twice as many", at[2 * best + 1], "dB")
            lost = max(scores["none"]) - max(scores["heavy_ball"])
            goal = 0.0 if start == "data" else None
            yield Row("  best plain above best heavy ball", lost, "dB", goal)


def _scores(image, truth, recipe: Recipe, psf, iterations: int) -> list[float]:
    """Scores by iteration."""
    score = AffineScore(truth)
    steps = recipe.iterate(image, model=recipe.model(image.shape, psf=psf, threads=2))
    return [score(x) for _, (_, x) in zip(range(iterations), steps, strict=False)]
