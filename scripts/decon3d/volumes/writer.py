"""OME-Zarr 0.5: arrays first, metadata last, so that only a finished volume is a valid one."""

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from ome_zarr_models.common.omero import Channel, Omero, Window
from ome_zarr_models.v05.axes import Axis
from ome_zarr_models.v05.image import ImageAttrs
from ome_zarr_models.v05.multiscales import Dataset, Multiscale
from zarr.codecs import BloscCodec

from decon3d.files import write_json

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
    folder = Path(store) / str(level)
    if folder.exists():
        shutil.rmtree(folder)
    return zarr.create_array(
        str(folder),
        shape=shape,
        dtype=dtype,
        chunks=(1, 1, *chunk),
        shards=None if shard is None else (1, 1, *shard),
        compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
        fill_value=0,
        dimension_names=DIMENSIONS,
        attributes=attributes or {},
        config={"write_empty_chunks": True},
    )


def default_chunk(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Choose a chunk (Z, Y, X) that suits slicing in every direction."""
    return (min(32, shape[0]), min(128, shape[1]), min(128, shape[2]))


def write_pyramid(
    store: str | Path, *, level_0: zarr.Array[Any], reduce: Callable[..., Any] | None = None
) -> list[tuple[int, int, int]]:
    """Add halved levels until a level is small, streaming from the one before.

    An axis is halved while it is longer than half the longest one, so that anisotropic stacks
    become more even.

    Parameters
    ----------
    reduce
        What becomes of the voxels that one is made of, called with `axis`; None = `mean_of_data`.

    Returns
    -------
    list of (z, y, x)
        Downsampling factors of each level, level 0 included.
    """
    import dask  # half a second or more, and most jobs write no pyramid
    import dask.array as da

    factors = [(1, 1, 1)]
    previous = level_0
    while max(previous.shape[2:]) > SMALLEST_LEVEL:
        longest = max(previous.shape[2:])
        step = tuple(2 if n * 2 > longest and n > 1 else 1 for n in previous.shape[2:])
        source = da.from_array(previous, chunks=_even(previous.shards or previous.chunks))
        coarse = da.coarsen(
            reduce or mean_of_data, source, dict(enumerate((1, 1, *step))), trim_excess=True
        )  # fmt: skip
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
        # dask blocks that do not end on the target's chunks would race for one chunk: rechunk.
        coarse = coarse.rechunk(target.chunks)
        with dask.config.set(scheduler="threads", num_workers=2):
            da.store(coarse, target, lock=False, compute=True)
        z, y, x = (f * s for f, s in zip(factors[-1], step, strict=True))
        factors.append((z, y, x))
        previous = target
    return factors


def mean_of_data(values: NDArray[Any], axis: Any = None, **options: Any) -> Any:
    """Average what has data: a voxel without (NaN) leaves the mean to its neighbours."""
    if values.dtype.kind != "f" or not np.isnan(values).any():
        return np.mean(values, axis=axis, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing: NaN, as it should be
        return np.nanmean(values, axis=axis, **options)


def largest_of_data(values: NDArray[Any], axis: Any = None, **_: Any) -> Any:
    """Keep the value farthest from 0, with its sign; NaN where there is nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of nothing: NaN, as it should be
        high, low = np.nanmax(values, axis=axis), np.nanmin(values, axis=axis)
    return np.where(-low > high, low, high)


def _even(chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Round chunk lengths up to even ones, so that a mean of two never straddles blocks."""
    return tuple(c + c % 2 if c > 1 else c for c in chunks)


def write_metadata(
    store: str | Path,
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
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write the group's `zarr.json` with validated OME-Zarr 0.5 metadata: the store is done.

    Parameters
    ----------
    factors
        Downsampling of each level, from `write_pyramid`.
    windows
        Display range of each channel, in counts.
    position_um
        Position (Z, Y, X) of the first voxel on the stage, in µm: the translation of level 0.
    kind
        How the levels were made, in a word.
    attributes
        Further attributes (provenance), beside `ome`.
    """
    datasets = []
    for level, factor in enumerate(factors):
        scale = [time_interval_s or 1.0, 1.0]
        scale += [v * f for v, f in zip(voxel_size_um, factor, strict=True)]
        # The centre of a coarse voxel is the mean of the centres it was made of.
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
    content = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": ome, **(attributes or {})},
    }
    write_json(Path(store) / "zarr.json", content)
