"""Sensitivity of the consistency map to changes that are planted into restorations.

Light is added to, or moved in, the restored test phantoms of a method, always as much light as
makes a spot of signal-to-noise ratio 8 for the map's own filter, at random places. The area under
the ROC curve (AUC) measures how well |z| separates the changed places from the same places
unchanged: 1 = always, 0.5 = not at all. Three classes: added spots, inside the microscope's pass
band; spots doubled laterally below the resolution; and patches doubled along Z below the axial
resolution, which widefield's missing cone hides completely.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from decon3d.blocks.geometry import Triple
from decon3d.evaluation.consistency import Checker, FloatArray, smooth, width_voxels
from decon3d.evaluation.noise import measure_noise
from decon3d.evaluation.records import Record
from decon3d.optics.psf import Psf
from decon3d.seeds import generator
from decon3d.versions import __version__
from decon3d.volumes.camera import Camera
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.correlated_noise import FOOTPRINT
from decon3d.volumes.no_data import filled
from decon3d.volumes.statistics import ChannelStatistics

Change = Literal["added", "lateral", "axial"]
CHANGES: tuple[Change, ...] = ("added", "lateral", "axial")
SNR = 8.0
PLACES = 16
"""Largest number of places per phantom."""
OF_EACH = 3
"""Phantoms of each recipe that changes are planted into."""
APART = 2.0
"""Distance of two places, in widths of the PSF."""
SPOT = 0.7
"""Standard deviation of a spot, in voxels."""
SEPARATION = 0.5
"""Distance of a doubled spot's or patch's halves, in widths of the PSF: too close to be
resolved."""
DETECTABLE = 0.75
"""AUC below which the map does not detect a class of changes."""


@dataclass(frozen=True)
class Pattern:
    """A change of a restoration, around its middle voxel (Z, Y, X, odd sizes)."""

    values: FloatArray
    """Change of the restored counts, per unit of light."""
    response: float
    """Re-blurred, smoothed value at the middle for a unit of added light."""


def pattern_of(change: Change, checker: Checker) -> Pattern:
    """Make the pattern of a class of changes for a PSF."""
    z, y, _ = width_voxels(checker.psf)
    sigma = (SPOT, y, y) if change == "axial" else (SPOT, SPOT, SPOT)
    shift = {"added": (0.0, 0.0), "lateral": (0.0, SEPARATION * y), "axial": (SEPARATION * z, 0.0)}
    dz, dy = (d / 2 for d in shift[change])
    reach = [int(np.ceil(3 * s + d)) for s, d in zip(sigma, (dz, dy, 0.0), strict=True)]

    def blob(offset_z: float, offset_y: float) -> FloatArray:
        lines = [
            np.exp(-0.5 * np.square((np.arange(-r, r + 1) - o) / s))
            for r, s, o in zip(reach, sigma, (offset_z, offset_y, 0.0), strict=True)
        ]
        values = np.einsum("i,j,k->ijk", *lines)
        return (values / values.sum()).astype(np.float32)

    single = blob(0, 0)
    values = single
    if change != "added":
        values = (blob(dz, dy) + blob(-dz, -dy)) / np.float32(2) - single
    # Its image at the middle voxel: blurred and smoothed on just enough voxels around it.
    field = np.zeros([2 * h + 1 for h in checker.halo], np.float32)
    _add(field, single, checker.halo)
    light, _ = checker.blurred(field + np.float32(checker.background), np.ones(field.shape, bool))
    return Pattern(values, float(smooth(light, checker.kernels).squeeze()))


def _add(target: FloatArray, values: FloatArray, place: Triple) -> None:
    """Add a pattern around a voxel, inside the array."""
    to, source = [], []
    for at, length, size in zip(place, values.shape, target.shape, strict=True):
        start = at - length // 2
        to.append(slice(max(start, 0), min(start + length, size)))
        source.append(slice(to[-1].start - start, to[-1].stop - start))
    target[tuple(to)] += values[tuple(source)]


def plant(
    restored: NDArray[Any],
    image: NDArray[Any],
    *,
    change: Change,
    checker: Checker,
    places: list[Triple],
) -> FloatArray:
    """Plant changes of one class into a restored volume (Z, Y, X, counts; NaN = no data)."""
    pattern = pattern_of(change, checker)
    plain = np.prod([np.square(k).sum() for k in checker.kernels]) * checker.excess
    known = uniform_filter(np.isfinite(image).astype(np.float32), FOOTPRINT)
    counts = uniform_filter(filled(image, 0).astype(np.float32), FOOTPRINT)
    counts /= np.maximum(known, np.float32(1e-3))
    changed = restored.astype(np.float32)
    for place in places:
        sigma = np.sqrt(plain * checker.noise.variance(counts[place])[()])
        _add(changed, np.float32(SNR * sigma / pattern.response) * pattern.values, place)
    return changed


def draw_places(
    shape: Triple, *, psf: Psf, rng: np.random.Generator, known: NDArray[np.bool_]
) -> list[Triple]:
    """Draw voxels with a distance from each other, from the faces and from missing data."""
    widths = width_voxels(psf)
    rims = [min(round(w), (n - 1) // 2) for w, n in zip(widths, shape, strict=True)]
    allowed = minimum_filter(known, size=[2 * r + 1 for r in rims], mode="nearest")
    kept: list[Triple] = []
    for _ in range(50 * PLACES):
        z, y, x = (int(rng.integers(r, n - r)) for r, n in zip(rims, shape, strict=True))
        if allowed[z, y, x] and all(
            any(abs(a - b) > APART * w for a, b, w in zip((z, y, x), k, widths, strict=True))
            for k in kept
        ):
            kept.append((z, y, x))
        if len(kept) == PLACES:
            break
    return kept


def map_sensitivity(
    image: NDArray[Any],
    restored: NDArray[Any],
    *,
    checker: Checker,
    rng: np.random.Generator,
) -> dict[Change, float]:
    """Measure how well the map of one volume detects each class of planted changes.

    Parameters
    ----------
    image, restored
        Counts (Z, Y, X); NaN in either = no data.
    checker
        Of this volume's background and noise.

    Returns
    -------
    dict
        AUC of the largest |z| within half a PSF's width of the places; NaN where there is none.
    """
    known = np.isfinite(image) & np.isfinite(restored)
    if not known.all():
        image = np.where(known, image, np.float32(np.nan))
    places = draw_places(image.shape, psf=checker.psf, rng=rng, known=known)  # type: ignore[arg-type]
    if not places:
        return dict.fromkeys(CHANGES, float("nan"))
    plain, scale = checker.whole(image, restored)
    from scipy.stats import mannwhitneyu  # half a second, only needed here

    before = _scores(plain, places, checker)
    found: dict[Change, float] = {}
    for change in CHANGES:
        changed = plant(restored, image, change=change, checker=checker, places=places)
        after = _scores(checker.whole(image, changed, scale)[0], places, checker)
        statistic = mannwhitneyu(after, before, alternative="greater").statistic
        found[change] = float(statistic) / (len(after) * len(before))
    return found


def _scores(z: FloatArray, places: list[Triple], checker: Checker) -> NDArray[np.float32]:
    size = [2 * ((r + 2) // 4) + 1 for r in checker.reach]
    highest = maximum_filter(np.nan_to_num(np.abs(z)), size=size)
    return highest[tuple(np.transpose(places))]


def evaluate_map_sensitivity(
    *,
    test_store: str | Path,
    restored_store: str | Path,
    psf: Psf,
    camera: Camera,
    dataset: str,
    channel: str,
    method: str,
    seed: int,
) -> list[Record]:
    """Plant changes into a method's restored test split, and measure the map.

    Parameters
    ----------
    test_store
        Zarr group with `image` (n, Z, Y, X; counts) and, of phantoms, the attributes `recipes` and
        `photons`.
    restored_store
        Zarr group with `restored`, of the same shape.
    psf
        The channel's.
    camera
        The dataset's.

    Returns
    -------
    list of Record
        Metrics `auc_added`, `auc_lateral` and `auc_axial` for the first volumes of each recipe:
        subjects `probe/planted/0000` …, split `probe`.
    """
    test: Any = open_group(test_store)
    images = test["image"]
    restored: Any = open_group(restored_store)["restored"]
    noise = measure_noise([np.asarray(image) for image in images], camera=camera)
    about = test.attrs
    simulated = "measured" not in about
    records = []
    recipes: list[str | None] = [None] * images.shape[0]
    if simulated:
        recipes = [str(recipe) for recipe in about["recipes"]]
    for i in (i for i, r in enumerate(recipes) if recipes[:i].count(r) < OF_EACH):
        image = np.asarray(images[i])
        statistics = ChannelStatistics.of_image(image, camera_offset=camera.known_offset)
        checker = Checker(psf=psf, noise=noise, background=statistics.background)
        rng = generator(seed, "planted", dataset, channel, i)
        found = map_sensitivity(image, np.asarray(restored[i]), checker=checker, rng=rng)
        records += [
            Record(
                dataset=dataset,
                channel=channel,
                method=method,
                subject=f"probe/planted/{i:04d}",
                split="probe",
                metric=f"auc_{change}",
                value=value,
                implementation=f"decon3d {__version__}: SNR {SNR:g}, up to {PLACES} places",
                recipe=recipes[i],
                photons=float(about["photons"][i]) if simulated else None,
            )
            for change, value in found.items()
        ]
    return records
