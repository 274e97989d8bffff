"""Is one network for many microscopes better than tuned RLTV on microscopes it has never seen?

Microscopes, recipes and seeds are unseen. RL and RLTV are tuned on the truth of the very volumes
that they are scored on: per microscope and dose, λ and iterations both inside the grid, and per
volume (oracle). The network is that of `config/examples/universal.yaml`, in `$UNIVERSAL` or the
folder of that config's results. Finished cells are kept in `FOLDER`: the command resumes, and for
another network, it does not restore by RL and RLTV again.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import binary_dilation

from decon3d.classical.channel import base_recipe
from decon3d.classical.estimates import Estimator
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.recipe import Recipe
from decon3d.classical.tuning import AffineScore, checkpoints
from decon3d.errors import UserError
from decon3d.evaluation.full_reference import compare
from decon3d.files import digest, read_json, write_json
from decon3d.networks.description import load_info
from decon3d.networks.estimates import network_runs
from decon3d.phantoms.microscope_imaging import TakenVolume, take_volume
from decon3d.phantoms.microscopes import Microscope, draw_microscope
from decon3d.phantoms.sections import MicroscopeKind, Microscopes
from decon3d.restoration.arrays import restore_image
from decon3d.restoration.prepare import prepare_network
from decon3d.seeds import generator
from decon3d.versions import VERSIONS
from decon3d.volumes.camera import Camera, resolve_camera
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.sections import CameraSection
from decon3d.volumes.statistics import ChannelStatistics

FOLDER = Path("build/validation/universal")
BUNDLE = "results/universal/models/signal/universal"
SHAPE = (20, 48, 48)
KINDS: tuple[MicroscopeKind, ...] = (
    "widefield",
    "confocal",
    "widefield",
    "light_sheet",
    "two_photon",
)
MICROSCOPES = 20  # 8 of them widefield
RECIPES = ("membranes", "er_network", "nuclei", "tubules", "rln_mixed")
DOSES = (20.0, 200.0, 2000.0)
WIDTHS = (0.75, 0.9, 1.1, 1.25)
"""Widths of the assumed PSF, relative to the true one, of every fifth microscope at one dose."""
WEIGHTS = (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03)
"""λ of total variation that are always tried; the last is raised while it is the best."""
MOST_WEIGHT = 1.0
MOST_ITERATIONS = 250
PAST_PEAK_DB = 0.3
"""A run ends when every volume's score is this far below its peak."""
AROUND = 5
OBJECT_SHARE = 0.1
"""Brightness of an object, relative to the brightest, at least."""
BOOTSTRAPS = 2000
SEED = 77


@dataclass(frozen=True)
class Cell:
    """One microscope at one dose, with one assumed PSF."""

    microscope: int
    photons: float
    width: float = 1.0

    def draw(self) -> Microscope:
        """Draw its microscope: the same for all doses."""
        ranges = Microscopes(modalities={KINDS[self.microscope % len(KINDS)]: 1}, wrong_psf=0)
        rng = generator(SEED, "unseen microscope", self.microscope)
        found = draw_microscope(ranges, rng, without_empty=True)
        background = found.background_photons * self.photons / found.photons
        return replace(
            found,
            content="full",
            photons=self.photons,
            background_photons=background,
            camera=replace(found.camera, bits=None),
            assumed_width=self.width,
        )

    def volumes(self, recipes: Sequence[str], shape: tuple[int, int, int]) -> list[TakenVolume]:
        """Take a volume of each recipe."""
        names = (SEED, "unseen object", self.microscope, int(self.photons))
        return [
            take_volume(self.draw(), recipe, shape=shape, rng=generator(*names, recipe))
            for recipe in recipes
        ]


def camera_of(microscope: Microscope, taken: TakenVolume) -> Camera:
    """Return the camera as a restoration knows it: the config's, or measured."""
    return microscope.known_camera or resolve_camera(CameraSection(), measure_camera([taken.image]))


def recipe_of(microscope: Microscope, taken: TakenVolume) -> Recipe:
    """Make the recipe of Richardson-Lucy for a volume."""
    camera = camera_of(microscope, taken)
    statistics = ChannelStatistics.of_image(taken.image, camera_offset=camera.known_offset)
    method = Rl(kind="rl", acceleration="heavy_ball")
    return base_recipe(method, statistics=statistics, psf=taken.psf, camera=camera)


def curves(cell: Cell, taken: Sequence[TakenVolume]) -> pd.DataFrame:
    """Score RLTV at every λ and number of iterations: columns weight, iterations, volume, psnr."""
    recipes = [recipe_of(cell.draw(), t) for t in taken]
    models = [
        r.model(t.image.shape, psf=t.psf.data, threads=1)  # type: ignore[arg-type]
        for r, t in zip(recipes, taken, strict=True)
    ]
    scores = [AffineScore(t.object) for t in taken]
    rows: list[tuple[float, int, int, float]] = []

    def run(weight: float) -> float:
        best = np.full(len(taken), -np.inf)
        runs = [
            r.with_prior("tv_weight", weight).iterate(t.image, model=model)
            for r, t, model in zip(recipes, taken, models, strict=True)
        ]
        top, done = -np.inf, 0
        for k in checkpoints(MOST_ITERATIONS):
            values = []
            for steps, score in zip(runs, scores, strict=True):
                estimate = next(step[1] for step in steps if step[0] == k)
                values.append(score(estimate))
            rows.extend((weight, k, i, value) for i, value in enumerate(values))
            best, top, done = np.maximum(best, values), max(top, float(np.mean(values))), k
            if done >= 32 and np.all(np.array(values) < best - PAST_PEAK_DB):
                break
        return top

    tops = {weight: run(weight) for weight in WEIGHTS}
    while max(tops, key=tops.__getitem__) == max(tops) < MOST_WEIGHT:
        weight = 3 * max(tops)
        tops[weight] = run(weight)
    return pd.DataFrame(rows, columns=["weight", "iterations", "volume", "psnr"])


def best_of(table: pd.DataFrame) -> tuple[float, int]:
    """Return λ and iterations with the best mean score over the volumes of a table."""
    means = table.groupby(["weight", "iterations"])["psnr"].agg(["mean", "size"])
    means = means[means["size"] == table["volume"].nunique()]
    weight, iterations = means["mean"].idxmax()
    return float(weight), int(iterations)


def rivals(cell: Cell, recipes: Sequence[str], shape: tuple[int, int, int]) -> list[dict[str, Any]]:
    """Tune and score RL and RLTV on one cell; the blurred image, too."""
    taken = cell.volumes(recipes, shape)
    table = curves(cell, taken)
    chosen = {
        "RL": [best_of(table[table["weight"] == 0])] * len(taken),
        "RLTV": [best_of(table)] * len(taken),
        "RL per volume": [],
        "RLTV per volume": [],
    }
    for i in range(len(taken)):
        own = table[table["volume"] == i]
        chosen["RL per volume"].append(best_of(own[own["weight"] == 0]))
        chosen["RLTV per volume"].append(best_of(own))
    rows = []
    for i, volume in enumerate(taken):
        recipe = recipe_of(cell.draw(), volume)
        model = recipe.model(volume.image.shape, psf=volume.psf.data, threads=1)  # type: ignore[arg-type]
        rows.append({"method": "raw", **scores_of(volume.image, volume), "recipe": recipes[i]})
        for method, choices in chosen.items():
            weight, iterations = choices[i]
            used = recipe.with_prior("tv_weight", weight)
            steps = used.estimates(volume.image, model=model, iterations=(iterations,))
            restored = used.restored(volume.image, next(steps)[1], model=model)
            inside = iterations < MOST_ITERATIONS and weight < MOST_WEIGHT
            rows.append(
                {
                    "method": method,
                    **scores_of(restored, volume),
                    "recipe": recipes[i],
                    "weight": weight,
                    "iterations": iterations,
                    "inside": inside,
                }
            )
    return rows


def network(
    cell: Cell, recipes: Sequence[str], shape: tuple[int, int, int], bundle: Path
) -> list[dict[str, Any]]:
    """Score the network on one cell, and the estimate that it corrects."""
    rows, estimates = [], load_info(bundle).estimates
    for recipe, volume in zip(recipes, cell.volumes(recipes, shape), strict=True):
        camera = camera_of(cell.draw(), volume)
        restored = restore_image(
            volume.image,
            prepare=lambda statistics, sample, psf=volume.psf, camera=camera: prepare_network(
                bundle, statistics=statistics, psf=psf, camera=camera, sample=sample
            ),
            camera_offset=camera.known_offset,
            threads=1,
        )
        rows.append({"method": "network", **scores_of(restored, volume), "recipe": recipe})
        statistics = ChannelStatistics.of_image(volume.image, camera_offset=camera.known_offset)
        runs = network_runs(estimates, statistics=statistics, psf=volume.psf, camera=camera)
        last = Estimator(runs[-1:], psf=volume.psf.data, threads=1)(volume.image)[-1]
        rows.append({"method": "its estimate", **scores_of(last, volume), "recipe": recipe})
    return rows


def scores_of(restored: Any, volume: TakenVolume) -> dict[str, float]:
    """Return PSNR after the affine match and without it (dB), SSIM after it, and the light's error.

    The light is the sum above the truth's darkest value over the objects and `AROUND` voxels around
    them; its error is in per cent.
    """
    truth = volume.object
    found = {(s.metric, s.variant): s.value for s in compare(restored, truth)}
    level = truth.min()
    objects = truth - level > OBJECT_SHARE * (np.percentile(truth, 99.9) - level)
    around = binary_dilation(objects, iterations=AROUND)
    light = np.sum(restored[around] - level, dtype=np.float64)
    true = np.sum(truth[around] - level, dtype=np.float64)
    return {
        "psnr": found["psnr", "affine"],
        "raw_psnr": found["psnr", "unmatched"],
        "ssim": found["ssim", "affine"],
        "light": float(100 * (light / true - 1)),
    }


def kept(path: Path, make: Any) -> list[dict[str, Any]]:
    """Read the rows of a file, or make and write them."""
    if path.exists():
        return read_json(path)
    rows = make()
    write_json(path, rows)
    return rows


def cells_of(quick: bool) -> Iterator[Cell]:
    """List the cells."""
    count, doses = (2, DOSES[1:2]) if quick else (MICROSCOPES, DOSES)
    for microscope in range(count):
        for photons in doses:
            yield Cell(microscope, photons)
        if microscope % 5 == 0 and not quick:
            for width in WIDTHS:
                yield Cell(microscope, DOSES[1], width)


def measured(
    cells: Sequence[Cell],
    recipes: Sequence[str],
    *,
    bundle: Path | None,
    shape: tuple[int, int, int] = SHAPE,
    folder: Path = FOLDER,
) -> pd.DataFrame:
    """Measure all cells, with the network if there is one; a row per volume and method."""
    versions = {name: VERSIONS[name] for name in ("phantoms", "psf", "prepare", "restore")}
    weights = None if bundle is None else load_info(bundle).weights_sha256
    rows = []
    for cell in cells:
        about = [asdict(cell), SEED, list(recipes), list(shape), versions]
        name = digest([*about, WEIGHTS, MOST_ITERATIONS])
        found = kept(folder / f"{name}.rivals.json", partial(rivals, cell, recipes, shape))
        if bundle is not None:
            name = digest([*about, weights])
            make = partial(network, cell, recipes, shape, bundle)
            found = found + kept(folder / f"{name}.network.json", make)
        modality = cell.draw().optics.modality
        rows += [{**asdict(cell), "modality": modality, **row} for row in found]
    return pd.DataFrame(rows)


def gains(table: pd.DataFrame, rival: str, metric: str = "psnr") -> pd.DataFrame:
    """Return the network's gain on a rival, per volume."""
    keys = ["microscope", "modality", "photons", "width", "recipe"]
    wide = table.pivot_table(index=keys, columns="method", values=metric)
    return (wide["network"] - wide[rival]).rename("gain").reset_index()


def interval(gain: pd.DataFrame) -> tuple[float, float]:
    """Return the 95 % interval of the mean gain by bootstrap over microscopes."""
    groups = [part["gain"].to_numpy() for _, part in gain.groupby("microscope")]
    rng = np.random.default_rng(0)
    means = [
        np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))]).mean()
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def _lines(title: str, rows: pd.DataFrame) -> list[str]:
    head = [str(name) for name in rows.columns]
    body = [
        "| " + " | ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row) + " |"
        for row in rows.itertuples(index=False)
    ]
    return ["", title, "", "| " + " | ".join(head) + " |", "|" + "---|" * len(head), *body]


def report(table: pd.DataFrame) -> str:
    """Return the tables (Markdown): means, gains by microscope, by recipe and dose, by PSF."""
    order = ["raw", "RL", "RL per volume", "RLTV", "RLTV per volume", "its estimate", "network"]
    right = table[table["width"] == 1]
    right = right.assign(light_error=right["light"].abs())
    means = right.groupby("method")[["psnr", "raw_psnr", "ssim", "light", "light_error"]].mean()
    lines = _lines(
        "Means (PSNR in dB, affine and unmatched; error of the light around objects in %, and its "
        "size)",
        means.reindex([m for m in order if m in means.index]).reset_index(),
    )
    tuned = right[right["method"] == "RLTV"]
    lines += ["", f"RLTV is tuned inside the grid on {tuned['inside'].astype(float).mean():.0%}."]
    if "network" not in set(table["method"]):
        return "\n".join(lines)
    for rival in ("RL", "RLTV", "RLTV per volume"):
        gain = gains(right, rival)
        low, high = interval(gain)
        lines.append(
            f"Network − {rival}: {gain['gain'].mean():+.2f} dB ({low:+.2f} to {high:+.2f}), "
            f"{(gain['gain'] > -0.5).mean():.1%} of the volumes above −0.5 dB; SSIM "
            f"{gains(right, rival, 'ssim')['gain'].mean():+.3f}."
        )
    gain = gains(right, "RLTV")
    by_microscope = gain.groupby(["microscope", "modality"])["gain"].agg(["mean", "min"])
    lines += _lines("Gain on RLTV by microscope (dB)", by_microscope.reset_index())
    by_cell = gain.pivot_table(index="recipe", columns="photons", values="gain").reset_index()
    lines += _lines("Gain on RLTV by recipe and dose (dB)", by_cell)
    wrong = table[table["width"] != 1]
    if len(wrong):
        by_width = gains(wrong, "RLTV").groupby("width")["gain"].agg(["mean", "min"])
        lines += _lines("Gain on RLTV with the same wrong PSF (dB)", by_width.reset_index())
    return "\n".join(lines)


def main(quick: bool = False) -> str:
    """Return the tables (Markdown)."""
    bundle = Path(os.environ.get("UNIVERSAL", BUNDLE))
    try:
        load_info(bundle)
    except UserError:
        return (
            f"There is no trained network in {bundle}; run config/examples/universal.yaml, or set "
            "UNIVERSAL to the folder of a bundle."
        )
    recipes = RECIPES[3:] if quick else RECIPES
    return report(measured(list(cells_of(quick)), recipes, bundle=bundle))
