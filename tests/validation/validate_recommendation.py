"""Is the recommended method the right one? Simulated datasets with hidden truth.

Objects and cameras are drawn here, unlike the phantoms that the methods are tuned and ranked on.
Each dataset goes the way of a run: camera and dose from the image, methods tuned on phantoms of
that dose, restored, measured without truth, ranked on phantoms, recommended. Only then is the
truth looked at. What was measured is kept in `FOLDER`: the command goes on where it was ended, and
the recommendation can be judged again without restoring again.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d import settings as config
from decon3d.evaluation.consistency import THRESHOLD, Checker
from decon3d.evaluation.dark_noise import evaluate_dark_noise
from decon3d.evaluation.full_reference import compare
from decon3d.evaluation.noise import measure_noise
from decon3d.evaluation.records import COLUMNS, Record
from decon3d.evaluation.sample import held_out_records
from decon3d.evaluation.staircase import staircase_records
from decon3d.files import digest, write_text
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.pairs.stores import write_store
from decon3d.phantoms import imaging
from decon3d.report.recommendation import Recommendation, recommend
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import prepare_classical
from decon3d.restoration.restorers import State, open_restorer
from decon3d.restoration.sample import central
from decon3d.restoration.tuning import tune_on_phantoms
from decon3d.seeds import generator
from decon3d.settings import Phantoms, Settings, load_settings
from decon3d.settings.methods import is_tuned
from decon3d.versions import VERSIONS
from decon3d.volumes.camera import Camera, dose_of, resolve_camera
from decon3d.volumes.photon_transfer import measure_camera
from decon3d.volumes.statistics import ChannelStatistics
from support.gaussians import gaussian_psf

FOLDER = Path("build/validation/recommendation")
SHAPE = (20, 48, 48)
PHANTOM_SHAPE = (20, 40, 40)
VOXEL_UM = (0.25, 0.1, 0.1)
DOSES = (20.0, 80.0, 400.0)
REPEATS = 3
VAL, TEST = 2, 6
"""Phantoms that methods are tuned on, and that they are ranked on."""
CLOSE_DB = 0.2
STAGES = ("phantoms", "tune", "prepare", "restore", "evaluate", "noise", "consistency")

Volume = NDArray[np.float32]
Draw = Callable[[tuple[int, int, int], np.random.Generator], Volume]


# Objects (Z, Y, X), ≥ 0, in any unit.


def field_of(
    shape: tuple[int, int, int], power: float, rng: np.random.Generator, *, shortest: float = 0.0
) -> Volume:
    """Draw a Gaussian field of mean 0 and variance 1 whose spectrum falls as 1 / f^power."""
    grids = np.meshgrid(
        *(np.fft.fftfreq(n) * z for n, z in zip(shape, (0.4, 1.0, 1.0), strict=True)),
        indexing="ij",
        sparse=True,
    )
    f = np.sqrt(sum(g**2 for g in grids))
    amplitude = 1 / np.maximum(f, 1 / max(shape)) ** (power / 2)
    if shortest:
        amplitude *= np.exp(-0.5 * (f * shortest) ** 2)
    field = np.fft.ifftn(np.fft.fftn(rng.standard_normal(shape)) * amplitude).real
    field -= field.mean()
    return (field / field.std()).astype(np.float32)


def textured_nuclei(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Ellipsoids with soft edges, filled with a lognormal texture and dark nucleoli."""
    places = np.indices(shape).astype(np.float32)
    result = np.zeros(shape, np.float32)
    for _ in range(4):
        centre = rng.uniform(0.15, 0.85, 3) * shape
        radii = np.array((6.0, 13.0, 13.0)) * rng.uniform(0.7, 1.3, 3)
        r = np.sqrt(sum(((p - c) / a) ** 2 for p, c, a in zip(places, centre, radii, strict=True)))
        inside = 1 / (1 + np.exp((r - 1) * 12))
        texture = np.exp(0.7 * field_of(shape, 2.5, rng, shortest=2.0))
        dark = field_of(shape, 3.0, rng, shortest=8.0) > 1.6
        result = np.maximum(result, inside * texture * np.where(dark, 0.3, 1) * rng.uniform(0.5, 1))
    return result


def fractal(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """A cloud that fills the volume: the exponential of a 1/f field."""
    return np.exp(field_of(shape, rng.uniform(2.2, 3.2), rng, shortest=1.0)).astype(np.float32)


def filaments(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Stiff random walks, as thin as a voxel, of different brightness."""
    result = np.zeros(shape, np.float32)
    for _ in range(14):
        place = rng.uniform(0, 1, 3) * shape
        way = rng.normal(size=3)
        bright = rng.uniform(0.3, 1)
        for _ in range(400):
            way += 0.12 * rng.normal(size=3)
            way /= np.linalg.norm(way)
            place = place + 0.4 * way * (0.4, 1, 1)
            at = tuple(np.round(place).astype(int))
            if all(0 <= i < n for i, n in zip(at, shape, strict=True)):
                result[at] += bright
    return gaussian_filter(result, (0.4, 0.8, 0.8))


def beads(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Points and small balls over a tenfold range of brightness."""
    result = np.zeros(shape, np.float32)
    for _ in range(60):
        at = tuple(rng.integers(0, shape))
        result[at] += 10 ** rng.uniform(0, 1)
    return gaussian_filter(result, (0.5, 0.9, 0.9))


def haze(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Dim haze that varies slowly, with some brighter vesicles in it."""
    cloud = 1 + 0.35 * field_of(shape, 3.5, rng, shortest=10.0)
    spots = np.zeros(shape, np.float32)
    for _ in range(25):
        spots[tuple(rng.integers(0, shape))] += rng.uniform(0.3, 1)
    spots = gaussian_filter(spots, (0.8, 1.8, 1.8))
    return np.maximum(cloud, 0) + np.float32(2.5) * spots / spots.max()


def thick(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Tissue without an end along Z: dense soft structure, seen by a widefield microscope."""
    base = field_of(shape, 2.6, rng, shortest=2.5)
    return np.maximum(base - 0.3, 0) * np.exp(0.5 * field_of(shape, 3.0, rng))


def flat_cells(shape: tuple[int, int, int], rng: np.random.Generator) -> Volume:
    """Cells of one brightness each with sharp borders: what total variation assumes."""
    seeds = rng.uniform(0, 1, (18, 3)) * shape
    weight = np.array((2.5, 1, 1))
    places = np.moveaxis(np.indices(shape), 0, -1)
    distance = np.stack([np.linalg.norm((places - s) * weight, axis=-1) for s in seeds])
    levels = np.where(rng.random(18) < 0.5, 0, rng.uniform(0.3, 1, 18))
    return levels[distance.argmin(axis=0)].astype(np.float32)


OBJECTS: dict[str, Draw] = {
    "textured nuclei": textured_nuclei,
    "fractal": fractal,
    "filaments": filaments,
    "beads": beads,
    "haze": haze,
    "thick widefield": thick,
    "flat cells": flat_cells,
}


def psf_of(kind: str) -> Psf:
    """Make the PSF of a kind of datasets: a Gaussian, or for widefield one with a cone of light."""
    data = gaussian_psf((13, 13, 13), (1.3, 1.2, 1.2))
    if kind == "thick widefield":
        place = np.arange(-7, 8, dtype=np.float64)
        width = np.sqrt(1.2**2 + (0.75 * place[:, None, None]) ** 2)
        data = np.exp(-0.5 * (place[:, None] ** 2 + place**2) / width**2) / width**2
    return normalised_psf(data, VOXEL_UM, {"source": "validation"})


@dataclass(frozen=True)
class Dataset:
    """One simulated dataset: its kind, dose and number decide everything about it."""

    kind: str
    photons: float
    repeat: int

    @property
    def name(self) -> str:
        """Name, unique among all."""
        return f"{self.kind.replace(' ', '_')}_{self.photons:g}_{self.repeat}"


def datasets() -> list[Dataset]:
    """List all datasets, so that any first part of them has every kind and dose."""
    return [Dataset(k, d, r) for r in range(REPEATS) for d in DOSES for k in OBJECTS]


def _camera(dataset: Dataset) -> imaging.SimulatedCamera:
    rng = generator(17, "camera", dataset.name)
    return imaging.SimulatedCamera(
        offset=float(rng.uniform(50, 600)),
        gain=float(np.exp(rng.uniform(np.log(0.4), np.log(8)))),
        read_noise=float(rng.uniform(0.7, 2.5)),
        bits=16,
    )


def _stated(dataset: Dataset) -> dict[str, float]:
    """Say what the config knows of the camera: little is learnt from so small a volume alone.

    The gain is off by up to 5 %, as a data sheet's is.
    """
    camera, rng = _camera(dataset), generator(17, "stated", dataset.name)
    gain = camera.gain * float(np.exp(rng.uniform(-0.05, 0.05)))
    return {"offset": camera.offset, "gain": gain, "read_noise": camera.read_noise}


def expose(dataset: Dataset, shape: tuple[int, int, int] = SHAPE) -> imaging.Exposure:
    """Draw a dataset's object and camera and take its image."""
    rng = generator(17, "recommendation", dataset.name)
    psf = psf_of(dataset.kind)
    around = imaging.margins(psf.data)
    z, y, x = (n + 2 * m for n, m in zip(shape, around, strict=True))
    structure = OBJECTS[dataset.kind]((z, y, x), rng).astype(np.float32)
    camera = _camera(dataset)
    return imaging.form_image(
        structure,
        psf=psf.data,
        photons=dataset.photons,
        background_photons=float(rng.uniform(0.5, 8)),
        camera=camera,
        rng=rng,
    )


def method_settings(without: Sequence[str] = ()) -> Settings:
    """Richardson-Lucy, with and without a prior, with its defaults; some may be left out."""
    names = [name for name in ("rl", "rl_roughness", "rltv") if name not in without]
    methods: dict[str, dict[str, Any]] = {name: {} for name in names}
    dataset = {
        "simulate": {"v": {"shape": list(SHAPE)}},
        "voxel_size_um": list(VOXEL_UM),
        "optics": {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.33},
        "channels": {"signal": {"emission_um": 0.525}},
    }
    return load_settings({"datasets": {"d": dataset}, "methods": methods})


def _row(
    method: str,
    subject: str,
    split: str,
    metric: str,
    variant: str,
    value: float,
    recipe: str | None = None,
    photons: float | None = None,
) -> Record:
    return Record(
        dataset="d",
        channel="signal",
        method=method,
        subject=subject,
        split=split,
        recipe=recipe,
        photons=photons,
        metric=metric,
        variant=variant,
        implementation="validation",
        value=value,
    )


def _psnr(restored: Volume, truth: Volume) -> float:
    return next(
        s.value for s in compare(restored, truth) if (s.metric, s.variant) == ("psnr", "affine")
    )


@dataclass(frozen=True)
class Rig:
    """What all methods of a dataset share."""

    psf: Psf
    camera: Camera
    settings: Settings

    def state(self, name: str, image: Volume, tuned: dict[str, Any]) -> State:
        """Prepare a method for one image."""
        method: Any = self.settings.methods[name]
        return prepare_classical(
            method,
            statistics=self.statistics(image),
            psf=self.psf,
            tuned=tuned,
            camera=self.camera,
            sample=central(image),
            seed=1,
        )

    def statistics(self, image: Volume) -> ChannelStatistics:
        """Summarise an image."""
        return ChannelStatistics.of_image(image, camera_offset=self.camera.known_offset)


def _restored(state: State, image: Volume) -> Volume:
    return restore_array(image, open_restorer(state, threads=1), state)


def phantom_study(rig: Rig, photons: float, background: float, folder: Path) -> dict[str, Any]:
    """Tune and rank the methods on phantoms of one dose; kept on disk, shared by datasets."""
    key = digest(
        [
            rig.psf.data.tobytes().hex()[:4000],
            photons,
            background,
            numbers_of(rig.camera),
            rig.settings.model_dump(mode="json"),
            [VERSIONS[s] for s in STAGES],
        ]
    )
    path = folder / "phantoms" / f"{key[:24]}.json"
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    camera = imaging.SimulatedCamera.of(rig.camera)
    splits: dict[str, list[tuple[str, imaging.Exposure]]] = {"val": [], "test": []}
    for name, count in (("val", VAL), ("test", TEST)):
        recipes = sorted(getattr(Phantoms(), name).recipes)
        for i in range(max(count, len(recipes))):
            rng = generator(1, "recommendation", "phantoms", name, i)
            recipe = recipes[i % len(recipes)]
            splits[name].append(
                (
                    recipe,
                    imaging.simulate(
                        recipe,
                        shape=PHANTOM_SHAPE,
                        psf=rig.psf.data,
                        voxel_size_um=VOXEL_UM,
                        photons=photons * float(np.exp(rng.uniform(-0.3, 0.3))),
                        background_photons=background,
                        camera=camera,
                        rng=rng,
                    ),
                )
            )
    chosen: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        store = Path(place) / "val.zarr"
        exposures = [e for _, e in splits["val"]]
        write_store(
            store,
            {"image": [e.images[0] for e in exposures], "object": [e.object for e in exposures]},
            {},
        )
        for name, method in rig.settings.methods.items():
            if is_tuned(method):
                record = Path(place) / "tuned.json"
                tune_on_phantoms(
                    store,
                    path=record,
                    method=method,
                    psf=rig.psf,  # type: ignore[arg-type]
                    camera=rig.camera,
                    threads=1,
                )
                chosen[name] = json.loads(record.read_text())["chosen"]
    rows = []
    for i, (recipe, exposure) in enumerate(splits["test"]):
        image = exposure.images[0]
        restored = {
            n: _restored(rig.state(n, image, chosen.get(n, {})), image)
            for n in rig.settings.methods
        }
        for name, values in {"input": image, **restored}.items():
            rows.append([name, f"phantoms/test/{i:04d}", recipe, _psnr(values, exposure.object)])
    result = {"tuned": chosen, "rows": rows}
    write_text(path, json.dumps(result))
    return result


def numbers_of(camera: Camera) -> dict[str, Any]:
    """Return a camera's numbers."""
    return {k: getattr(camera, k) for k in ("offset", "gain", "read_noise", "bits")}


def _near(value: float, factor: float) -> float:
    """Round to a power of `factor`, so that datasets of like dose share their phantoms."""
    return float(factor ** round(math.log(max(value, 0.1)) / math.log(factor)))


def measure(dataset: Dataset, folder: Path, shape: tuple[int, int, int] = SHAPE) -> dict[str, Any]:
    """Take one dataset through a run, and its truth beside it."""
    started = time.perf_counter()
    exposure = expose(dataset, shape)
    image = exposure.images[0]
    measured = measure_camera([image])
    known = resolve_camera(config.CameraSection(**_stated(dataset)), measured)
    dose = dose_of(measured, known)
    bright = dose.photons[1] if dose.photons else 100.0
    settings = method_settings()
    psf = psf_of(dataset.kind)
    rig = Rig(psf, known, settings)
    # The gain scales everything, so that phantoms of gain 1 serve all cameras.
    plain = Rig(
        psf, Camera(offset=100.0, gain=1.0, read_noise=_near(known.read_noise, 2)), settings
    )
    study = phantom_study(plain, _near(bright, 1.3), _near(dose.background_photons, 1.6), folder)
    records = [
        _row(m, s, "test", "psnr", "affine", v, recipe=r, photons=bright)
        for m, s, r, v in study["rows"]
    ]
    noise = measure_noise([image])
    statistics = rig.statistics(image)
    checker = Checker(psf=psf, noise=noise, background=statistics.background)
    truth = {"input": _psnr(image, exposure.object)}
    settled = {}
    records += held_out_records(
        (),
        sample=central(image),
        camera=rig.camera,
        psf=psf,
        background=statistics.background,
        seed=1,
        stream=("d", "signal"),
        name="input",
        threads=1,
    )
    for name in settings.methods:
        state = rig.state(name, image, study["tuned"].get(name, {}))
        settled[name] = [state.values.get("iterations"), state.values.get("tv_weight")]
        restored = _restored(state, image)
        truth[name] = _psnr(restored, exposure.object)
        records += held_out_records(
            [state],
            sample=central(image),
            camera=rig.camera,
            psf=psf,
            background=statistics.background,
            seed=1,
            stream=("d", "signal"),
            name=name,
            threads=1,
        )
        records += evaluate_dark_noise(
            [state],
            noise=noise,
            background=statistics.background,
            psf=psf,
            dataset="d",
            channel="signal",
            method=name,
            seed=1,
            threads=1,
            shape=(16, 48, 48),
        )
        z, _ = checker.whole(image, restored)
        flagged = float(np.mean(np.abs(z) >= THRESHOLD))
        records.append(_row(name, "volume/v", "data", "consistency_flagged", "unmatched", flagged))
        records += staircase_records(
            [state],
            sample=central(image),
            psf=psf,
            statistics=statistics,
            camera=rig.camera,
            dataset="d",
            channel="signal",
            method=name,
            threads=1,
        )
    return {
        "dataset": asdict(dataset),
        "truth": truth,
        "settled": settled,
        "camera": numbers_of(known),
        "photons": bright,
        "seconds": round(time.perf_counter() - started, 1),
        "records": [list(asdict(r).values()) for r in records],
    }


def recommendation_of(line: dict[str, Any], without: Sequence[str] = ()) -> Recommendation:
    """Recommend a method for a dataset by what was measured, as if some methods were not there."""
    metrics = pd.DataFrame(line["records"], columns=list(COLUMNS))
    metrics = metrics[~metrics["method"].isin(without)]
    return recommend(metrics, settings=method_settings(without))[0]


def loss_of(line: dict[str, Any], without: Sequence[str] = ()) -> float:
    """Return by how many dB the recommended method is behind the best."""
    truth = {m: value for m, value in line["truth"].items() if m not in without}
    return float(max(truth.values()) - truth[recommendation_of(line, without).method or "input"])


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Sum up how far the recommended method is from the best one, by kind and dose (Markdown)."""
    rows = []
    for line in lines:
        found = recommendation_of(line)
        truth = line["truth"]
        loss = max(truth.values()) - truth[found.method or "input"]
        vetoed = [m for m in found.checks if found.vetoes(m)]
        gain = {m: truth[m] - truth["rl"] for m in vetoed}
        rows.append(
            {
                **line["dataset"],
                "loss": loss,
                "close": loss <= CLOSE_DB,
                "method": found.method,
                "rl_loss": max(truth.values()) - truth["rl"],
                "lead_loss": max(truth.values()) - truth[_leader(found)],
                "right": sum(g <= CLOSE_DB for m, g in gain.items() if m != "rl"),
                "wrong": sum(g > CLOSE_DB for m, g in gain.items() if m != "rl"),
                "checks": [c.name for m in vetoed for c in found.vetoes(m)],
            }
        )
    found_rows = pd.DataFrame(rows)
    text = [
        f"| kind | photons | datasets | within {CLOSE_DB:g} dB of the best | mean loss (dB) | "
        "recommended | vetoes right / wrong |",
        "|---|---|---|---|---|---|---|",
    ]
    for (kind, photons), part in found_rows.groupby(["kind", "photons"]):
        text.append(_line(str(kind), f"{photons:g}", part))
    text.append(_line("all", "", found_rows))
    text += [
        "",
        f"Always RL: {(found_rows['rl_loss'] <= CLOSE_DB).mean():.0%} within {CLOSE_DB:g} dB, mean "
        f"loss {found_rows['rl_loss'].mean():.2f} dB. The first on phantoms, without vetoes: "
        f"{(found_rows['lead_loss'] <= CLOSE_DB).mean():.0%}, {found_rows['lead_loss'].mean():.2f} "
        f"dB. {_without('rl_roughness', lines)} {_without('rltv', lines)} Vetoes by check: "
        + ", ".join(f"{n} {c}" for c, n in found_rows["checks"].explode().value_counts().items())
        + ".",
    ]
    return "\n".join(text)


def _without(method: str, lines: Sequence[dict[str, Any]]) -> str:
    losses = np.array([loss_of(line, [method]) for line in lines])
    return f"Without {method}: {(losses <= CLOSE_DB).mean():.0%}, {losses.mean():.2f} dB."


def _leader(found: Recommendation) -> str:
    means = {m: rank.mean.mean for m, of in found.ranks.items() for rank in of.values()}
    return max(means, key=lambda m: means[m])


def _line(kind: str, photons: str, part: pd.DataFrame) -> str:
    counts = part["method"].value_counts()
    chosen = ", ".join(f"{m} {n}" for m, n in counts.items())
    return (
        f"| {kind} | {photons} | {len(part)} | {part['close'].mean():.0%} | "
        f"{part['loss'].mean():.2f} | {chosen} | {part['right'].sum()} / {part['wrong'].sum()} |"
    )


def lines_of(wanted: Iterable[Dataset], folder: Path) -> list[dict[str, Any]]:
    """Measure what is not measured yet, and return all that is known."""
    state = digest([VERSIONS[s] for s in STAGES])[:8]
    lines = []
    for dataset in wanted:
        path = folder / "datasets" / f"{dataset.name}.json"
        known = json.loads(path.read_text()) if path.is_file() else {}
        if known.get("state") != state:
            known = {"state": state, **measure(dataset, folder)}
            write_text(path, json.dumps(known))
            print(dataset.name, known["truth"], f"{known['seconds']} s", flush=True)
        lines.append(known)
    return lines


def main(quick: bool = False) -> str:
    """Return the table; `quick`: of the first seven datasets."""
    wanted = datasets()[: len(OBJECTS)] if quick else datasets()
    return table(lines_of(wanted, FOLDER))
