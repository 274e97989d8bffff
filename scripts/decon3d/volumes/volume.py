"""One acquisition, read on demand, with its axes, voxel size and channel names."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dask.array as da

AXES = "TCZYX"


@dataclass(frozen=True)
class Volume:
    """An acquisition, read on demand.

    `array` has the file's own axes, `axes` names them (a subset of T C Z Y X in any order);
    everything else speaks T C Z Y X. `channel_colors` (RRGGBB) are those of all channels, or none.
    With `clip_at_zero`, `read` gives 0 for negative counts.
    """

    path: str
    array: Any
    axes: str
    voxel_size_um: tuple[float, float, float] | None
    channel_names: tuple[str, ...]
    channel_colors: tuple[str, ...] = ()
    time_interval_s: float | None = None
    clip_at_zero: bool = False
    shape: tuple[int, int, int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        sizes = dict(zip(self.axes, self.array.shape, strict=True))
        object.__setattr__(self, "shape", tuple(sizes.get(a, 1) for a in AXES))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored counts."""
        return np.dtype(self.array.dtype)

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Voxels (Z, Y, X) that the file holds, and is read, as one."""
        chunks = getattr(self.array, "chunks", None) or [1] * len(self.axes)
        sizes = [c if isinstance(c, int) else max(c) for c in chunks]  # dask lists all
        by_axis = dict(zip(self.axes, sizes, strict=True))
        return (by_axis.get("Z", 1), by_axis["Y"], by_axis["X"])

    def read(self, time: int, channel: int, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        """Read one region (Z, Y, X slices) of one time point and channel, as stored."""
        wanted = dict(zip(AXES, (time, channel, *region), strict=True))
        values = np.asarray(self.array[tuple(wanted[a] for a in self.axes)])
        kept = [a for a in self.axes if a in "ZYX"]
        values = values.transpose([kept.index(a) for a in "ZYX" if a in kept])
        if "Z" not in kept:
            values = values[np.newaxis]
        return np.maximum(values, 0) if self.clip_at_zero else values

    @cached_property
    def data(self) -> "da.Array":
        """The whole acquisition as a lazy dask array, T C Z Y X."""
        import dask.array as da  # half a second or more, and most jobs read regions only

        values = da.from_array(self.array, chunks=getattr(self.array, "chunks", "auto"))
        present = [a for a in AXES if a in self.axes]
        values = values.transpose([self.axes.index(a) for a in present])
        return values[tuple(slice(None) if a in self.axes else np.newaxis for a in AXES)]
