"""From dark and flat frames to the maps of a camera's pixels.

Offset and read noise: mean and standard deviation of each pixel in the dark. Gain, by photon
transfer (J. R. Janesick, Photon Transfer, SPIE Press 2007): the variance of the photon noise over
the mean signal. For a single pixel, the relative error of that ratio is the square root of 2 /
frames, so it is averaged over neighbourhoods. Inside these, the flats' mean gives the differences
between pixels. Uneven illumination of the flats is wider than a neighbourhood and does not enter
the gain.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from decon3d.errors import UserError
from decon3d.volumes.camera_maps import NOISY, Calibration, CameraMaps, Mask
from decon3d.volumes.reader import open_volume

Array = NDArray[np.float64]

LEAST_FRAMES = 10
LOCAL_ERROR = 0.005
"""Relative standard error of the gain of a neighbourhood, which sets its size."""
SIZES = (15, 129)
"""Pixels across the smallest and largest neighbourhood."""
VARIES = 2.0
"""Ratio of the scatter of the neighbourhoods' gains to its standard error above which they
differ."""
FAR = 10.0
"""Robust standard deviations from the median at which a pixel is bad."""
DEGREE = 4
"""Of the polynomial that is fitted to the illumination of the flats."""
LOUD = 6.0
"""Read noise, relative to the median, above which a pixel is bad."""
DEAD = (0.5, 2.0)
"""Response, relative to the neighbourhood, outside which a pixel is bad."""
MOST_BAD = 0.1
"""Share of bad pixels above which the frames are refused."""
CLIPPED = 0.01
"""Share of clipped counts above which the frames get a warning."""
BRIGHT = 10.0
"""Signal of the flats over the read noise, in counts, below which they are too dim."""


@dataclass(frozen=True)
class _Moments:
    """Mean and variance (Y X) of some frames, after each was brought to the mean brightness.

    Attributes
    ----------
    levels
        Mean counts of each frame.
    zeros
        Share of counts that are 0 (or less).
    full
        Share of counts that have the largest value of the type or of the camera's bits.
    where
        The first file.
    """

    mean: Array
    variance: Array
    frames: int
    levels: Array
    zeros: float
    full: float
    where: str


def measure_maps(
    dark: Sequence[str], flat: Sequence[str] = (), *, bits: int | None = None, key: str = "camera"
) -> CameraMaps:
    """Measure the maps of a camera.

    Parameters
    ----------
    dark
        Files of frames without light, as the camera takes them with the exposure of the data: each
        plane of each file is a frame.
    flat
        Files of frames of even, constant light; none = the gain is not known.
    bits
        Of the converter; None = of the files' type.
    key
        Config key of the camera, for messages.

    Raises
    ------
    UserError
        If there are too few frames, they differ in shape, show no noise, or are too dim or
        overexposed.
    """
    shadow = _dark_moments(dark, f"{key}.dark", bits)
    warnings = []
    if shadow.zeros > CLIPPED:
        warnings.append(
            f"{shadow.zeros:.1%} of the counts of the dark frames are 0, so the noise is clipped "
            "and offset and read noise are biased; raise the camera's offset"
        )
    read_variance = shadow.variance
    drift = float(shadow.levels.std())
    loud = float(np.median(np.sqrt(read_variance)))
    if drift > max(loud, 1.0):
        warnings.append(
            f"the mean of the dark frames drifts by {drift:.3g} counts (standard deviation), more "
            f"than the read noise of {loud:.3g}, so the volumes' offset may differ; record dark "
            "frames together with the volumes"
        )
    floor = np.sqrt(np.median(read_variance) / shadow.frames)
    bad = _far(shadow.mean, floor) | (np.sqrt(read_variance) > LOUD * max(loud, 1e-12))
    gain = np.ones(shadow.mean.shape)
    frames = 0
    if flat:
        light = _flat_moments(flat, f"{key}.flat", bits, shadow, bad)
        frames = light.frames
        gain, dead = _gain(light.mean, light.variance - read_variance, bad, frames)
        bad |= dead
    share = float(bad.mean())
    if share > MOST_BAD:
        raise UserError(
            f"{key}: {share:.0%} of the camera's pixels are bad in these frames ({dark[0]}); check "
            "that the dark frames show no light, that the flat frames show no structure, and that "
            "all frames were recorded with the camera settings of the data"
        )
    good = ~bad
    gain[bad] = gain[good].mean()
    about = Calibration(
        offset=float(shadow.mean[good].mean()),
        gain=float(gain[good].mean()) if flat else None,
        read_noise_counts=float(np.sqrt(read_variance[good].mean())),
        offset_spread=float(shadow.mean[good].std()),
        gain_spread=float(gain[good].std() / gain[good].mean()) if flat else None,
        noisy_pixels=int((np.sqrt(read_variance[good]) > NOISY * loud).sum()),
        bad_pixels=int(bad.sum()),
        shape=(shadow.mean.shape[0], shadow.mean.shape[1]),
        dark_frames=shadow.frames,
        flat_frames=frames,
        warnings=tuple(warnings),
    )
    return CameraMaps(
        offset=shadow.mean.astype(np.float32),
        gain=gain.astype(np.float32),
        read_noise=np.sqrt(read_variance).astype(np.float32),
        bad=bad,
        about=about,
    )


def frames_of(
    files: Sequence[str], key: str, of_dark: tuple[int, ...] | None = None
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Read every plane (Y X) of some files, with the file's name.

    Parameters
    ----------
    files, key
        The frames, and their config key for messages.
    of_dark
        Pixels (Y, X) of the dark frames, for flat ones.

    Raises
    ------
    UserError
        If a file cannot be read, or its planes have another shape than the dark ones or the first.
    """
    shape, other = of_dark, "the dark ones have"
    for path in files:
        volume = open_volume(path, stack=False)
        times, channels, planes, *plane = volume.shape
        if shape is None:
            shape, other = tuple(plane), f"those of {path} have"
        if tuple(plane) != shape:
            raise UserError(
                f"{key}: the frames of {path} have {plane[0]} × {plane[1]} pixels (Y, X), but "
                f"{other} {shape[0]} × {shape[1]}; give frames of one region of the camera"
            )
        for time in range(times):
            for channel in range(channels):
                for z in range(planes):
                    region = (slice(z, z + 1), slice(None), slice(None))
                    yield path, volume.read(time, channel, region)[0]


def _dark_moments(files: Sequence[str], key: str, bits: int | None) -> _Moments:
    found = _moments(files, key, bits, None, None)
    if not np.median(found.variance) > 0:
        raise UserError(
            f"{key}: most pixels of {found.where} have the same counts in all {found.frames} "
            "frames; give single frames, not copies or averages"
        )
    return found


def _flat_moments(
    files: Sequence[str], key: str, bits: int | None, shadow: _Moments, bad: Mask
) -> _Moments:
    found = _moments(files, key, bits, shadow.mean, ~bad)
    signal = float(np.median(found.mean))
    noise = float(np.sqrt(np.median(shadow.variance)))
    if found.full > CLIPPED:
        raise UserError(
            f"{key}: {found.full:.1%} of the counts of {found.where} are saturated; record flat "
            "frames at about half of the camera's range"
        )
    if signal < BRIGHT * noise:
        raise UserError(
            f"{key}: the frames of {found.where} are {signal:.3g} counts brighter than the dark "
            f"ones, less than {BRIGHT:g} times their noise of {noise:.3g}; record flat frames at "
            "about half of the camera's range"
        )
    if not np.median(found.variance - shadow.variance) > 0:
        raise UserError(
            f"{key}: the frames of {found.where} have no more noise than the dark ones; give "
            "single frames, not copies or averages"
        )
    return found


def _moments(
    files: Sequence[str], key: str, bits: int | None, offset: Array | None, good: Mask | None
) -> _Moments:
    """Stream over frames; remove the drift that all pixels of a frame share.

    In dark frames that is a number of counts; in flat ones, for which `offset` is given, a factor.
    """
    total: Array | None = None
    squares = first = np.zeros(0)
    levels: list[float] = []
    zeros = full = 0.0
    for path, frame in frames_of(files, key, None if offset is None else offset.shape):
        values = frame.astype(np.float64)
        if not np.isfinite(values).all():
            raise UserError(f"{key}: {path} holds NaN or infinite values; export it again")
        zeros += float((values <= 0).mean())
        if frame.dtype.kind in "ui":
            highest = int(frame.max())
            power = highest > 254 and highest & (highest + 1) == 0  # as 4095, where bits is None
            top = 2**bits - 1 if bits else highest if power else np.iinfo(frame.dtype).max
            full += float((values >= top).mean())
        if offset is None:
            level = float(values.mean())
            values -= level - (levels[0] if levels else level)
        else:
            values -= offset
            level = float(values[good].mean())
            if level <= 0:
                raise UserError(
                    f"{key}: a frame of {path} is darker than the dark frames; check which "
                    "files are dark and which flat"
                )
            values *= (levels[0] if levels else level) / level
        levels.append(level)
        if total is None:
            first = values
            total, squares = np.zeros_like(values), np.zeros_like(values)
        values = values - first  # small numbers: the squares keep their digits
        total += values
        squares += values * values
    count = len(levels)
    if total is None or count < LEAST_FRAMES:
        raise UserError(
            f"{key}: {count} frame{'s' * (count != 1)} in {len(files)} "
            f"file{'s' * (len(files) != 1)}; at least {LEAST_FRAMES} are needed, 100 are better"
        )
    mean = first + total / count
    variance = np.maximum(squares - total * total / count, 0) / (count - 1)
    average = float(np.mean(levels))  # the frames were brought to the level of the first one
    if offset is None:
        mean += average - levels[0]
    else:
        mean, variance = mean * average / levels[0], variance * (average / levels[0]) ** 2
    return _Moments(mean, variance, count, np.array(levels), zeros / count, full / count, files[0])


def _gain(signal: Array, photon_variance: Array, bad: Mask, frames: int) -> tuple[Array, Mask]:
    """Return the gain of each pixel, and which pixels do not respond as their neighbours do."""
    error = np.sqrt(2 / (frames - 1))
    size = int(np.clip(np.ceil(error / LOCAL_ERROR), *SIZES)) | 1
    flat = signal / _illumination(signal, ~bad)  # a slope would bias pixels next to the borders
    response = flat / _smooth(flat, ~bad, size)
    dead = (response < DEAD[0]) | (response > DEAD[1]) | _far(response, error=1e-4)
    good = ~(bad | dead)
    if not good.any():
        return np.ones_like(signal), dead
    mean = photon_variance[good].sum() / signal[good].sum()
    local = _smooth(photon_variance, good, size) / _smooth(signal, good, size)
    across = min(size, *signal.shape)
    if local[good].std() / mean < VARIES * error / across:
        local = np.full_like(signal, mean)
    return np.where(good, local * flat / _smooth(flat, good, size), mean), dead


def _illumination(signal: Array, good: Mask) -> Array:
    """Fit a polynomial of degree `DEGREE` in Y and X to the good pixels of the flats' mean."""
    step = [max(1, n // 128) for n in signal.shape]
    some = (slice(None, None, step[0]), slice(None, None, step[1]))
    y, x = (np.linspace(-1, 1, n) for n in signal.shape)
    vander = np.polynomial.legendre.legvander
    powers = [(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]
    along = vander(y, DEGREE), vander(x, DEGREE)
    terms = np.stack([np.outer(along[0][:, i], along[1][:, j]) for i, j in powers], axis=-1)
    chosen = good[some]
    fit = np.linalg.lstsq(terms[some][chosen], signal[some][chosen], rcond=None)[0]
    light: Array = terms @ fit
    return np.maximum(light, 1e-3 * float(signal[good].mean()))


def _smooth(values: Array, good: Mask, size: int) -> Array:
    """Average good pixels over a neighbourhood."""
    weight = uniform_filter(good.astype(np.float64), size, mode="reflect")
    total = uniform_filter(np.where(good, values, 0), size, mode="reflect")
    return np.maximum(total / np.maximum(weight, 1e-6), 1e-12)


def _far(values: Array, error: float) -> Mask:
    """Mark values far from the median, in robust standard deviations."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    return np.asarray(np.abs(values - middle) > FAR * max(float(spread), float(error)))
