"""A camera's maps: offset, gain and read noise of each pixel, and correction of counts by them.

corrected = (counts - offset map) · mean gain / gain map + level: one offset and one gain for the
whole image, as noise models assume. Bad pixels are replaced by the median of their good neighbours.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import DamagedError, reason
from decon3d.files import file_digest, read_record, replacing, write_record

if TYPE_CHECKING:
    from decon3d.volumes.volume import Volume

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Region = tuple[slice, slice, slice]

REACH = 2
"""Pixels around a bad one in which good neighbours are looked for: 3 × 3, or else 5 × 5."""
NOISY = 3.0
"""Read noise, relative to the median, above which a pixel is counted as noisy."""
_ARRAYS = ("offset", "gain", "read_noise", "bad")


@dataclass(frozen=True)
class Calibration:
    """A camera's calibration: means over its maps.

    Attributes
    ----------
    offset
        Mean over the good pixels, in counts.
    gain
        Mean, in counts per photon; None = there were no flat frames.
    read_noise_counts
        Root mean square, in counts.
    offset_spread
        Standard deviation from pixel to pixel, in counts.
    gain_spread
        Standard deviation from pixel to pixel, relative to the mean.
    noisy_pixels
        With more than `NOISY` times the median read noise; they are used.
    bad_pixels
        Replaced by the median of their good neighbours.
    shape
        Pixels (Y, X).
    warnings
        Warnings about the frames, in sentences for the report.
    digest
        Hash of the file with the maps.
    """

    offset: float
    gain: float | None
    read_noise_counts: float
    offset_spread: float
    gain_spread: float | None
    noisy_pixels: int
    bad_pixels: int
    shape: tuple[int, int]
    dark_frames: int
    flat_frames: int
    warnings: tuple[str, ...] = ()
    digest: str = ""

    @property
    def read_noise(self) -> float | None:
        """Root mean square, in photons; None = the gain is not known."""
        return None if self.gain is None else self.read_noise_counts / self.gain


@dataclass(frozen=True)
class CameraMaps:
    """Maps of a camera's pixels, axes Y X.

    Attributes
    ----------
    offset
        Counts of a dark image.
    gain
        Counts per photon; 1 everywhere where there were no flat frames.
    read_noise
        Standard deviation in the dark, in counts.
    bad
        Pixels that are excluded.
    """

    offset: Map
    gain: Map
    read_noise: Map
    bad: Mask
    about: Calibration


def save_maps(path: str | Path, maps: CameraMaps) -> None:
    """Write the maps as `.npz` and the calibration as JSON beside it."""
    arrays = Path(path).with_suffix(".npz")
    with replacing(arrays, ending=".npz") as temporary:
        np.savez(temporary, **{name: getattr(maps, name) for name in _ARRAYS})
    write_record(path, {**asdict(maps.about), "digest": file_digest(arrays)})


def load_maps(path: str | Path) -> CameraMaps:
    """Read what `save_maps` wrote.

    Raises
    ------
    DamagedError
        If a file is missing or damaged, or they do not belong together.
    """
    arrays = Path(path).with_suffix(".npz")
    values = read_record(path, beside=[arrays])
    about = Calibration(
        **{**values, "shape": tuple(values["shape"]), "warnings": tuple(values["warnings"])}
    )
    if not arrays.is_file():
        raise DamagedError(arrays, "is missing", files=[path])
    if file_digest(arrays) != about.digest:
        raise DamagedError(arrays, "was changed after it was written", files=[path])
    try:
        with np.load(arrays) as stored:
            found = {name: stored[name] for name in _ARRAYS}
    except Exception as error:  # of zipfile, zlib or numpy
        raise DamagedError(arrays, f"cannot be read: {reason(error)}", files=[path]) from None
    return CameraMaps(**found, about=about)


@dataclass(frozen=True)
class Correction:
    """Corrects the pixels of a volume for their offset and gain as it is read.

    Parameters
    ----------
    maps
        Of the camera; the volume's planes have their shape.
    level
        Counts of a dark image afterwards.
    saturation
        Counts of the raw volume at and above which a voxel is saturated; None = none is.
    """

    maps: CameraMaps
    level: float
    saturation: float | None = None

    @cached_property
    def _scale(self) -> Map:
        good = ~self.maps.bad
        mean = float(self.maps.gain[good].mean(dtype=np.float64))
        return np.where(good, mean / np.where(good, self.maps.gain, 1), 1).astype(np.float32)

    @cached_property
    def saturated_level(self) -> float | None:
        """Value of saturated voxels: at least any corrected count below saturation."""
        if self.saturation is None:
            return None
        good = ~self.maps.bad
        reached = (self.saturation - self.maps.offset[good]) * self._scale[good]
        return float(np.float32(reached.max() + self.level))

    def read(self, volume: "Volume", time: int, channel: int, region: Region) -> Map:
        """Read a region (Z, Y, X slices) of a raw volume, corrected.

        Parameters
        ----------
        volume
            The raw volume.
        time, channel, region
            As for `Volume.read`.
        """
        sizes = volume.shape[3:]
        wanted = [slice(*s.indices(n)) for s, n in zip(region[1:], sizes, strict=True)]
        reach = REACH if self.maps.bad[wanted[0], wanted[1]].any() else 0
        wide = [
            slice(max(s.start - reach, 0), min(s.stop + reach, n))
            for s, n in zip(wanted, sizes, strict=True)
        ]
        counts = volume.read(time, channel, (region[0], wide[0], wide[1]))
        values = self.apply(counts, wide[0], wide[1])
        y, x = (
            slice(s.start - w.start, s.stop - w.start) for s, w in zip(wanted, wide, strict=True)
        )
        return np.ascontiguousarray(values[:, y, x])

    def apply(self, counts: NDArray[Any], rows: slice, columns: slice) -> Map:
        """Correct counts (Z, Y, X) of some rows and columns of the camera; float32.

        A bad pixel without a good one within `REACH` becomes NaN: no data.

        Parameters
        ----------
        counts
            Raw counts (Z, Y, X).
        rows, columns
            The part of the camera that they come from.
        """
        place = rows, columns
        values = counts.astype(np.float32)
        values -= self.maps.offset[place]
        values *= self._scale[place]
        values += np.float32(self.level)
        if self.saturation is not None:
            values[counts >= self.saturation] = self.saturated_level
        _mend(values, self.maps.bad[place])
        return values


def _mend(values: Map, bad: Mask) -> None:
    """Replace bad pixels (mask Y X) of planes (Z Y X) by the median of their good neighbours."""
    y, x = np.nonzero(bad)
    if not y.size:
        return
    height, width = bad.shape
    offsets = np.arange(-REACH, REACH + 1)
    dy, dx = (g.ravel() for g in np.meshgrid(offsets, offsets, indexing="ij"))
    yy, xx = y[:, None] + dy, x[:, None] + dx
    usable = (yy >= 0) & (yy < height) & (xx >= 0) & (xx < width)
    yy, xx = yy.clip(0, height - 1), xx.clip(0, width - 1)
    usable &= ~bad[yy, xx]
    near = usable & (np.maximum(abs(dy), abs(dx)) <= 1)
    usable = np.where(near.any(axis=1, keepdims=True), near, usable)
    lost = ~usable.any(axis=1)
    usable[lost, 0] = True  # the median of an empty set is an error
    for plane in values:
        around = np.where(usable, plane[yy, xx], np.nan)
        middle = np.nanmedian(around, axis=1)
        plane[y, x] = np.where(lost, np.nan, middle)
