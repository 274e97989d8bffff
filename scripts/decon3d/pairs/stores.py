"""The stores of measured pairs: train, val and test, as for phantoms."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.files import write_json
from decon3d.logs import log, progress
from decon3d.optics.psf import Psf, fingerprint, fwhm_um
from decon3d.pairs.matching import Alignment, align, aligned
from decon3d.pairs.registration import Volume, covered
from decon3d.pairs.sections import MeasuredPairs
from decon3d.pairs.sources import SPLITS, PairSource
from decon3d.versions import __version__
from decon3d.volumes.channel_accumulator import fill_of
from decon3d.volumes.checked_stores import create_volumes
from decon3d.volumes.header_checks import pair_problems
from decon3d.volumes.headers import Header
from decon3d.volumes.manifest import finish_store
from decon3d.volumes.no_data import NoData, mark, missing
from decon3d.volumes.normalisation import Histogram
from decon3d.volumes.reader import FROM_FILE, Reading, open_volume
from decon3d.volumes.volume import Triple, triple

Shape = tuple[int, int, int]
LARGEST: Shape = (64, 256, 256)
EMPTY = 0.1
"""A tile with less than this share of the light of its pair's brightest one is left out."""
ARRAYS = {
    "object": "the truth, moved onto the raw volume and brought to its counts",
    "image": "the raw volume",
}


def make_pairs(
    sources: Sequence[PairSource],
    *,
    stores: dict[str, str | Path],
    record: str | Path,
    pairs: MeasuredPairs,
    psf: Psf,
    channel: int,
    only_channel: bool,
    trust_metadata: bool,
    no_data: NoData = "auto",
    camera_offset: float | None = None,
    key: str,
    reading: Reading = FROM_FILE,
) -> None:
    """Register and match all pairs of a channel, cut them into tiles and write the three stores.

    Parameters
    ----------
    sources
        The pairs of files with their splits.
    stores
        Zarr groups to write, by split: `image` and `object`, (n, Z, Y, X), float32, counts.
    record
        JSON with the measurements of each pair.
    pairs
        The config's limits and tiles.
    psf
        The channel's: voxel size, and the width under whose blur intensities are matched.
    channel
        Channel index in the files.
    only_channel
        Whether the dataset has one channel, so that files of a single channel hold it.
    trust_metadata
        Whether to use voxel sizes in the files' metadata (the config has none).
    no_data
        How to find voxels without data in the raw volumes (see `marked_pair`); tiles have none.
    camera_offset
        Counts of a dark raw image, if known; fill is darker.
    key
        Config key, for messages.
    reading
        Which image of the files, and its axes.

    Raises
    ------
    UserError
        If files cannot be read, do not match, exceed the limits, or have no tile without missing
        voxels.
    """

    def read(source: PairSource) -> tuple[NDArray[Any], NDArray[Any]]:
        raw, truth = (
            read_channel(
                path,
                channel=channel,
                only_channel=only_channel,
                voxel_size_um=psf.voxel_size_um if trust_metadata else None,
                key=key,
                reading=reading,
            )
            for path in (source.raw, source.truth)
        )
        return marked_pair(raw, truth, no_data=no_data, camera_offset=camera_offset)

    widths = fwhm_um(psf.data, psf.voxel_size_um)
    found: list[Alignment] = []
    sizes: list[Shape] = []
    for source in progress(sources, what="register pairs", unit="pairs"):
        raw, truth = read(source)
        alignment = align(
            raw,
            truth,
            voxel_size_um=psf.voxel_size_um,
            psf_fwhm_um=widths,
            max_shift_um=pairs.max_shift_um,
            max_drift_um=pairs.max_drift_um,
            raw_file=source.raw,
            truth_file=source.truth,
        )
        log.info("%s (%s): %s", source.name, source.split, alignment)
        found.append(alignment)
        sizes.append(_covered_size(raw.shape, alignment, psf.voxel_size_um))
    shape = tile_shape(pairs.shape, sizes, [s.raw for s in sources], key)
    tiles: dict[str, list[tuple[int, Volume, Volume]]] = {split: [] for split in SPLITS}
    rows = []
    for index, (source, alignment) in enumerate(zip(sources, found, strict=True)):
        raw, truth = read(source)
        image, matched = aligned(raw, truth, alignment, voxel_size_um=psf.voxel_size_um)
        count = pairs.tiles if source.split == "train" else 1
        absent = ~(np.isfinite(image) & np.isfinite(matched))
        shares = [float((~np.isfinite(v)).mean()) for v in (raw, truth)]
        chosen = brightest_tiles(np.where(absent, np.float32(np.nan), matched), shape, count)
        if not chosen:
            raise UserError(
                f"{key}.shape: {source.raw} with {source.truth}: every tile of {list(shape)} "
                f"voxels (Z, Y, X) contains voxels without data ({shares[0]:.2%} of the raw volume "
                f"and {shares[1]:.2%} of the truth are fill, NaN or infinite); give smaller tiles, "
                "or leave the pair out; if these voxels are dark and not fill, set the dataset's "
                "`no_data: none`"
            )
        tiles[source.split] += [(index, image[t], matched[t]) for t in chosen]
        level, sigma = Histogram.of(raw).background()
        rows.append(
            {
                **asdict(source),
                **asdict(alignment),
                "tiles": len(chosen),
                "no_data": float((~(np.isfinite(raw) & np.isfinite(truth))).mean()),
                "background": level,
                "background_sigma": sigma,
            }
        )
    about = {
        "measured": True,
        "axes": ["volume", "z", "y", "x"],
        "voxel_size_um": list(psf.voxel_size_um),
        "shape": list(shape),
        "arrays": ARRAYS,
        "psf_fingerprint": fingerprint(psf),
        "decon3d": __version__,
    }
    for split in SPLITS:
        indices = [index for index, _, _ in tiles[split]]
        write_store(
            stores[split],
            {
                "image": [image for _, image, _ in tiles[split]],
                "object": [truth for _, _, truth in tiles[split]],
            },
            {
                **about,
                "split": split,
                "volumes": len(indices),
                "names": [sources[i].name for i in indices],
                "specimens": [sources[i].specimen for i in indices],
                "pair": indices,
            },
        )
    write_json(record, {"shape": list(shape), "pairs": rows})


def read_channel(
    path: str,
    *,
    channel: int,
    only_channel: bool,
    voxel_size_um: Triple | None,
    key: str,
    reading: Reading = FROM_FILE,
) -> NDArray[Any]:
    """Read one volume of a pair (Z, Y, X, counts as stored).

    Parameters
    ----------
    path, reading
        The file, and which image of it.
    channel
        Channel index of the dataset.
    only_channel
        Whether the dataset has no other channel, so that a file with one channel holds it.
    voxel_size_um
        The dataset's voxel size (Z, Y, X), in µm; None = not compared.
    key
        Config key, for messages.

    Raises
    ------
    UserError
        If it is a time series, lacks the channel, or has voxels that differ from `voxel_size_um`.
    """
    volume = open_volume(path, reading=reading)
    problems = pair_problems(
        Header.of(volume),
        channel=channel,
        only_channel=only_channel,
        voxel_size_um=voxel_size_um,
        key=key,
    )
    if problems:
        raise UserError("\n".join(problems))
    channel = min(channel, volume.shape[1] - 1)
    return volume.read(0, channel, (slice(None), slice(None), slice(None)))


def marked_pair(
    raw: NDArray[Any], truth: NDArray[Any], *, no_data: NoData, camera_offset: float | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make voxels without data NaN in a raw volume and its truth (Z, Y, X, counts).

    Fill is found in the raw volume, since a truth may be 0 wherever there is no object. In a truth,
    voxels with the raw volume's fill value are fill, and those without data in the raw volume:
    deskewing and stitching leave the same places empty in both.

    Parameters
    ----------
    raw, truth
        Counts, axes Z Y X.
    no_data
        How to find voxels without data in the raw volume.
    camera_offset
        Counts of a dark raw image, if known; fill is darker.
    """
    fill = fill_of(raw, camera_offset=camera_offset, no_data=no_data)
    raw, truth = mark(raw, fill), mark(truth, fill)
    absent = missing(raw)
    if absent is not None and absent.shape == truth.shape:
        truth = np.where(absent, np.float32(np.nan), truth)
    return raw, truth


def tile_shape(wanted: Shape | None, sizes: list[Shape], files: list[str], key: str) -> Shape:
    """Choose the tiles' voxels (Z, Y, X): the config's, else the smallest pair's, cut to `LARGEST`.

    Parameters
    ----------
    wanted
        The config's shape (Z, Y, X); None = chosen here.
    sizes, files
        Voxels (Z, Y, X) of the overlap of raw and truth of each pair, and its raw file.
    key
        Config key, for messages.

    Raises
    ------
    UserError
        If a pair is smaller than the config's shape.
    """
    if wanted is None:
        z, y, x = (min(size[a] for size in sizes) for a in range(3))
        return (min(z, LARGEST[0]), min(y, LARGEST[1]), min(x, LARGEST[2]))
    for size, file in zip(sizes, files, strict=True):
        if any(n < w for n, w in zip(size, wanted, strict=True)):
            raise UserError(
                f"{key}.shape: {list(wanted)} is larger than the overlap of raw and truth of "
                f"{file}, {list(size)} voxels (Z, Y, X); give smaller tiles"
            )
    return wanted


def brightest_tiles(truth: Volume, shape: Shape, count: int) -> list[tuple[slice, ...]]:
    """Divide a volume into whole tiles, spread evenly, and keep those with the most light.

    At most `count`; those with less than a tenth of the brightest one's light above the background,
    or with missing voxels (NaN), are left out.

    Parameters
    ----------
    truth
        Counts, axes Z Y X; NaN = no data.
    shape
        Voxels (Z, Y, X) of a tile.
    count
        Largest number of tiles.

    Returns
    -------
    list of tuple of slice
        Tiles (Z, Y, X), in the order of the volume.
    """
    starts = [
        np.linspace(0, n - t, n // t).round().astype(int)
        if n // t > 1
        else np.array([(n - t) // 2])
        for n, t in zip(truth.shape, shape, strict=True)
    ]
    tiles = [
        tuple(slice(int(a), int(a) + t) for a, t in zip(corner, shape, strict=True))
        for corner in product(*starts)
    ]
    tiles = [tile for tile in tiles if np.isfinite(truth[tile]).all()]
    if not tiles:
        return []
    level = float(np.nanpercentile(truth, 5))
    light = [float(truth[tile].mean()) - level for tile in tiles]
    order = sorted(range(len(tiles)), key=lambda i: (-light[i], i))[:count]
    return [tiles[i] for i in sorted(order) if light[i] >= EMPTY * light[order[0]]]


def write_store(
    path: str | Path, arrays: dict[str, Sequence[NDArray[Any]]], attributes: dict[str, Any]
) -> None:
    """Write a store of pairs: arrays (n, Z, Y, X) as float32, its attributes last."""
    path = Path(path)
    shutil.rmtree(path, ignore_errors=True)
    for name, values in arrays.items():
        array = create_volumes(path / name, count=len(values), shape=values[0].shape)
        for index, volume in enumerate(values):
            array[index] = volume
    finish_store(path, attributes)


def _covered_size(shape: tuple[int, ...], alignment: Alignment, voxel_size_um: Triple) -> Shape:
    inside = covered(shape, triple(np.divide(alignment.shift_um, voxel_size_um)))
    a, b, c = (part.stop - part.start for part in inside)
    return (a, b, c)
