"""OME-Zarr 0.5: arrays first, metadata last, so that an unfinished volume is never valid."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d.volumes.checked_stores import OPTIONS, open_array
from decon3d.volumes.manifest import begin_store, finish_store

DIMENSIONS = ("t", "c", "z", "y", "x")
COLORS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF", "FFFFFF")
SMALLEST_LEVEL = 128


def create_level(
    store: str | Path,
    *,
    shape: tuple[int, ...],
    dtype: Any,
    chunk: tuple[int, int, int],
    shard: tuple[int, int, int] | None = None,
    level: int = 0,
    attributes: dict[str, Any] | None = None,
) -> zarr.Array[Any]:
    """Create the array of one level (T C Z Y X), replacing what was there.

    Parameters
    ----------
    store
        Folder of the OME-Zarr; it gets no metadata yet.
    shape
        T, C, Z, Y, X.
    chunk, shard
        Z, Y, X; a chunk holds one time point and channel. The shard is a multiple of the chunk.
    """
    begin_store(store)
    folder = Path(store) / str(level)
    if folder.exists():
        shutil.rmtree(folder)
    return zarr.create_array(
        str(folder),
        shape=shape,
        dtype=dtype,
        chunks=(1, 1, *chunk),
        shards=None if shard is None else (1, 1, *shard),
        dimension_names=DIMENSIONS,
        attributes=attributes or {},
        **OPTIONS,
    )


def default_chunk(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Choose a chunk (Z, Y, X) that suits slicing in every direction."""
    return (min(32, shape[0]), min(128, shape[1]), min(128, shape[2]))


def write_pyramid(
    store: str | Path, *, reduce: Callable[..., Any] | None = None
) -> list[tuple[int, int, int]]:
    """Add halved levels to level 0 until a level is small, streaming from the one before.

    An axis is halved while it is longer than half the longest one, so that stacks become more
    isotropic.

    Parameters
    ----------
    reduce
        Function that merges voxels along `axis`; None = `mean_of_data`.

    Returns
    -------
    list of (z, y, x)
        Downsampling factors of each level, level 0 included.

    Raises
    ------
    DamagedError
        If a chunk is missing or damaged.
    """
    import dask  # half a second or more, and most jobs write no pyramid
    import dask.array as da

    factors = [(1, 1, 1)]
    previous = open_array(store, "0")
    while max(previous.shape[2:]) > SMALLEST_LEVEL:
        longest = max(previous.shape[2:])
        step = tuple(2 if n * 2 > longest and n > 1 else 1 for n in previous.shape[2:])
        source = da.from_array(previous, chunks=_even(previous.shards or previous.chunks))
        coarse = da.coarsen(
            reduce or mean_of_data, source, dict(enumerate((1, 1, *step))), trim_excess=True
        )
        if np.dtype(previous.dtype).kind in "ui":
            coarse = da.rint(coarse)
        coarse = coarse.astype(previous.dtype)
        target: Any = create_level(
            store,
            shape=coarse.shape,
            dtype=previous.dtype,
            chunk=default_chunk(coarse.shape[2:]),
            level=len(factors),
        )
        # rechunk: dask blocks that do not end on the target's chunks would race for one chunk
        coarse = coarse.rechunk(target.chunks)
        with dask.config.set(scheduler="threads", num_workers=2):
            da.store(coarse, target, lock=False, compute=True)
        z, y, x = (f * s for f, s in zip(factors[-1], step, strict=True))
        factors.append((z, y, x))
        previous = open_array(store, str(len(factors) - 1))
    _read_odd_ends(store, factors)
    for folder in Path(store).iterdir():  # left by an earlier attempt with more levels
        if folder.name.isdecimal() and int(folder.name) >= len(factors):
            shutil.rmtree(folder)
    return factors


def _read_odd_ends(store: str | Path, factors: list[tuple[int, int, int]]) -> None:
    """Read the last odd planes, rows and columns of level 0, so that all checksums are compared."""
    level_0 = open_array(store, "0")
    times, channels, *shape = level_0.shape
    for axis, (size, step) in enumerate(zip(shape, factors[min(1, len(factors) - 1)], strict=True)):
        if size % step:
            region = [slice(None)] * 3
            region[axis] = slice(size - 1, size)
            for time in range(times):
                for channel in range(channels):
                    level_0[(time, channel, *region)]


def mean_of_data(values: NDArray[Any], axis: Any = None, **options: Any) -> Any:
    """Average voxels with data; NaN is ignored."""
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return np.mean(values, axis=axis, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an empty set: NaN, as intended
        return np.nanmean(values, axis=axis, **options)


def largest_of_data(values: NDArray[Any], axis: Any = None, **_: Any) -> Any:
    """Keep the value farthest from 0, with its sign; NaN only if all are NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of an empty set: NaN, as intended
        high, low = np.nanmax(values, axis=axis), np.nanmin(values, axis=axis)
    return np.where(-low > high, low, high)


def _even(chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Round chunk lengths up to even ones, so that no mean of two crosses blocks."""
    return tuple(c + c % 2 if c > 1 else c for c in chunks)


def write_metadata(
    store: str | Path, *, attributes: dict[str, Any] | None = None, **options: Any
) -> None:
    """Write the manifest and the group's `zarr.json` (`image_attributes`): the store is done.

    Parameters
    ----------
    attributes
        Further attributes (provenance), beside `ome`.
    options
        As for `image_attributes`.

    Raises
    ------
    DamagedError
        If a chunk is missing or damaged.
    """
    finish_store(store, {**image_attributes(**options), **(attributes or {})})


def image_attributes(
    *,
    name: str,
    factors: list[tuple[int, int, int]],
    voxel_size_um: tuple[float, float, float],
    channel_names: list[str],
    windows: list[tuple[float, float]],
    channel_colors: list[str] | None = None,
    time_interval_s: float | None = None,
    position_um: tuple[float, float, float] | None = None,
    kind: str = "mean",
) -> dict[str, Any]:
    """Make the attributes of a group, validated OME-Zarr 0.5.

    Parameters
    ----------
    factors
        Downsampling of each level, from `write_pyramid`.
    windows
        Display range of each channel, in counts.
    position_um
        Position (Z, Y, X) of the first voxel on the stage, in µm: the translation of level 0.
    kind
        The method that made the levels, in a word.
    """
    # Imported here: this takes half a second, and most jobs write no volume.
    from ome_zarr_models.common.omero import Channel, Omero, Window
    from ome_zarr_models.v05.axes import Axis
    from ome_zarr_models.v05.image import ImageAttrs
    from ome_zarr_models.v05.multiscales import Dataset, Multiscale

    datasets = []
    for level, factor in enumerate(factors):
        scale = [time_interval_s or 1.0, 1.0]
        scale += [v * f for v, f in zip(voxel_size_um, factor, strict=True)]
        # The centre of a coarse voxel is the mean of its fine voxels' centres.
        shift = [0.0, 0.0]
        for place, v, f in zip(position_um or (0.0, 0.0, 0.0), voxel_size_um, factor, strict=True):
            shift.append(place + v * (f - 1) / 2)
        datasets.append(Dataset.build(path=str(level), scale=scale, translation=shift))
    axes = [
        Axis(name="t", type="time", unit="second" if time_interval_s else None),
        Axis(name="c", type="channel"),
        *(Axis(name=a, type="space", unit="micrometer") for a in "zyx"),
    ]
    colors = list(channel_colors or ())
    channels = []
    for i, label in enumerate(channel_names):
        low, high = windows[i]
        color = colors[i] if i < len(colors) else COLORS[i % len(COLORS)]
        window = Window(min=min(low, 0.0), max=high, start=low, end=high)
        channels.append(
            Channel.model_validate(
                {"label": label, "color": color, "active": True, "window": window}
            )
        )
    multiscale = Multiscale(axes=tuple(axes), datasets=tuple(datasets), name=name, type=kind)
    ome = ImageAttrs(version="0.5", multiscales=[multiscale]).model_dump(
        mode="json", exclude_none=True
    )
    ome["omero"] = Omero(channels=channels).model_dump(mode="json")
    return {"ome": ome}
