"""Scores of a restored volume against its truth, beyond PSNR and SSIM."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt, map_coordinates, maximum_filter
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from decon3d.evaluation.fsc import fsc_resolution_um
from decon3d.evaluation.full_reference import compare
from decon3d.optics.arrays import spread
from decon3d.phantoms.grids import VoxelSize
from decon3d.phantoms.microscope_imaging import TakenVolume
from decon3d.phantoms.microscopes import Microscope

AROUND = 5
"""Voxels around objects that belong to their surroundings."""
RING = 2
"""Voxels around objects that blur fills, so that a dark ring lies beyond."""
OBJECT_SHARE = 0.1
"""Brightness of an object, relative to the brightest, at least."""
FALSE_SHARE = 0.1
"""Share of false ones at which spots and filaments are counted."""
SPOT_SHARE, FILAMENT_SHARE = 0.1, 0.25
"""Brightness of the truth's spots and filaments, relative to the brightest, at least."""
NEAR = 1.5
"""Voxels between a spot or a filament and its true place, at most."""
FILAMENTS = ("tubules", "er_network")
APART = (1.0, 2.0)
"""Distances of two points that are to be separated, in λ / 2 NA."""
DIP = 0.8
"""Two points are separate if it is darker between them, relative to the dimmer one."""
FALSE_SIGMA = 5.0
"""Height of a false spot above the median, in σ of the raw image's noise, at least."""

Volume = NDArray[np.floating]
Points = NDArray[np.float64]


def scores_of(
    restored: Volume, volume: TakenVolume, *, recipe: str, microscope: Microscope
) -> dict[str, float]:
    """Score a restored volume (Z, Y, X, counts).

    Returns
    -------
    dict
        `psnr`, `raw_psnr` (dB; after the affine match and without it), `ssim` (after it), `light`,
        `ring` (see `light_around`), `fsc_xy`, `fsc_z` (Fourier shell correlation with the truth, in
        µm); of filaments `f1`, of spots `f1` and `separate`. Of volumes without light: the number
        of `false_spots` alone.
    """
    if microscope.photons == 0 or recipe in ("empty", "dark"):
        return {"false_spots": float(false_spots(restored, volume.image))}
    truth = volume.object
    compared = {(s.metric, s.variant): s.value for s in compare(restored, truth)}
    found = {
        "psnr": compared["psnr", "affine"],
        "raw_psnr": compared["psnr", "unmatched"],
        "ssim": compared["ssim", "affine"],
        **light_around(restored, truth),
    }
    voxel = microscope.voxel_size_um
    for name, direction in (("fsc_xy", "lateral"), ("fsc_z", "axial")):
        found[name] = fsc_resolution_um(
            restored,
            truth,
            voxel_size_um=voxel,
            direction=direction,  # type: ignore[arg-type]
        )
    if recipe in FILAMENTS:
        found["f1"] = filaments_f1(restored, truth)
    if recipe == "spots":
        limit = microscope.emission_um / (2 * microscope.optics.numerical_aperture)
        found["f1"] = spots_f1(restored, truth)
        found["separate"] = separated(restored, truth, voxel, limit)
    return {name: value for name, value in found.items() if np.isfinite(value)}


def light_around(restored: Volume, truth: Volume) -> dict[str, float]:
    """Compare the light of objects and their surroundings with the truth's, in per cent.

    Returns
    -------
    dict
        `light`: error of the sum above the truth's darkest value, over objects and `AROUND` voxels
        around them. `ring`: error in these surroundings alone, beyond `RING` voxels, relative to
        the objects' true sum.
    """
    level = truth.min()
    objects = truth - level > OBJECT_SHARE * (np.percentile(truth, 99.9) - level)
    around = binary_dilation(objects, iterations=AROUND)
    near = binary_dilation(objects, iterations=RING)
    true = np.sum(truth[around] - level, dtype=np.float64)
    bright = np.sum(truth[objects] - level, dtype=np.float64)
    error = np.subtract(restored, truth, dtype=np.float64)
    return {
        "light": float(100 * error[around].sum() / true),
        "ring": float(100 * error[around & ~near].sum() / bright),
    }


def f1_at_false_share(strength: Points, true: NDArray[np.bool_], found: Points) -> float:
    """Return the F1 score at the lowest threshold with at most `FALSE_SHARE` of false detections.

    Parameters
    ----------
    strength, true
        Of each candidate: its strength, and whether it lies on a true structure.
    found
        Of each true structure: the strength of the strongest candidate on it; -inf = none.
    """
    order = np.argsort(-strength, kind="stable")
    values, false = strength[order], np.cumsum(~true[order])
    last = np.append(values[1:] < values[:-1], True)  # equal ones are found together
    counts = np.arange(1, len(values) + 1)
    if not len(values):
        return 0.0
    allowed = np.flatnonzero(last & (false <= FALSE_SHARE * counts))
    if not len(allowed) or not len(found):
        return 0.0
    k = int(allowed[-1])
    precision = 1 - false[k] / counts[k]
    recall = float(np.mean(found >= values[k]))
    return float(2 * precision * recall / (precision + recall)) if recall else 0.0


def peaks(volume: Volume, least: float) -> NDArray[np.intp]:
    """Return the places (n, 3) of local maxima among 26 neighbours above a value."""
    return np.argwhere((volume == maximum_filter(volume, 3)) & (volume > least))


def true_spots(truth: Volume) -> NDArray[np.intp]:
    """Return the places (n, 3) of the truth's spots."""
    level = truth.min()
    return peaks(truth, level + SPOT_SHARE * (truth.max() - level))


def spots_f1(restored: Volume, truth: Volume) -> float:
    """Return the F1 score of spots: local maxima within `NEAR` voxels of true ones."""
    real, seen = true_spots(truth), peaks(restored, float(np.median(restored)))
    if not len(seen) or not len(real):
        return 0.0
    strength = restored[tuple(seen.T)].astype(np.float64)
    near = cKDTree(seen).query_ball_point(real, NEAR)
    found = np.array([strength[list(n)].max() if n else -np.inf for n in near])
    true = np.zeros(len(seen), bool)
    true[[i for n in near for i in n]] = True
    return f1_at_false_share(strength, true, found)


def filaments_f1(restored: Volume, truth: Volume) -> float:
    """Return the F1 score of filaments.

    Detected voxels are true within `NEAR` voxels of the truth's filaments; a voxel of their middle
    lines is found if a detected voxel is as near.
    """
    level = truth.min()
    real = truth - level > FILAMENT_SHARE * (np.percentile(truth, 99.9) - level)
    if not real.any():
        return 0.0
    true = distance_transform_edt(~real) <= NEAR
    strongest = maximum_filter(restored, footprint=_ball(NEAR))
    found = strongest[skeletonize(real) > 0].astype(np.float64)
    return f1_at_false_share(restored.ravel().astype(np.float64), true.ravel(), found)


def _ball(radius: float) -> NDArray[np.bool_]:
    n = int(radius)
    grid = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1]
    ball: NDArray[np.bool_] = np.square(grid).sum(axis=0) <= radius**2
    return ball


def separated(restored: Volume, truth: Volume, voxel_size_um: VoxelSize, limit_um: float) -> float:
    """Return the share of separate pairs among points that lie `APART` times a limit apart.

    Only pairs in a plane or in neighbouring ones that the truth itself separates count; NaN without
    any. A pair is separate if the restored line between its points is darker than `DIP` times the
    dimmer one.
    """
    places = true_spots(truth)
    places_um = places * np.asarray(voxel_size_um)
    pairs = cKDTree(places_um).query_pairs(APART[1] * limit_um, output_type="ndarray")
    verdicts = []
    for one, other in pairs:
        near = np.linalg.norm(places_um[one] - places_um[other]) < APART[0] * limit_um
        if near or abs(places[one][0] - places[other][0]) > 1:
            continue
        if _separate(truth, places[one], places[other]):
            verdicts.append(_separate(restored, places[one], places[other]))
    return float(np.mean(verdicts)) if verdicts else float("nan")


def _separate(volume: Volume, one: Any, other: Any) -> bool:
    steps = np.linspace(0, 1, 21)
    line = np.multiply.outer(one, 1 - steps) + np.multiply.outer(other, steps)
    values = map_coordinates(volume, line, order=1) - np.median(volume)
    # A restored point may lie half a voxel beside the true one.
    ends, between = min(values[:6].max(), values[-6:].max()), values[5:16].min()
    return bool(ends > 0 and between < DIP * ends)


def false_spots(restored: Volume, raw: Volume) -> int:
    """Count local maxima of a restored volume without objects that exceed the raw image's noise."""
    least = FALSE_SIGMA * max(spread(raw), 1e-6)
    return len(peaks(restored, float(np.median(restored)) + least))
