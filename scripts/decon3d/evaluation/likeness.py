"""Similarity of phantoms and a channel's data: histogram, power spectrum, noise.

Both are compared as images, in counts. Counts become units of noise first, y = 2 √(photons + 3/8)
(Anscombe): noise has a standard deviation of 1 in them, whatever the brightness.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, uniform_filter

from decon3d.logs import log
from decon3d.phantoms.imaging import brightest_mean
from decon3d.volumes.camera import Camera
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.correlated_noise import DIFFERENCES, FOOTPRINT
from decon3d.volumes.no_data import missing

Images = Sequence[NDArray[np.generic]]
Triple = tuple[float, float, float]
Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Frequencies (1 / µm), and the power at them, with a sum of 1."""

QUANTILES = (np.arange(2000) + 0.5) / 2000
SHORTEST_WINDOW = 16
"""Least width of a plane, in voxels, for a spectrum."""

MOST_BRIGHTNESS = 3.0
"""Largest ratio of the brightest voxels at which phantoms count as similar to the data."""
MOST_HISTOGRAM = 0.4
"""Largest distance of the histograms at which they count as similar."""
MOST_OCTAVES = 0.55
"""Largest distance of the spectra, in octaves, at which they count as similar."""
MOST_NOISE = 1.25
"""Largest ratio of the noise's standard deviations at which they count as similar.

Four volumes of one recipe against four others stay below all of these limits: brightness 0.7 … 1.2,
histogram ≤ 0.2, spectrum ≤ 0.5 octaves, noise 0.99 … 1.01. A tenfold dose, twice the noise's
variance, and tubes on a scale 2.5 times as large exceed one of them."""


@dataclass(frozen=True)
class Appearance:
    """The compared properties of a set of images.

    Attributes
    ----------
    levels
        Brightness at `QUANTILES` of the voxels, in units of noise.
    histogram
        Histogram of the brightness: voxels per bin, and the edges of the bins, in units of noise.
    bright
        Photons above the background of the brightest 0.1 % of the voxels.
    filled
        Share of the voxels brighter than a tenth of the brightest.
    spectrum
        None = no structure above the noise.
    noise
        Standard deviation of the noise over √photons.
    """

    images: int
    levels: NDArray[np.float64]
    histogram: tuple[NDArray[np.int64], NDArray[np.float64]]
    bright: float
    filled: float
    spectrum: Spectrum | None
    noise: float

    @property
    def curves(self) -> dict[str, list[float]]:
        """Histogram and spectrum for a figure."""
        share, edges = self.histogram
        frequency, power = self.spectrum or ((), ())
        return {
            "noise_units": [round(float(v), 3) for v in (edges[1:] + edges[:-1]) / 2],
            "share": [round(float(v), 7) for v in share / share.sum() / np.diff(edges)],
            "frequency": [round(float(v), 5) for v in frequency],
            "power": [round(float(v), 6) for v in power],
        }


@dataclass(frozen=True)
class Likeness:
    """The comparison of a set of phantoms with a channel's data.

    Attributes
    ----------
    volumes
        Phantoms that were compared.
    histogram
        Distance of the histograms, 0 (equal) … 1 (nothing in common): the 1-Wasserstein distance
        over the sum of both signals' mean heights above the background.
    wasserstein
        The 1-Wasserstein distance itself, in standard deviations of the noise.
    brightness
        Photons above the background of the brightest 0.1 % of the data's voxels, over the
        phantoms'.
    filled
        Share of the data's voxels that are as bright as a tenth of the brightest, over the
        phantoms'.
    octaves
        1-Wasserstein distance of the spectra over the logarithm of the wavelength, in octaves. None
        = the data or the phantoms have no structure.
    coarser
        Mean wavelength of the data's structures over that of the phantoms'.
    noise
        Standard deviation of the noise in the data over the phantoms', at equal brightness.
    """

    recipe: str
    volumes: int
    histogram: float
    wasserstein: float
    brightness: float
    filled: float
    octaves: float | None
    coarser: float | None
    noise: float

    @property
    def unlikeness(self) -> float:
        """The largest of the four differences, each divided by its limit; above 1, they differ."""
        return float(
            max(
                np.log(_times(self.brightness)) / np.log(MOST_BRIGHTNESS),
                self.histogram / MOST_HISTOGRAM,
                np.inf if self.octaves is None else self.octaves / MOST_OCTAVES,
                np.log(_times(self.noise)) / np.log(MOST_NOISE),
            )
        )

    @property
    def differences(self) -> list[str]:
        """The differences, in words; empty = they are similar."""
        found = []
        if _times(self.brightness) > MOST_BRIGHTNESS:
            factor, word = _factor(self.brightness, "brighter", "dimmer")
            found.append(f"the brightest voxels of your data are {factor} {word}")
        elif self.histogram > MOST_HISTOGRAM:
            factor, word = _factor(self.filled, "larger", "smaller")
            found.append(
                f"bright structures fill a {factor} {word} share of your data"
                if _times(self.filled) > 1.5
                else "the shares of dark and bright voxels in your data are different"
            )
        if self.octaves is None or self.coarser is None:
            found.append("your data or the phantoms have no structure above the noise")
        elif self.octaves > MOST_OCTAVES:
            factor, word = _factor(self.coarser, "coarser", "finer")
            found.append(
                f"the structures in your data are {factor} {word}"
                if _times(self.coarser) > 2 ** (MOST_OCTAVES / 2)
                else "the structures in your data have a different distribution of sizes"
            )
        if _times(self.noise) > MOST_NOISE:
            factor, word = _factor(self.noise, "stronger", "weaker")
            found.append(f"the noise in your data is {factor} {word} at the same brightness")
        return found


def measure_likeness(sample: Images, *, store: str | Path, camera: Camera) -> dict[str, Any]:
    """Compare the phantoms of each recipe of a store with blocks of the data.

    Parameters
    ----------
    sample
        Blocks of the data (Z, Y, X) in counts; NaN = no data.
    store
        Zarr group with `image` (n, Z, Y, X) in counts, as `phantoms.stores` makes it.
    camera
        The channel's, resolved.

    Returns
    -------
    dict
        `camera` and `phantom_camera`; `recipes`: per recipe the fields of `Likeness` and its
        `differences`, the most similar first; `curves`: histogram and spectrum of the data and of
        each recipe.
    """
    group: Any = open_group(store)
    about = group.attrs.asdict()
    made = about["camera"]
    phantom_camera = Camera(made["offset"], made["gain"], made["read_noise"], made["bits"])
    voxel = tuple(about["voxel_size_um"])
    data = appearance_of(sample, camera=camera, voxel_size_um=voxel)
    found, curves = [], {"data": data.curves}
    for recipe in dict.fromkeys(about["recipes"]):
        chosen = [i for i, name in enumerate(about["recipes"]) if name == recipe]
        images = [np.asarray(group["image"][i]) for i in chosen]
        phantoms = appearance_of(images, camera=phantom_camera, voxel_size_um=voxel)
        found.append(compare(data, phantoms, recipe=recipe))
        curves[recipe] = phantoms.curves
    found.sort(key=lambda each: each.unlikeness)
    for each in found:
        log.info(
            "likeness: %s: %.3g (below 1: alike) %s",
            each.recipe,
            each.unlikeness,
            "; ".join(each.differences),
        )
    return {
        "camera": asdict(camera),
        "phantom_camera": asdict(phantom_camera),
        "recipes": [{**asdict(each), "differences": each.differences} for each in found],
        "curves": curves,
    }


def _times(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def _factor(ratio: float, above: str, below: str) -> tuple[str, str]:
    factor = _times(ratio)
    return f"{factor:.1f}×" if factor < 10 else f"{factor:.0f}×", above if ratio > 1 else below


def appearance_of(images: Images, *, camera: Camera, voxel_size_um: Triple) -> Appearance:
    """Measure the compared properties of images.

    Parameters
    ----------
    images
        (Z, Y, X), in counts; NaN = no data.
    camera
        The camera of the images.
    voxel_size_um
        Voxel size (Z, Y, X), in µm.

    Raises
    ------
    ValueError
        If the images have no voxel with data.
    """
    photons = [_photons(image, camera) for image in images]
    present = np.concatenate([p[np.isfinite(p)] for p in photons])
    if not len(present):
        raise ValueError("no voxels to compare")
    values = _stabilised(present)
    bright, filled = _signal(present)
    return Appearance(
        images=len(images),
        levels=np.quantile(values, QUANTILES),
        histogram=np.histogram(values, bins=80),
        bright=bright,
        filled=filled,
        spectrum=_spectrum([_stabilised(p) for p in photons], voxel_size_um),
        noise=_noise(photons),
    )


def compare(data: Appearance, phantoms: Appearance, *, recipe: str) -> Likeness:
    """Compare the phantoms of a recipe with the data; both have the same voxel size."""
    wasserstein = float(np.abs(data.levels - phantoms.levels).mean())
    both = (data.levels, phantoms.levels)
    dark = min(float(np.quantile(levels, 0.05)) for levels in both)
    heights = sum(float(np.clip(levels - dark, 0, None).mean()) for levels in both)
    octaves = coarser = None
    if data.spectrum is not None and phantoms.spectrum is not None:
        octaves, coarser = _spectral_distance(data.spectrum, phantoms.spectrum)
    return Likeness(
        recipe=recipe,
        volumes=phantoms.images,
        histogram=min(wasserstein / max(heights, 1e-6), 1.0),
        wasserstein=wasserstein,
        brightness=data.bright / phantoms.bright,
        filled=data.filled / phantoms.filled,
        octaves=octaves,
        coarser=coarser,
        noise=data.noise / phantoms.noise,
    )


def _photons(image: NDArray[np.generic], camera: Camera) -> NDArray[np.float32]:
    """Turn counts into photons whose variance is their mean; no data = NaN."""
    photons = (image.astype(np.float32) - np.float32(camera.dark_level)) / np.float32(camera.gain)
    absent = missing(image)
    if absent is not None:
        photons[absent] = np.nan
    return photons


def _stabilised(photons: NDArray[np.float32]) -> NDArray[np.float32]:
    return 2 * np.sqrt(np.maximum(photons, 0) + np.float32(3 / 8))


def _signal(photons: NDArray[np.float32]) -> tuple[float, float]:
    """Return the photons of the brightest voxels above the background, and the share filled."""
    background = float(np.quantile(photons, 0.05))
    bright = max(brightest_mean(photons) - background, 1e-3)
    level = background + max(0.1 * bright, 3 * max(background, 1.0) ** 0.5)
    return bright, max(float((photons > level).mean()), 1e-4)


def _spectrum(images: Sequence[NDArray[np.float32]], voxel_size_um: Triple) -> Spectrum | None:
    """Average the power of XY planes over rings of frequencies, above that of the noise.

    The power where the frequency is highest is taken as the noise's. The density is weighted by
    the frequency to the third power. The second power would give the power per octave, which large
    bright areas alone decide; with the third, edges and detail count as well.
    """
    step = max(voxel_size_um[1:])
    edges = np.geomspace(1 / 64, 1 / 2, 21)  # cycles per voxel
    power, count, samples = np.zeros((3, 20))
    for image in images:
        size = min(image.shape[1:])
        if size < SHORTEST_WINDOW or not np.isfinite(image).any():
            continue
        plane = np.nan_to_num(image, nan=float(np.nanmean(image)))
        window = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in plane.shape[1:]))
        plane = (plane - plane.mean(axis=(1, 2), keepdims=True)) * window.astype(np.float32)
        found = (np.abs(np.fft.rfft2(plane)) ** 2).mean(axis=0) / np.sum(window**2)
        frequency = np.hypot(
            np.fft.fftfreq(plane.shape[1])[:, None] * step / voxel_size_um[1],
            np.fft.rfftfreq(plane.shape[2]) * step / voxel_size_um[2],
        )
        ring = np.digitize(frequency.ravel(), edges) - 1
        inside = (ring >= 0) & (ring < 20)
        power += np.bincount(ring[inside], found.ravel()[inside], 20)
        modes = np.bincount(ring[inside], minlength=20)
        count += modes
        samples += modes * len(plane)
    if not count.sum():
        return None
    mean = power / np.maximum(count, 1)
    floor = mean[-2:].mean()
    centre = np.sqrt(edges[1:] * edges[:-1])
    # Everything is noise from the first ring that is not clearly above the floor.
    clear = mean > floor * (1.05 + 4 / np.sqrt(np.maximum(samples, 1)))
    clear = np.logical_and.accumulate(clear | (count == 0)) & (count > 0)
    light = np.where(clear, mean - floor, 0) * centre**3
    return None if not light.sum() > 0 else (centre / step, light / light.sum())


def _spectral_distance(ours: Spectrum, theirs: Spectrum) -> tuple[float, float]:
    """Return the 1-Wasserstein distance in octaves, and the ratio of the mean wavelengths."""
    octave = np.log2(ours[0])
    apart = np.abs(np.cumsum(ours[1] - theirs[1]))[:-1]
    shift = float(np.sum(octave * (theirs[1] - ours[1])))
    return float(np.sum(apart * np.diff(octave))), 2**shift


def _noise(images: Sequence[NDArray[np.float32]]) -> float:
    """Return the noise's standard deviation over √photons, the median over groups of brightness.

    It is that of second differences of the photons along Y and X; see `volumes.photon_transfer`.
    """
    means, squares = [], []
    for image in images:
        if min(image.shape[1:]) < 3:
            continue
        seen = uniform_filter(np.isfinite(image).astype(np.float32), FOOTPRINT) > 0.999
        seen[:, [0, -1]] = seen[:, :, [0, -1]] = False
        photons = np.nan_to_num(image)
        noise = photons
        for axis in (1, 2):
            noise = correlate1d(noise, DIFFERENCES[2], axis=axis)
        means.append(uniform_filter(photons, FOOTPRINT)[seen])
        squares.append(np.square(noise[seen]))
    level, square = np.concatenate(means), np.concatenate(squares)
    order = np.argsort(level)
    ratios = [
        square[part].mean(dtype=np.float64) / max(level[part].mean(dtype=np.float64), 0.1)
        for part in np.array_split(order, 10)
        if len(part)
    ]
    return max(float(np.median(ratios)), 1e-6) ** 0.5
