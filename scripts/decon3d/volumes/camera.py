"""A channel's camera parameters: from the config, else from the data, else assumed.

counts = gain · (photons + N(0, read_noise²)) + offset. The variance of the counts is a line over
their mean, gain · (counts - dark_level), with dark_level = offset - gain · read_noise²: the line
gives the gain and the dark level. Noise models and the splitting of photons need no more. Only dark
frames separate the offset from the read noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from decon3d.files import read_record
from decon3d.volumes.sections import CameraSection

Interval = tuple[float, float]
Source = Literal["config", "frames", "data", "assumed"]

ASSUMED_GAIN = 1.0
"""Counts per photon, if neither the config nor the data give the gain."""
ASSUMED_READ_NOISE = 1.0
"""Largest assumed read noise in photons, if it cannot be separated from the offset."""
ASSUMED_OFFSET = 100.0
"""Counts, where there are no data."""
GAIN_WIDTH = 0.4
"""Widest 95 % interval of a usable gain, from its middle, relative to it."""

GAINS = (1e-3, 1e4, 8000)
"""Counts per photon that are tried: first, last, number."""
BRIGHT = 5.0
"""Photons, relative to the variance of an assumed read noise, above which that noise matters
little."""


@dataclass(frozen=True)
class CameraRecord:
    """Measurements of one channel's camera in its volumes; counts, axes Z Y X.

    Attributes
    ----------
    gain
        Slope of the variance against the mean, in counts per photon; None = not measurable.
    gain_interval
        95 % confidence interval of `gain`, in counts per photon.
    dark_level
        Counts at which the variance is 0, by the same line; None = not measurable.
    dark_level_interval
        95 % confidence interval of `dark_level`, in counts.
    plateau
        Counts of the darkest places: offset and background light.
    curve
        One point for each group of voxels of similar brightness: mean counts, noise variance in
        counts², standard error of that variance.
    correlation
        Correlation of the noise of neighbours 1 and 2 voxels away along Z, Y, X; the variances
        are corrected for it.
    bright
        Counts above the plateau of the brightest 0.1 % of a block's voxels: 10th and 90th
        percentile over the blocks with signal; None = no block has any.
    blocks
        Blocks that were read.
    voxels
        Voxels in which the correlation was measured.
    bits
        Bits that the counts need; None = they are not integers.
    saturation
        Counts at which a voxel is saturated.
    frames
        From the camera's dark and flat frames: offset in counts, gain in counts per photon
        (None = there were no flat ones), read noise in counts. They take precedence over the
        data.
    """

    gain: float | None = None
    gain_interval: Interval | None = None
    dark_level: float | None = None
    dark_level_interval: Interval | None = None
    plateau: float | None = None
    curve: tuple[tuple[float, float, float], ...] = ()
    correlation: tuple[tuple[float, ...], ...] = ((0.0, 0.0),) * 3
    bright: Interval | None = None
    blocks: int = 0
    voxels: int = 0
    bits: int | None = None
    saturation: float | None = None
    frames: tuple[float, float | None, float] | None = None


@dataclass(frozen=True)
class Camera:
    """A camera's parameters: known, measured or assumed.

    Attributes
    ----------
    offset
        Counts of a dark image.
    gain
        Counts per photon.
    read_noise
        Standard deviation of the read noise, in photons.
    bits
        Images are whole counts from 0 to 2^bits - 1; None = neither rounded nor clipped.
    assumed
        Assumed parameters, in sentences for the report.
    """

    offset: float = ASSUMED_OFFSET
    gain: float = ASSUMED_GAIN
    read_noise: float = ASSUMED_READ_NOISE
    bits: int | None = None
    gain_from: Source = "config"
    offset_from: Source = "config"
    assumed: tuple[str, ...] = ()

    @property
    def known_offset(self) -> float | None:
        """The config's offset, for normalisation and fill; None if the config has none."""
        return self.offset if self.offset_from == "config" else None

    @property
    def dark_level(self) -> float:
        """Counts of a Poisson variable of mean 0: where the noise variance would be 0."""
        return self.offset - self.gain * self.read_noise**2


@dataclass(frozen=True)
class Dose:
    """Light of a channel, in photons per voxel.

    Attributes
    ----------
    photons
        Above the background, of the brightest 0.1 % of a block's voxels: 10th and 90th
        percentile over the blocks with signal; None = no block has any.
    background_photons
        Photons per voxel of the darkest places.
    """

    photons: Interval | None
    background_photons: float


def resolve_camera(configured: CameraSection, measured: CameraRecord | None) -> Camera:
    """Fill the config's null values from the data, else by assumption.

    Parameters
    ----------
    configured
        The dataset's camera, as the config has it. Its numbers are kept.
    measured
        Measurements in the data; None = there are no data.

    Returns
    -------
    Camera
        `assumed` lists the parameters that come from neither, in sentences.
    """
    measured = measured or CameraRecord()
    offset, gain, read = configured.offset, configured.gain, configured.read_noise
    gain_from: Source = "config"
    offset_from: Source = "config"
    if measured.frames is not None:
        level, slope, noise = measured.frames
        if offset is None:
            offset, offset_from = level, "frames"
        if gain is None and slope is not None:
            gain, gain_from = slope, "frames"
        divisor = measured.gain if gain is None else gain
        read = noise / divisor if read is None and divisor is not None else read
    if offset is not None and gain is not None and read is not None:
        return Camera(offset, gain, read, configured.bits, gain_from, offset_from)
    assumed = []
    if gain is None:
        found = _gain_of(measured, offset, read)
        gain, gain_from = (ASSUMED_GAIN, "assumed") if found is None else (found, "data")
        if found is None:
            assumed.append(
                f"camera.gain is not known from these data; assumed {ASSUMED_GAIN:g} count per "
                "photon"
            )
    dark = measured.dark_level if gain == measured.gain else _dark_level(measured.curve, gain)
    if offset is not None:
        read, words = _read_noise(measured, offset, read, gain, dark)
        return Camera(
            offset, gain, read, configured.bits, gain_from, offset_from, (*assumed, *words)
        )
    if dark is None:
        read = ASSUMED_READ_NOISE if read is None else read
        offset = ASSUMED_OFFSET
        assumed.append(f"camera.offset is not known from these data; assumed {offset:g} counts")
        return Camera(offset, gain, read, configured.bits, gain_from, "assumed", tuple(assumed))
    if read is None:
        light = dark if measured.plateau is None else measured.plateau
        read = min(ASSUMED_READ_NOISE, (max(light - dark, 0.0) / gain) ** 0.5)
        unit = "photon" if read == 1 else "photons"
        assumed.append(
            "camera.offset and camera.read_noise cannot be separated without dark frames; assumed "
            f"a read noise of {read:.2g} {unit} and so an offset of {dark + gain * read**2:.0f} "
            "counts"
        )
    offset = dark + gain * read**2
    return Camera(offset, gain, read, configured.bits, gain_from, "data", tuple(assumed))


def _read_noise(
    measured: CameraRecord, offset: float, read: float | None, gain: float, dark: float | None
) -> tuple[float, list[str]]:
    """Find the read noise for a known offset, with the assumptions made."""
    if read is not None:
        return read, []
    if dark is None:
        return ASSUMED_READ_NOISE, [
            f"camera.read_noise is not known from these data; assumed {ASSUMED_READ_NOISE:g} photon"
        ]
    interval = measured.dark_level_interval
    if interval is not None and interval[0] > offset:
        return 0.0, [
            f"camera.offset is {offset:g} counts, but the noise of these data vanishes at "
            f"{interval[0]:.5g} to {interval[1]:.5g} counts; assumed no read noise; check the "
            "offset"
        ]
    return float((max(offset - dark, 0.0) / gain) ** 0.5), []


def _gain_of(measured: CameraRecord, offset: float | None, read: float | None) -> float | None:
    """Fit the gain to the measured curve, for a known offset; None = not measurable."""
    if offset is None or not measured.curve or (read is None and measured.gain is not None):
        return measured.gain
    mean, variance, error = np.array(measured.curve).T
    noise = ASSUMED_READ_NOISE if read is None else read
    gains = np.geomspace(*GAINS)[:, None]
    misfit = np.square((variance - gains * (mean - offset) - np.square(gains * noise)) / error)
    gain = float(gains[int(np.argmin(misfit.sum(1))), 0])
    # An assumed read noise is good enough only where it matters little.
    bright = (mean.max() - offset) / gain > BRIGHT * noise**2
    return gain if read is not None or bright else None


def _dark_level(curve: Sequence[tuple[float, float, float]], gain: float) -> float | None:
    """Fit the counts without noise to the measured curve, for a known gain."""
    if not curve:
        return None
    mean, variance, error = np.array(curve).T
    return float(np.average(mean - variance / gain, weights=error**-2.0))


def dose_of(measured: CameraRecord, camera: Camera) -> Dose:
    """Return a channel's light in photons, by its resolved camera."""
    plateau = camera.offset if measured.plateau is None else measured.plateau
    bright = measured.bright and (
        measured.bright[0] / camera.gain,
        measured.bright[1] / camera.gain,
    )
    return Dose(bright, max((plateau - camera.offset) / camera.gain, 0.0))


def load_camera(path: str | Path | None) -> CameraRecord | None:
    """Read a channel's camera from its record `results/{dataset}/noise/{channel}.json`, if any."""
    return None if path is None else record_of(read_record(path)["camera"])


def resolved_camera(
    configured: Mapping[str, Any] | CameraSection, noise: str | Path | None = None
) -> Camera:
    """Resolve the camera of a rule's parameters with the channel's record, if there is one.

    Parameters
    ----------
    configured
        The section `camera` of a dataset, or its plain values.
    noise
        `results/{dataset}/noise/{channel}.json`; None = nothing is measured.
    """
    return resolve_camera(CameraSection.model_validate(configured), load_camera(noise))


def record_of(values: dict[str, Any]) -> CameraRecord:
    """Make a record from parsed JSON."""
    pairs = ("gain_interval", "dark_level_interval", "bright", "frames")
    return CameraRecord(
        **{
            **values,
            **{key: values.get(key) and tuple(values[key]) for key in pairs},
            "curve": tuple(tuple(point) for point in values["curve"]),
            "correlation": tuple(tuple(axis) for axis in values["correlation"]),
        }
    )
