"""One acquisition, read on demand, with its axes, voxel size and channel names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError, reading
from decon3d.volumes.stated_optics import NOTHING, Stated

if TYPE_CHECKING:
    import dask.array as da

    from decon3d.volumes.camera_maps import Correction

AXES = "TCZYX"
SINGLE = "_"
"""In a volume's axes: a dimension of length 1 without a meaning here."""
MOST_LISTED = 20
"""Largest number of images that a message lists."""
Triple = tuple[float, float, float]
"""A number for each of Z, Y, X."""


def triple(values: Iterable[Any]) -> Triple:
    """Return three numbers (Z, Y, X) as floats."""
    z, y, x = (float(v) for v in values)
    return z, y, x


@dataclass(frozen=True)
class Reading:
    """The reading options of a dataset's config; None = from the file.

    Attributes
    ----------
    series
        Name or number (from 0) of the image in a file of several.
    axes
        Letters of its dimensions, in place of the file's.
    """

    series: int | str | None = None
    axes: str | None = None

    @classmethod
    def of(cls, section: Any) -> "Reading":
        """Take `series` and `axes` of a section of the config: a dataset, a PSF, an object."""
        return cls(section.series, section.axes)

    def choose(self, path: str, images: Sequence[str]) -> int:
        """Return the number of the image to read from a file.

        Parameters
        ----------
        images
            Their names, in order, without pyramid levels, labels and thumbnails.

        Raises
        ------
        UserError
            If the file holds several images and none is chosen, or the chosen one is not there.
        """
        some = enumerate(images[:MOST_LISTED])
        listed = ", ".join(f"{i} ({name})" if name else str(i) for i, name in some)
        listed += ", …" if len(images) > MOST_LISTED else ""
        if self.series is None:
            if len(images) > 1:
                raise UserError(
                    f"{path} holds {len(images)} images: {listed}; choose one by its number or "
                    "name with the dataset's `series`"
                )
            return 0
        named = [i for i, name in enumerate(images) if name == str(self.series)]
        is_number = isinstance(self.series, int) and self.series < len(images)
        if is_number and named not in ([], [self.series]):
            raise UserError(
                f"series: {path} has an image with the number {self.series} and another with that "
                f"name: {listed}; give the name of the right one in quotes"
            )
        if len(named) == 1:
            return named[0]
        number = int(self.series) if str(self.series).isdecimal() else -1
        if not named and 0 <= number < len(images):
            return number
        raise UserError(
            f"series: {path} holds {'several images' if named else 'no image'} {self.series!r}; "
            f"its images are {listed}; give the number of one, or a name that only one has"
        )


FROM_FILE = Reading()
"""The only image of a file, with the file's own axes."""


@dataclass(frozen=True)
class Volume:
    """An acquisition, read on demand.

    Attributes
    ----------
    path
        File or folder.
    array
        Counts with the file's own axes; anything that can be sliced.
    axes
        Letters of the array's axes: a subset of T C Z Y X in any order, and `SINGLE`. All other
        attributes and methods use T C Z Y X.
    shape
        Voxels (T, C, Z, Y, X).
    voxel_size_um
        Voxel size (Z, Y, X), in µm; None = unknown.
    voxel_size_problem
        Why the file's voxel size cannot be used; empty if it can.
    voxel_size_note
        An assumption about the file's voxel size; empty if none was needed.
    channel_names, channel_colors
        Of all channels; colours are RRGGBB, or there are none.
    time_interval_s
        Time between time points, in s; None = unknown.
    position_um
        Position (Z, Y, X) of the first voxel on the stage, in µm.
    significant_bits
        Bits of the counts, where the file states fewer than its integer type has.
    files
        All files of a set that is one volume; empty for a volume in one file or folder.
    stated
        The file's metadata about the microscope.
    clip_at_zero
        Whether `read` returns 0 for negative counts.
    convert_to
        Name of the type of the counts that `read` returns; None = as stored.
    in_place
        Whether the file can be read again later by its path alone.
    correction
        Correction of the camera's pixels; `read` then returns corrected counts, float32.
    """

    path: str
    array: Any
    axes: str
    voxel_size_um: Triple | None
    channel_names: tuple[str, ...]
    channel_colors: tuple[str, ...] = ()
    time_interval_s: float | None = None
    clip_at_zero: bool = False
    voxel_size_problem: str = ""
    voxel_size_note: str = ""
    position_um: Triple | None = None
    significant_bits: int | None = None
    files: tuple[str, ...] = ()
    convert_to: str | None = None
    in_place: bool = False
    stated: Stated = NOTHING
    correction: "Correction | None" = None
    shape: tuple[int, int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        object.__setattr__(self, "shape", tuple(sizes.get(a, 1) for a in AXES))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the counts that `read` gives."""
        if self.correction is not None:
            return np.dtype(np.float32)
        return np.dtype(self.convert_to) if self.convert_to else self.stored_dtype

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """Type of the counts in the file, in the machine's byte order."""
        return np.dtype(self.array.dtype).newbyteorder("=")

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Voxels (Z, Y, X) of one chunk of the file."""
        chunks = getattr(self.array, "chunks", None) or [1] * len(self.axes)
        sizes = [c if isinstance(c, int) else max(c) for c in chunks]  # dask lists all
        by_axis = dict(zip(self.axes, sizes, strict=True))
        return (by_axis.get("Z", 1), by_axis["Y"], by_axis["X"])

    def read(self, time: int, channel: int, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        """Read one region (Z, Y, X slices) of one time point and channel.

        Parameters
        ----------
        time, channel
            Their indices.
        region
            Slices along Z, Y, X.

        Returns
        -------
        array (Z, Y, X)
            Counts of the type `dtype`.

        Raises
        ------
        UserError
            If the file cannot be read there, or holds values beyond the range of `dtype`.
        """
        if self.correction is not None:
            raw = replace(self, correction=None, convert_to=None, clip_at_zero=False)
            return self.correction.read(raw, time, channel, region)
        wanted = dict(zip(AXES, (time, channel, *region), strict=True))
        place = tuple(wanted.get(a, 0) for a in self.axes)
        first, last, _ = region[0].indices(self.shape[2])
        where = f"{self.path}, time {time}, channel {channel}, planes {first} to {last - 1}"
        with reading(where):
            values = np.asarray(self.array[place])
        kept = [a for a in self.axes if a in "ZYX"]
        values = values.transpose([kept.index(a) for a in "ZYX" if a in kept])
        if "Z" not in kept:
            values = values[np.newaxis]
        values = self._converted(values)
        return np.maximum(values, 0) if self.clip_at_zero else values

    @cached_property
    def data(self) -> "da.Array":
        """The whole acquisition as a lazy dask array, T C Z Y X."""
        assert self.correction is None, "corrected counts can only be read region by region"
        import dask.array as da  # half a second or more, and most jobs read regions only

        chunks = getattr(self.array, "chunks", "auto")
        values = da.from_array(_Guarded(self.array, self.axes, self.path), chunks=chunks)
        values = values.map_blocks(self._converted, dtype=self.dtype)
        values = values[tuple(0 if a == SINGLE else slice(None) for a in self.axes)]
        axes = self.axes.replace(SINGLE, "")
        present = [a for a in AXES if a in axes]
        values = values.transpose([axes.index(a) for a in present])
        return values[tuple(slice(None) if a in axes else np.newaxis for a in AXES)]

    def _converted(self, values: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            result = values.astype(self.dtype, copy=False)
        if values.dtype.kind == "f" and values.dtype.itemsize > result.dtype.itemsize:
            beyond = np.isinf(result) & np.isfinite(values)
            if beyond.any():
                raise UserError(
                    f"{self.path} holds {values[beyond][0]:g}, beyond the range of "
                    f"{self.dtype.name}; divide the counts by a constant"
                )
        return result


class _Guarded:
    """An array whose errors name its file and the region that was read."""

    def __init__(self, array: Any, axes: str, path: str) -> None:
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, len(array.shape)
        self._array, self._axes, self._path = array, axes, path

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        starts = (s.start or 0 if isinstance(s, slice) else s for s in region)
        place = [f"{a} {s}" for a, s in zip(self._axes, starts, strict=False) if a != SINGLE]
        with reading(f"{self._path}, from {', '.join(place)} on,"):
            return np.asarray(self._array[region])
