"""Compare restorations by held-out photons, without truth; for any method, networks included.

A sample of the data is split binomially into two halves of its photons. Each half is doubled, so
that it has the brightness of the whole, and restored by the unchanged method (its network, its
iterations, its normalisation). The result is blurred again by the PSF and compared with the *other*
half by the Poisson deviance: 2 mean(n log(n / μ) - n + μ) per voxel, about 1 if only photon noise
is left. The other half does not confirm structure from noise.

**It does not measure what the blur removes**, such as structure invented beyond the microscope's
cut-off, and it judges the method at half of the dose. It compares methods on the same data only. In
deskewed, filtered or summed images, the halves are not independent, and the deviance is too small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

from decon3d.blocks.geometry import centred
from decon3d.classical.operators import Blur
from decon3d.classical.photons import PhotonScale, split_photons
from decon3d.evaluation.fsc import DIRECTIONS, fsc_resolution_um
from decon3d.optics.psf import Psf, half_width
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.restorers import State, open_restorer
from decon3d.volumes.no_data import filled

BLOCKS = 2
PART = (16, 16, 16)
"""Voxels (Z, Y, X) of a part of a block: the spread over parts gives a difference its error."""
LEAST_JUDGED = 0.25
"""Share of a part's voxels that must be judged for the part to count."""
LEAST_LIGHT = 0.1
"""Least light above the background, as a share of all light of a block, in the ratio of light."""
SIZE = (32, 64, 64)
"""Most voxels (Z, Y, X) of a block that are split: its middle."""
LEAST_MU = 1e-3
"""Smallest expected number of photons."""
SEEN = 0.9
"""Share of a voxel's light that must come from within the block for it to count …"""
LEAST_VOXELS = 0.5
"""… but at least this share of the voxels, those with the largest shares, for large PSFs."""

FloatArray = NDArray[np.float32]
Restore = Callable[[NDArray[Any]], NDArray[Any]]
"""Counts (Z Y X, NaN = no data) to restored counts, background included."""


@dataclass(frozen=True)
class HeldOut:
    """The comparison of two halves of one block.

    Attributes
    ----------
    deviance
        Per voxel, mean of both directions.
    fsc_um
        Detail at which the two restored halves cease to agree, lateral and axial; NaN if they agree
        everywhere.
    parts
        Deviance per voxel of each part of the block (`PART`), the same parts for every method.
    light
        Light above the background of the re-blurred restoration, divided by the image's.
    restored
        The restorations of both halves (Z Y X, counts at the brightness of the whole block).
    """

    deviance: float
    fsc_um: tuple[float, float]
    parts: tuple[float, ...] = ()
    light: float = math.nan
    restored: tuple[NDArray[Any], ...] = field(default=(), compare=False, repr=False)


def restore_chain(states: Sequence[State], *, threads: int, doubled: bool = True) -> Restore:
    """Make the restoration of blocks by one method, after those that are its `source`.

    Parameters
    ----------
    states
        The prepared restorers, the first one sees the data; none = the image is left as it is.
    threads
        CPU threads.
    doubled
        Whether the blocks are halves of the photons that were doubled.
    """
    used = [_for_doubled(state) if doubled else state for state in states]
    restorers = [open_restorer(state, threads=threads) for state in used]

    def restore(values: NDArray[Any]) -> NDArray[Any]:
        for i, (state, restorer) in enumerate(zip(used, restorers, strict=True)):
            values = restore_array(np.maximum(values, 0) if i else values, restorer, state)
        return values

    return restore


def held_out(
    block: NDArray[Any],
    *,
    restore: Restore,
    psf: Psf,
    scale: PhotonScale,
    seed: int,
    background: float | None = None,
) -> HeldOut:
    """Split a block, restore both halves, and compare each with the other.

    Parameters
    ----------
    block
        Counts (Z Y X); NaN = no data. Of more than 32 × 64 × 64 voxels the middle is used.
    restore
        From `restore_chain`, or any function of counts at the block's brightness.
    psf
        The channel's; the restored half is blurred by it.
    scale
        The camera's.
    seed
        Of the split.
    background
        Counts of empty places, above which light is compared; None = the scale's dark level.
    """
    block = middle(block)
    halves = split_photons(block, scale=scale, origin=(0, 0, 0), seed=seed)
    restored = [restore(np.float32(2) * half) for half in halves]
    z, y, x = block.shape
    model = Blur((z, y, x), psf=psf.data)
    level = scale.offset if background is None else background
    maps, lights = [], []
    for values, own, other in zip(restored, halves, halves[::-1], strict=True):
        expected, judged = _reblurred(values, model, psf)
        maps.append(_deviance_map(expected, judged, other, scale))
        lights.append(_light_kept(expected, judged, np.float32(2) * own, level, scale))
    whole = np.mean(maps, axis=0)
    lateral, axial = (
        fsc_resolution_um(*restored, voxel_size_um=psf.voxel_size_um, direction=direction)
        for direction in DIRECTIONS.values()
    )
    light = float(np.mean(lights))
    return HeldOut(_mean(whole), (lateral, axial), _part_means(whole), light, tuple(restored))


def middle(block: NDArray[Any]) -> NDArray[Any]:
    """Return the middle of a block (Z Y X), of 32 × 64 × 64 voxels at most."""
    return block[centred(block.shape, SIZE)]


def _reblurred(
    restored: NDArray[Any], model: Blur, psf: Psf
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Blur a restoration again; return which voxels have their light from within the block."""
    known = np.isfinite(restored)
    expected = _blurred(filled(restored, 0.0), model, psf)
    seen = _blurred(known.astype(np.float32), model, psf)
    if not seen.max() > 0:
        return expected, np.zeros(expected.shape, bool)
    judged = seen >= min(SEEN, float(np.quantile(seen, 1 - LEAST_VOXELS)))
    expected /= np.where(judged, seen, np.float32(1))
    return expected, judged


def _deviance_map(
    expected: FloatArray, judged: NDArray[np.bool_], other: FloatArray, scale: PhotonScale
) -> NDArray[np.float64]:
    """Return the deviance of every voxel (Z Y X); NaN where it is not judged."""
    judged = judged & np.isfinite(other)
    mu = (expected - np.float32(scale.offset)) / np.float32(2 * scale.gain)
    photons = (other - np.float32(scale.offset / 2)) / np.float32(scale.gain)
    values = voxel_deviance(np.maximum(photons, 0), np.maximum(mu, LEAST_MU))
    return np.where(judged, values, np.nan)


def voxel_deviance(
    observed: NDArray[np.floating], expected: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return the deviance of each voxel, 2 (n log(n / μ) - n + μ), of photons n ≥ 0, μ > 0."""
    n, mu = np.asarray(observed, np.float64), np.asarray(expected, np.float64)
    result: NDArray[np.float64] = 2 * (xlogy(n, n / mu) - n + mu)
    return result


def _light_kept(
    expected: FloatArray,
    judged: NDArray[np.bool_],
    image: FloatArray,
    background: float,
    scale: PhotonScale,
) -> float:
    """Divide the re-blurred light above the background by the image's, over judged voxels."""
    judged = judged & np.isfinite(image)
    seen = float(np.sum(image[judged] - background, dtype=np.float64))
    every = float(np.sum(image[judged] - scale.offset, dtype=np.float64))
    change = float(np.sum(expected[judged] - image[judged], dtype=np.float64))
    light = max(seen, LEAST_LIGHT * every)
    return 1 + change / light if light > 0 else math.nan


def _part_means(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Average a map (Z Y X; NaN = not judged) over its parts, as far as they are judged."""
    means = []
    for place in np.ndindex(*(-(-n // p) for n, p in zip(values.shape, PART, strict=True))):
        cell = values[tuple(slice(i * p, (i + 1) * p) for i, p in zip(place, PART, strict=True))]
        if np.isfinite(cell).mean() >= LEAST_JUDGED:
            means.append(_mean(cell))
    return tuple(means)


def _mean(values: NDArray[np.float64]) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else math.nan


def _blurred(values: NDArray[Any], model: Blur, psf: Psf) -> FloatArray:
    """Blur a block that is dark outside."""
    return model.forward(np.pad(values.astype(np.float32), [(h, h) for h in half_width(psf)]))


def _for_doubled(state: State) -> State:
    """Fit a state to halves that were doubled: a photon is twice the counts, none is saturated."""

    def changed(values: dict[str, Any]) -> dict[str, Any]:
        photons = values.get("photons")
        if photons:
            photons = {**photons, "gain": 2 * photons["gain"]}
        known = {"saturation": None, "photons": photons}
        return values | {key: value for key, value in known.items() if key in values}

    values = changed(state.values)
    if "runs" in values:
        values["runs"] = [{**run, "recipe": changed(run["recipe"])} for run in values["runs"]]
    return replace(state, values=values)
