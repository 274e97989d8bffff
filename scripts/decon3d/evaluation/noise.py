"""The noise of a channel, measured in its images: variance against mean, and its correlation.

Deskewing, stitching and resampling average neighbouring voxels: the noise becomes smaller and
correlated, and a sum over a neighbourhood varies more than with white noise of the same variance.
Both are measured; see `volumes.photon_transfer`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import Triple
from decon3d.files import read_record, write_record
from decon3d.logs import log
from decon3d.volumes.camera import Camera, CameraRecord
from decon3d.volumes.correlated_noise import LAGS, noise_power
from decon3d.volumes.photon_transfer import measure_camera

FLOOR = 0.05
"""Smallest variance, relative to the best-known part of the law."""

Curve = tuple[float, ...]


@dataclass(frozen=True)
class Noise:
    """Gaussian noise of variance gain · counts + intercept, correlated over a few voxels.

    Attributes
    ----------
    gain
        Variance per count.
    intercept
        Variance at 0 counts, in counts²; negative where there is an offset without noise.
    floor
        Smallest variance, in counts².
    correlation
        Of neighbours 1 and 2 voxels away along Z, Y, X. That of a diagonal is the product.
    voxels
        Voxels that it was measured in.
    measured
        Its source; `camera`: the config's, since there are too few data.
    """

    gain: float
    intercept: float
    floor: float
    correlation: tuple[Curve, Curve, Curve]
    voxels: int
    measured: Literal["data", "camera"]

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
            power = noise_power(curve, size)
            spectrum = np.multiply.outer(spectrum, power) if axis else power
        white = np.fft.fftn(rng.standard_normal(shape))
        values = np.fft.ifftn(white * np.sqrt(np.maximum(spectrum, 0))).real
        sigma = float(np.sqrt(self.variance(np.array([counts]))[0]))
        return (counts + sigma * values / max(values.std(), 1e-9)).astype(np.float32)

    def save(
        self,
        path: str | Path,
        *,
        camera: CameraRecord | None = None,
        resolved: Camera | None = None,
    ) -> None:
        """Write it as JSON, with the measured and the resolved camera."""
        about = {"camera": asdict(camera or CameraRecord())}
        if resolved is not None:
            about["resolved"] = asdict(resolved)
        write_record(path, {**asdict(self), **about})


def load_noise(path: str | Path) -> Noise:
    """Read a file of `Noise.save`, without the camera."""
    values = read_record(path)
    for key in ("camera", "resolved"):
        values.pop(key, None)
    z, y, x = (tuple(curve) for curve in values.pop("correlation"))
    return Noise(**values, correlation=(z, y, x))


def measure_noise(sample: Sequence[NDArray[Any]], *, camera: Camera | None = None) -> Noise:
    """Measure the noise in images (Z, Y, X; counts; NaN = no data); see `noise_of`."""
    return noise_of(measure_camera(sample), camera=camera)


def noise_of(measured: CameraRecord, *, camera: Camera | None = None) -> Noise:
    """Return the noise that a camera record describes.

    Parameters
    ----------
    measured
        From `volumes.photon_transfer.measure_camera`.
    camera
        Defines the noise if there are too few data; None = as assumed in `volumes.camera`.

    Returns
    -------
    Noise
        The variance law is that of single voxels; it is constant if its dependence on the counts
        cannot be measured.
    """
    if not measured.curve:
        known = camera or Camera(offset=0.0)
        base = known.gain**2 * known.read_noise**2
        none: Curve = (0.0,) * LAGS
        return Noise(
            known.gain, base - known.gain * known.offset, max(base, 1e-6), (none,) * 3, 0, "camera"
        )
    _, variance, error = np.array(measured.curve).T
    middle = float(np.average(variance, weights=error**-2.0))
    gain, intercept = 0.0, middle
    if measured.gain is not None and measured.dark_level is not None:
        gain, intercept = measured.gain, -measured.gain * measured.dark_level
    z, y, x = measured.correlation
    noise = Noise(
        gain=gain,
        intercept=intercept,
        floor=FLOOR * middle,
        correlation=(z, y, x),
        voxels=measured.voxels,
        measured="data",
    )
    log.info(
        "noise: variance %.4g · counts %+.4g; correlation of neighbours %s (Z, Y, X)",
        gain,
        intercept,
        ", ".join(f"{curve[0]:.2g}" for curve in noise.correlation),
    )
    return noise
