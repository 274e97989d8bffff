"""RL and RLTV at their best on the truth, and networks, on one cell of the test set.

All iteration numbers of one λ come from one run. λ climbs from the usual one to the best, until
both neighbours are worse: over the cell ("per microscope and dose"), and of each volume.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.channel import base_recipe
from decon3d.classical.estimates import Estimator
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.recipe import Recipe
from decon3d.classical.tuning import AffineScore, checkpoints
from decon3d.files import digest, read_json, write_json
from decon3d.networks.description import load_info
from decon3d.networks.estimates import network_runs, usual_photons, usual_weight
from decon3d.phantoms.microscope_imaging import TakenVolume
from decon3d.phantoms.microscopes import Microscope
from decon3d.restoration.arrays import restore_image
from decon3d.restoration.prepare import prepare_network
from decon3d.versions import VERSIONS
from decon3d.volumes.camera import Camera, resolve_camera
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.sections import CameraSection
from decon3d.volumes.statistics import ChannelStatistics
from validation.universal.cells import RIGHT, Cell, Plan
from validation.universal.scores import scores_of

WEIGHTS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""λ of total variation; 0, which is RL, is always tried, too."""
MOST_ITERATIONS = 200
LEAST_ITERATIONS = 12
BEYOND = 1.4
"""A run goes on to so many times the iterations after which no volume gained `GAIN_DB`."""
SAME_DB = 0.01
"""Of numbers of iterations whose scores are this close to the best, the smallest is chosen."""
GAIN_DB = 0.03

Choice = tuple[float, int]
"""λ and iterations."""
Row = dict[str, Any]


def camera_of(microscope: Microscope, taken: TakenVolume) -> Camera:
    """Return the camera as a restoration knows it: the config's, or measured."""
    return microscope.known_camera or resolve_camera(CameraSection(), measure_camera([taken.image]))


class Search:
    """RL and RLTV on the volumes of a cell.

    Parameters
    ----------
    volumes
        By recipe.
    microscope
        That took them.
    """

    def __init__(self, volumes: Mapping[str, TakenVolume], microscope: Microscope) -> None:
        self.volumes = list(volumes.values())
        self.recipes: list[Recipe] = []
        self._scores: dict[tuple[float, int], dict[int, float]] = {}
        method, starts = Rl(kind="rl", acceleration="heavy_ball"), []
        for taken in self.volumes:
            camera = camera_of(microscope, taken)
            statistics = ChannelStatistics.of_image(taken.image, camera_offset=camera.known_offset)
            recipe = base_recipe(method, statistics=statistics, psf=taken.psf, camera=camera)
            self.recipes.append(recipe)
            starts.append(usual_weight(taken.psf, usual_photons(recipe, statistics, camera)))
        usual = float(np.median(np.log(starts)))
        self.start = int(np.argmin(np.abs(np.log(WEIGHTS) - usual)))

    def model(self, i: int) -> Any:
        """Make the forward model of a volume."""
        taken = self.volumes[i]
        return self.recipes[i].model(taken.image.shape, psf=taken.psf.data, threads=1)  # type: ignore[arg-type]

    def run(self, weight: float, which: Sequence[int]) -> None:
        """Score a λ on some volumes, if it has not been."""
        missing = [i for i in which if (weight, i) not in self._scores]
        if not missing:
            return
        runs = {
            i: self.recipes[i]
            .with_prior("tv_weight", weight)
            .iterate(self.volumes[i].image, model=self.model(i))
            for i in missing
        }
        score = {i: AffineScore(self.volumes[i].object) for i in missing}
        curves: dict[int, dict[int, float]] = {i: {} for i in missing}
        best = dict.fromkeys(missing, (-np.inf, 0))
        for k in checkpoints(MOST_ITERATIONS):
            for i in missing:
                curves[i][k] = score[i](next(step[1] for step in runs[i] if step[0] == k))
                if curves[i][k] > best[i][0] + GAIN_DB:
                    best[i] = curves[i][k], k
            if k >= max(LEAST_ITERATIONS, *(BEYOND * last for _, last in best.values())):
                break
        self._scores |= {(weight, i): curves[i] for i in missing}

    def best(self, which: Sequence[int], weights: Sequence[float]) -> tuple[float, Choice]:
        """Return the best mean score of some volumes, and its λ and iterations."""
        found = []
        for weight in weights:
            self.run(weight, which)
            curves = [self._scores[weight, i] for i in which]
            common = sorted(set.intersection(*(set(curve) for curve in curves)))
            means = [float(np.mean([curve[k] for curve in curves])) for k in common]
            first = next(
                k for k, mean in zip(common, means, strict=True) if mean >= max(means) - SAME_DB
            )
            found.append((max(means), (weight, first)))
        return max(found, key=lambda entry: entry[0])

    def tune(self, which: Sequence[int]) -> Choice:
        """Climb to the best λ and iterations of some volumes; 0 is tried, too."""
        tried = climb(lambda j: self.best(which, [WEIGHTS[j]])[0], self.start, len(WEIGHTS))
        return self.best(which, [0.0, *(WEIGHTS[j] for j in tried)])[1]

    def restored(self, i: int, choices: Sequence[Choice]) -> dict[Choice, NDArray[np.float32]]:
        """Restore a volume with several λ and iterations."""
        found, model, image = {}, self.model(i), self.volumes[i].image
        for weight in sorted({weight for weight, _ in choices}):
            recipe = self.recipes[i].with_prior("tv_weight", weight)
            numbers = sorted({k for w, k in choices if w == weight})
            for k, estimate in recipe.estimates(image, model=model, iterations=numbers):
                found[weight, k] = recipe.restored(image, estimate, model=model)
        return found


def climb(score: Callable[[int], float], start: int, count: int) -> list[int]:
    """Score places 0 … `count` - 1 from `start` on until the best has worse neighbours.

    Returns
    -------
    list of int
        The places that were tried, ascending.
    """
    start = min(max(start, 1), count - 2)
    tried = {j: score(j) for j in (start - 1, start, start + 1)}
    while True:
        best = max(tried, key=lambda j: tried[j])
        step = 1 if best == max(tried) else -1 if best == min(tried) else 0
        if not step or not 0 <= best + step < count:
            return sorted(tried)
        tried[best + step] = score(best + step)


def inside(choice: Choice) -> bool:
    """Say whether λ and iterations lie inside the grid."""
    return choice[0] < WEIGHTS[-1] and choice[1] < MOST_ITERATIONS


def rivals(cell: Cell, plan: Plan) -> list[Row]:
    """Restore a cell by RL and RLTV and score them; the blurred image, too.

    Other groups of objects are restored with the λ and iterations of `main` objects of the same
    microscope and dose; foreign ones by RL at their own best, too.
    """
    volumes, microscope = plan.volumes(cell), cell.draw()
    search = Search(volumes, microscope)
    every = range(len(search.volumes))
    chosen: dict[str, list[Choice]] = {}
    if cell.group == "main":
        chosen["RL"] = [search.best(every, [0.0])[1]] * len(every)
        chosen["RLTV"] = [search.tune(every)] * len(every)
        chosen["RLTV per volume"] = [search.tune([i]) for i in every]
    else:
        tuned = kept_rivals(Cell(cell.microscope, cell.photons), plan)
        for method in ("RL", "RLTV"):
            row = next(row for row in tuned if row["method"] == method)
            chosen[method] = [(row["weight"], row["iterations"])] * len(every)
    if cell.group in ("main", "foreign"):
        chosen["RL per volume"] = [search.best([i], [0.0])[1] for i in every]
    rows = []
    for i, (recipe, volume) in enumerate(volumes.items()):
        score = partial(scores_of, volume=volume, recipe=recipe, microscope=microscope)
        rows.append({"method": "raw", "recipe": recipe, **score(volume.image)})
        choices = {method: found[i] for method, found in chosen.items()}
        restored = search.restored(i, list(choices.values()))
        scores = {choice: score(values) for choice, values in restored.items()}
        rows += [
            {
                "method": method,
                "recipe": recipe,
                "weight": choice[0],
                "iterations": choice[1],
                "inside": inside(choice),
                **scores[choice],
            }
            for method, choice in choices.items()
        ]
    return rows


def network(cell: Cell, plan: Plan, bundle: Path, name: str) -> list[Row]:
    """Restore a cell by a network and score it; on `main` objects, the estimate it corrects, too."""
    rows, estimates, microscope = [], load_info(bundle).estimates, cell.draw()
    for recipe, volume in plan.volumes(cell).items():
        score = partial(scores_of, volume=volume, recipe=recipe, microscope=microscope)
        camera = camera_of(microscope, volume)
        restored = restore_image(
            volume.image,
            prepare=lambda statistics, sample, psf=volume.psf, camera=camera: prepare_network(
                bundle, statistics=statistics, psf=psf, camera=camera, sample=sample
            ),
            camera_offset=camera.known_offset,
            threads=1,
        )
        rows.append({"method": name, "recipe": recipe, **score(restored)})
        if name == "network" and estimates and cell.group == "main" and cell.psf == RIGHT:
            statistics = ChannelStatistics.of_image(volume.image, camera_offset=camera.known_offset)
            runs = network_runs(estimates, statistics=statistics, psf=volume.psf, camera=camera)
            last = Estimator(runs[-1:], psf=volume.psf.data, threads=1)(volume.image)[-1]
            rows.append({"method": "its estimate", "recipe": recipe, **score(last)})
    return rows


def kept_rivals(cell: Cell, plan: Plan) -> list[Row]:
    """Return the rows of RL and RLTV on a cell, from their file if it is there."""
    return _kept(rivals_file(cell, plan), partial(rivals, cell, plan))


def rivals_file(cell: Cell, plan: Plan) -> Path:
    """Return where the rows of RL and RLTV are kept."""
    search = [WEIGHTS, MOST_ITERATIONS, LEAST_ITERATIONS, BEYOND, GAIN_DB, SAME_DB]
    return plan.folder / "rivals" / f"{digest([*_about(cell, plan), search])}.json"


def kept_network(cell: Cell, plan: Plan, bundle: Path, name: str) -> list[Row]:
    """Return the rows of a network on a cell, from their file if it is there."""
    make = partial(network, cell, plan, bundle, name)
    return _kept(network_file(cell, plan, bundle, name), make)


def network_file(cell: Cell, plan: Plan, bundle: Path, name: str) -> Path:
    """Return where the rows of a network are kept."""
    about = [*_about(cell, plan), load_info(bundle).weights_sha256, name]
    return plan.folder / "networks" / f"{digest(about)}.json"


def _about(cell: Cell, plan: Plan) -> list[Any]:
    versions = {name: VERSIONS[name] for name in ("prepare", "restore")}
    own = plan.recipes_of(cell)
    tuned_on = [] if cell.psf != RIGHT else list(plan.recipes)
    return [asdict(cell), plan.identity(cell, own), tuned_on, versions]


def _kept(path: Path, make: Callable[[], list[Row]]) -> list[Row]:
    if path.exists():
        rows: list[Row] = read_json(path)
        return rows
    rows = make()
    write_json(path, rows)
    return rows
