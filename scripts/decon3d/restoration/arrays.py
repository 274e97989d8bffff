"""Restoration of whole arrays in memory, through the same blocks as a volume on disk."""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d.blocks.compute import Tiling, with_data
from decon3d.blocks.geometry import Triple, block_at, grid, triple
from decon3d.logs import progress
from decon3d.pairs.stores import write_store
from decon3d.restoration.prepare import Preparation
from decon3d.restoration.restorers import Restorer, State, claim_device, open_restorer
from decon3d.restoration.sample import central
from decon3d.volumes.channel_accumulator import mark_image
from decon3d.volumes.checked_stores import OPTIONS, open_group
from decon3d.volumes.manifest import finish_store
from decon3d.volumes.no_data import missing
from decon3d.volumes.statistics import ChannelStatistics


def restore_array(
    values: NDArray[Any], restorer: Restorer, state: State, *, block: Triple | None = None
) -> NDArray[np.float32]:
    """Restore an array of counts (Z, Y, X; NaN = no data, and stays), whole or block by block.

    Parameters
    ----------
    block
        Size of the blocks, multiples of the restorer's stride; None = the whole array at once.
    """
    shape = triple(values.shape)
    size = triple(-(-n // s) * s for n, s in zip(block or shape, state.stride, strict=True))
    result = np.empty(shape, np.float32)
    tiling = Tiling(stride=state.stride, halo=state.halo)
    for index in range(int(np.prod(grid(shape, size)))):
        b = block_at(
            index,
            shape=shape,
            block=size,
            halo=state.halo,
            stride=state.stride,
            mirror=state.mirror,
        )
        padded = b.pad(values[b.read])
        restored = partial(tiling.compute, restorer.restore, padded, b, size)
        result[b.write], _ = with_data(padded, b, fill=np.nan, compute=restored)
    return result


def restore_phantoms(
    test_store: str | Path,
    store: str | Path,
    *,
    prepare: Preparation,
    camera_offset: float | None,
    gpus: int,
    threads: int,
    name: str,
) -> None:
    """Restore the phantoms' test split, each with its own statistics, as if it were a dataset.

    Parameters
    ----------
    test_store
        Zarr group with the array `image` (n, Z, Y, X), in counts.
    store
        Zarr group that gets `restored` (n, Z, Y, X), float32, in counts.
    prepare
        Makes the restorer's state from a volume's statistics and a sample of its blocks.
    gpus, threads
        Devices that a network may use, and CPU threads.
    """
    images: Any = open_group(test_store)["image"]
    shutil.rmtree(store, ignore_errors=True)
    restored = zarr.create_array(
        str(Path(store) / "restored"),
        shape=images.shape,
        chunks=(1, *images.shape[1:]),
        dtype="float32",
        **OPTIONS,
    )
    options: dict[str, Any] = {"camera_offset": camera_offset, "gpus": gpus, "threads": threads}
    for i, values in enumerate(_restored(images, name, prepare=prepare, **options)):
        restored[i] = values
    finish_store(store, {})


def restore_pairs(
    store: str | Path,
    target: str | Path,
    *,
    prepare: Preparation,
    camera_offset: float | None,
    gpus: int,
    threads: int,
    name: str,
) -> None:
    """Make the pairs for methods whose `source` is the method `name`.

    Parameters
    ----------
    store, target
        Stores of pairs: that of the method `name`, and the one to make, with its restored images
        (negative counts become 0) and the same objects and attributes.
    prepare, camera_offset, gpus, threads
        As for `restore_phantoms`.
    """
    group: Any = open_group(store)
    options: dict[str, Any] = {"camera_offset": camera_offset, "gpus": gpus, "threads": threads}
    restored = _restored(group["image"], name, prepare=prepare, **options)
    arrays: dict[str, Sequence[NDArray[Any]]] = {
        "image": [np.maximum(image, 0) for image in restored],
        "object": [np.asarray(truth) for truth in group["object"]],
    }
    write_store(target, arrays, {**group.attrs.asdict(), "source": name})


def _restored(
    images: Any, name: str, *, gpus: int, **options: Any
) -> Iterator[NDArray[np.float32]]:
    for i in progress(range(images.shape[0]), what=f"{name} on pairs", unit="volume"):
        yield restore_image(np.asarray(images[i]), gpus=gpus if i == 0 else None, **options)


def restore_image(
    counts: NDArray[Any],
    *,
    prepare: Preparation,
    camera_offset: float | None,
    threads: int,
    gpus: int | None = None,
) -> NDArray[np.float32]:
    """Restore one image (Z, Y, X, counts) with its own statistics, as if it were a dataset.

    Parameters
    ----------
    prepare, camera_offset, threads
        As for `restore_phantoms`.
    gpus
        Devices to claim first; None = they have been claimed.
    """
    alike = restore_alike(
        [counts], prepare=prepare, camera_offset=camera_offset, threads=threads, gpus=gpus
    )
    return alike[0]


def restore_alike(
    images: Sequence[NDArray[Any]],
    *,
    prepare: Preparation,
    camera_offset: float | None,
    threads: int,
    gpus: int | None = None,
) -> list[NDArray[np.float32]]:
    """Restore images (Z, Y, X, counts) of one object, all with the statistics of the first one.

    Parameters are those of `restore_image`.
    """
    marked = [mark_image(counts, camera_offset=camera_offset) for counts in images]
    statistics = ChannelStatistics.of_image(marked[0], camera_offset=camera_offset)
    state = prepare(statistics, central(marked[0]))
    if gpus is not None:
        claim_device(state, gpus=gpus, threads=threads)
    restorer = open_restorer(state, threads=threads)
    found = []
    for counts, image in zip(images, marked, strict=True):
        restored, absent = restore_array(image, restorer, state), missing(image)
        found.append(
            restored if absent is None else np.where(absent, counts, restored).astype(np.float32)
        )
    return found
