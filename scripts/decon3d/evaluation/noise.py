"""The noise of a channel, measured in its images: variance against mean, and its correlation.

Deskewing, stitching and resampling average neighbouring voxels: the noise gets smaller and
correlated, so that a sum over a neighbourhood scatters more than white noise of the same variance
would. Both are measured, in what second differences leave of the images (see
`classical.photons.noise_law`), and undone: a second difference of correlated noise is too small.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d, maximum_filter, minimum_filter, uniform_filter

from decon3d.classical.photons import NEIGHBOURS, noise_law
from decon3d.errors import UserError
from decon3d.files import read_record, write_record
from decon3d.logs import log
from decon3d.restoration.blocks import Region, Triple, block_at, grid
from decon3d.restoration.sample import BLOCK
from decon3d.seeds import generator
from decon3d.settings import Camera
from decon3d.volumes.camera import CameraRecord
from decon3d.volumes.ingest import VolumeRecord
from decon3d.volumes.no_data import filled, missing, read_marked
from decon3d.volumes.photon_transfer import measure_camera

SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0]) / 6**0.5
AUTOCORRELATION = {0: 1.0, 1: -4 / 6, 2: 1 / 6}
"""Of a second difference of white noise, by lag."""
LAGS = 2
"""Lags (voxels) over which the noise may be correlated."""
SIGNIFICANT = 20.0
"""A correlation below this over the root of the number of voxels is taken as 0: three standard
errors, which the solution for two lags makes seven times as large as a plain correlation's."""
LEAST_CORRELATION = 0.03
"""Smaller ones are taken as 0: structure that second differences leave makes as much."""
DARK_PERCENTILE = 50
"""Voxels darker than this percentile of a block tell the correlation: least structure."""
OUTLIER = 5.0
FLOOR = 0.05
"""Smallest variance, relative to where the law is known best."""
CELLS = 12
"""Blocks of a channel in which the noise is measured."""

Curve = tuple[float, ...]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of variance gain · counts + intercept, correlated over a few voxels."""

    gain: float
    """Variance per count."""
    intercept: float
    """Variance at 0 counts, in counts²; negative where there is an offset without noise."""
    floor: float
    """Smallest variance, in counts²."""
    correlation: tuple[Curve, Curve, Curve]
    """Of neighbours 1 and 2 voxels away along Z, Y, X. That of a diagonal is the product."""
    voxels: int
    """Voxels that it was measured in."""
    measured: Literal["data", "camera"]
    """Where it comes from; `camera`: the config's, since the data are too few."""

    def variance(self, counts: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the variance of voxels with these expected counts, in counts²."""
        law = np.float32(self.gain) * counts + np.float32(self.intercept)
        return np.maximum(law, np.float32(self.floor)).astype(np.float32, copy=False)

    def excess(self, kernels: Sequence[NDArray[np.floating]]) -> float:
        """Return the variance after a separable filter over that of white noise.

        Parameters
        ----------
        kernels
            Of Z, Y, X. Var(k ⊗ n) = Σ_d ρ(d) (k ⋆ k)(d) σ² for noise n of variance σ² and
            correlation ρ; the brightness is taken as even over the kernel.
        """
        result = 1.0
        for curve, kernel in zip(self.correlation, kernels, strict=True):
            own = np.correlate(kernel, kernel, "full")[len(kernel) - 1 :]
            result *= 1 + sum(
                2 * rho * own[lag] / own[0] for lag, rho in enumerate(curve, 1) if lag < len(own)
            )
        return max(float(result), 0.1)

    def draw(
        self, shape: Triple, *, counts: float, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        """Draw noise around even counts (Z, Y, X), float32, in counts."""
        spectrum = np.ones(1)
        for axis, (size, curve) in enumerate(zip(shape, self.correlation, strict=True)):
            frequency = np.fft.fftfreq(size)
            power = 1 + sum(
                2 * r * np.cos(2 * np.pi * k * frequency) for k, r in enumerate(curve, 1)
            )
            spectrum = np.multiply.outer(spectrum, power) if axis else np.asarray(power)
        white = np.fft.fftn(rng.standard_normal(shape))
        values = np.fft.ifftn(white * np.sqrt(np.maximum(spectrum, 0))).real
        sigma = float(np.sqrt(self.variance(np.array([counts]))[0]))
        return (counts + sigma * values / max(values.std(), 1e-9)).astype(np.float32)

    def save(self, path: str | Path, *, camera: CameraRecord | None = None) -> None:
        """Write it as JSON, with what the data say of the camera; see `volumes.camera`."""
        write_record(path, {**asdict(self), "camera": asdict(camera or CameraRecord())})


def load_noise(path: str | Path) -> Noise:
    """Read what `Noise.save` wrote, without the camera."""
    values = read_record(path)
    values.pop("camera", None)
    z, y, x = (tuple(curve) for curve in values.pop("correlation"))
    return Noise(**values, correlation=(z, y, x))


def measure_noise(sample: Sequence[NDArray[Any]], *, camera: Camera | None = None) -> Noise:
    """Measure the noise in images.

    Parameters
    ----------
    sample
        Blocks of counts (Z, Y, X); NaN = no data.
    camera
        Tells the noise where the sample is too small; what it leaves open is taken as 1.

    Returns
    -------
    Noise
        The variance law is that of single voxels; a law that falls with the counts is taken as
        constant. Places of one value are left out: no camera gives them.
    """
    sample = [_without_even_places(block) for block in sample]
    try:
        law = noise_law(sample)
    except UserError:
        known = camera or Camera()
        gain, read = known.gain or 1.0, 1.0 if known.read_noise is None else known.read_noise
        base = gain**2 * read**2
        none: Curve = (0.0,) * LAGS
        return Noise(
            gain, base - gain * (known.offset or 0.0), max(base, 1e-6), (none,) * 3, 0, "camera"
        )
    correlation, voxels = _correlation(sample)
    shrink = prod(_kept(curve) for curve in correlation[1:])
    gain, intercept = (law.gain, law.intercept) if law.gain > 0 else (0.0, law.variance)
    noise = Noise(
        gain=gain / shrink, intercept=intercept / shrink, floor=FLOOR * law.variance / shrink,
        correlation=correlation, voxels=voxels, measured="data",
    )  # fmt: skip
    log.info("noise: %s", noise)
    return noise


def _without_even_places(block: NDArray[Any]) -> NDArray[Any]:
    """Make boxes of 3 × 5 × 5 voxels of one value NaN: fill, though not known as such.

    Where photons are so few that such boxes are dark, the others still have the variance of their
    mean.
    """
    even = maximum_filter(block, NEIGHBOURS) == minimum_filter(block, NEIGHBOURS)
    if not even.any():
        return block
    result = block.astype(np.float32)
    result[np.asarray(maximum_filter(even, NEIGHBOURS))] = np.nan
    return result


def _kept(curve: Curve) -> float:
    """Return the variance of a second difference of correlated noise, over that of white noise."""
    return 1 + sum(2 * rho * AUTOCORRELATION[lag] for lag, rho in enumerate(curve, 1))


def _correlation(sample: Sequence[NDArray[Any]]) -> tuple[tuple[Curve, Curve, Curve], int]:
    """Measure the correlation along Z, Y, X, in the darker half of each block."""
    most = LAGS + 2  # where white noise leaves nothing, correlated noise still leaves something
    products, pairs = np.zeros((3, most + 1)), np.zeros((3, most + 1))
    for block in sample:
        if min(block.shape[1:]) < 2 * most:
            continue
        values = filled(block, 0.0).astype(np.float32)
        absent = missing(block)
        used = np.ones(block.shape, bool)
        if absent is not None:
            used = ~np.asarray(maximum_filter(absent, NEIGHBOURS))
        used[:, [0, -1]] = used[:, :, [0, -1]] = False
        if not used.any():
            continue
        noise = correlate1d(
            correlate1d(values, SECOND_DIFFERENCE, axis=1), SECOND_DIFFERENCE, axis=2
        )
        level = uniform_filter(values, NEIGHBOURS)
        used &= level <= np.percentile(level[used], DARK_PERCENTILE)
        limit = OUTLIER * np.sqrt(np.mean(np.square(noise[used]), dtype=np.float64))
        noise = np.where(used, np.clip(noise, -limit, limit), np.float32(0))
        for axis in range(3):
            line, seen = np.moveaxis(noise, axis, 0), np.moveaxis(used, axis, 0)
            for lag in range(min(most + 1, len(line))):
                cut = len(line) - lag
                products[axis, lag] += np.vdot(line[:cut], line[lag:])
                pairs[axis, lag] += np.count_nonzero(seen[:cut] & seen[lag:])
    voxels = int(pairs[0, 0])
    if not products[0, 0] > 0:
        return ((0.0,) * LAGS,) * 3, voxels
    ratios = products / np.maximum(pairs, 1) / (products[:, :1] / pairs[:, :1])
    least = max(SIGNIFICANT / voxels**0.5, LEAST_CORRELATION)
    z = _significant([float(r) for r in ratios[0, 1 : LAGS + 1]], least)
    y, x = (_significant(_solve(ratios[axis], LAGS), least) for axis in (1, 2))
    y, x = (
        _significant([*_solve(ratios[axis], 1), 0.0], least) if curve[1] == 0 else curve
        for axis, curve in ((1, y), (2, x))
    )
    return (z, y, x), voxels


def _significant(curve: Sequence[float], least: float) -> Curve:
    return tuple(float(rho) if abs(rho) >= least else 0.0 for rho in curve)


def _solve(ratio: NDArray[np.float64], lags: int) -> list[float]:
    """Find the correlation whose second difference has the autocorrelation `ratio` (by lag)."""

    def own(lag: int) -> float:
        return AUTOCORRELATION.get(abs(lag), 0.0)

    rows = [
        [own(m - k) + own(m + k) - ratio[m] * 2 * own(k) for k in range(1, lags + 1)]
        for m in range(1, len(ratio))
    ]
    right = [ratio[m] * own(0) - own(m) for m in range(1, len(ratio))]
    return [float(rho) for rho in np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]]


def draw_cells(shape: Triple, *, count: int, rng: np.random.Generator) -> list[Region]:
    """Draw cells of at most 32 × 96 × 96 voxels (Z, Y, X) of a volume, all if there are no more."""
    total = prod(grid(shape, BLOCK))
    chosen = sorted(rng.permutation(total)[:count].tolist())
    return [block_at(i, shape=shape, block=BLOCK, halo=(0, 0, 0)).write for i in chosen]


def channel_noise(
    records: Sequence[VolumeRecord],
    *,
    channel: int,
    times: Sequence[int] | None,
    camera: Camera,
    seed: int,
) -> tuple[Noise, CameraRecord]:
    """Measure the noise and the camera of one channel in blocks of a dataset.

    Blocks are drawn from all volumes and times.

    Parameters
    ----------
    records
        The ingested raw volumes.
    channel
        Channel index.
    times
        Time points to draw from; None = all.
    camera
        The dataset's; see `measure_noise`.
    seed
        The config's seed.
    """
    rng = generator(seed, "noise", channel)
    places = [
        (record, time)
        for record in records
        for time in (range(record.shape[0]) if times is None else times)
    ]
    chosen = [places[i] for i in rng.permutation(len(places))[:CELLS]]
    sample = []
    for record, time in chosen:
        z, y, x = record.shape[2:]
        volume = record.open()
        for region in draw_cells((z, y, x), count=-(-CELLS // len(chosen)), rng=rng):
            sample.append(read_marked(volume, time, channel, region, record.fill(channel)))
    levels = {record.saturation for record in records}
    found = measure_camera(sample, saturation=levels.pop() if len(levels) == 1 else None)
    known = records[0].calibration
    if known is not None:
        found = replace(found, frames=(known["level"], known["gain"], known["read_noise_counts"]))
    return measure_noise(sample, camera=camera), found
