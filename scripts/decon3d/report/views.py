"""Sources of the pictures: small copies of big volumes, and crops at full resolution."""

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.errors import UserError
from decon3d.volumes.reader import FROM_FILE, Reading, Volume, open_volume

MOST_VOXELS = 4_000_000
DETAIL_SHAPE = (64, 128, 128)
Triple = tuple[float, float, float]
Values = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Counts (Z Y X, float32) with the size of their voxels and their first corner, in µm."""

    counts: NDArray[np.float32]
    voxel_size_um: Triple
    corner_um: Triple = (0.0, 0.0, 0.0)

    @property
    def size_um(self) -> Triple:
        """Extent (Z, Y, X) in µm."""
        z, y, x = (n * v for n, v in zip(self.counts.shape, self.voxel_size_um, strict=True))
        return (z, y, x)


@dataclass(frozen=True)
class Source:
    """A panel of a figure: its label, and one time point and channel of a volume."""

    label: str
    path: Path
    time: int
    channel: int
    reading: Reading = FROM_FILE


def overview(source: Source, *, voxel_size_um: Triple) -> Scene:
    """Read a whole volume at no more than 4 million voxels.

    The finest level of the pyramid that is small enough is read; a file without one is averaged
    down while it is read.

    Parameters
    ----------
    voxel_size_um
        Of the full resolution (Z, Y, X).
    """
    levels = pyramid(source)
    volume = next((v for v in levels if prod(v.shape[2:]) <= MOST_VOXELS), levels[-1])
    factor = [1, 1, 1]
    while prod(-(-n // f) for n, f in zip(volume.shape[2:], factor, strict=True)) > MOST_VOXELS:
        longest = max(n / f for n, f in zip(volume.shape[2:], factor, strict=True))
        for axis, n in enumerate(volume.shape[2:]):
            if n / factor[axis] * 2 > longest:
                factor[axis] *= 2
    if factor == [1, 1, 1]:
        whole_volume = (slice(None), slice(None), slice(None))
        counts = volume.read(source.time, source.channel, whole_volume)
    else:
        import dask.array as da  # a third of a second, and small volumes do without

        lazy = volume.data[source.time, source.channel]
        counts = da.coarsen(np.mean, lazy, dict(enumerate(factor)), trim_excess=True)
    z, y, x = (
        v * max(1, round(whole / n)) * f
        for v, whole, n, f in zip(
            voxel_size_um, levels[0].shape[2:], volume.shape[2:], factor, strict=True
        )
    )
    return Scene(np.asarray(counts, np.float32), (z, y, x))


def pyramid(source: Source) -> list[Volume]:
    """Open all levels of a volume, the finest first; a file has one."""
    levels = [open_volume(source.path, reading=source.reading)]
    while source.path.is_dir():
        try:
            levels.append(open_volume(source.path, level=len(levels), reading=source.reading))
        except UserError:  # there is no further level
            break
    return levels


def detail(
    source: Source,
    *,
    centre_um: Triple,
    voxel_size_um: Triple,
    shape: tuple[int, int, int] = DETAIL_SHAPE,
) -> Scene:
    """Read a crop around a place, at full resolution; at an edge of the volume it is moved inside.

    Parameters
    ----------
    centre_um
        Position (Z, Y, X) in µm from the volume's first corner.
    voxel_size_um
        Of the full resolution (Z, Y, X).
    shape
        Largest number of voxels (Z, Y, X).
    """
    volume = open_volume(source.path, reading=source.reading)
    slices = []
    for place, voxel, n, length in zip(
        centre_um, voxel_size_um, volume.shape[2:], shape, strict=True
    ):
        start = min(max(round(place / voxel - length / 2), 0), max(n - length, 0))
        slices.append(slice(start, min(start + length, n)))
    z, y, x = slices
    counts = volume.read(source.time, source.channel, (z, y, x)).astype(np.float32)
    corner = [s.start * v for s, v in zip(slices, voxel_size_um, strict=True)]
    return Scene(counts, voxel_size_um, (corner[0], corner[1], corner[2]))


def brightest(scene: Scene) -> Triple:
    """Find the brightest place (Z, Y, X) in µm: the peak after a blur by one voxel.

    A rim of an eighth of the volume is left out, so that the surroundings can be shown.
    """
    smooth = gaussian_filter(scene.counts, 1)
    inner = tuple(slice(n // 8, n - n // 8) for n in smooth.shape)
    index = np.unravel_index(int(np.argmax(smooth[inner])), smooth[inner].shape)
    z, y, x = (
        c + (i + s.start + 0.5) * v
        for c, i, s, v in zip(scene.corner_um, index, inner, scene.voxel_size_um, strict=True)
    )
    return (z, y, x)


def line(
    scene: Scene, *, centre_um: Triple, axis: int
) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
    """Take the line of voxels along an axis (0 = Z, 1 = Y, 2 = X) through a place.

    Returns
    -------
    positions, counts
        Voxel centres in µm from the place, and their counts.
    """
    index = [
        int(np.clip((p - c) / v, 0, n - 1))
        for p, c, v, n in zip(
            centre_um, scene.corner_um, scene.voxel_size_um, scene.counts.shape, strict=True
        )
    ]
    along: list[int | slice] = list(index)
    along[axis] = slice(None)
    voxel = scene.voxel_size_um[axis]
    places = scene.corner_um[axis] + (np.arange(scene.counts.shape[axis]) + 0.5) * voxel
    return places - centre_um[axis], scene.counts[tuple(along)]
