"""Ingest: any input volume becomes one OME-Zarr view and the histograms of its channels.

An OME-Zarr that needs no conversion is read in place. Other volumes are converted once, a slab of
planes at a time. A small JSON record describes the volume; all later steps start from it.
"""

from dataclasses import asdict, replace
from math import prod
from pathlib import Path

import numpy as np

from decon3d.errors import UserError
from decon3d.files import announce_output, write_record
from decon3d.logs import log, progress
from decon3d.volumes.camera_maps import CameraMaps, Correction, load_maps
from decon3d.volumes.channel_accumulator import ChannelAccumulator, ContentHash, Counted
from decon3d.volumes.fingerprints import check_unchanged, fresh_fingerprint
from decon3d.volumes.header_checks import volume_problems
from decon3d.volumes.headers import Header
from decon3d.volumes.metadata import chosen_voxel_size, in_words, size_warnings
from decon3d.volumes.no_data import NoData
from decon3d.volumes.normalisation import finite_range
from decon3d.volumes.ome_zarr import ZarrArray
from decon3d.volumes.reader import FROM_FILE, Reading, Volume, open_volume
from decon3d.volumes.saturation import saturation_from, saturation_level, without_wrong_bits
from decon3d.volumes.slabs import SLAB_BYTES, parts, read_slab, slabs, strips
from decon3d.volumes.volume import Triple
from decon3d.volumes.volume_record import VolumeRecord
from decon3d.volumes.writer import create_level, default_chunk, write_metadata, write_pyramid

_EXACT = 2**24
"""Integers that float32 holds exactly are no larger."""
_SURELY = 8.0
"""Offset over read noise from which no dark pixel has 0 counts."""
_FILL = 1e-4
"""Share of voxels of 0 counts above which they are fill."""


def voxel_size_of(
    source: str, *, configured: Triple | None, key: str, reading: Reading = FROM_FILE
) -> tuple[float, float, float]:
    """Return a dataset's voxel size (Z, Y, X) in µm: the config's, or else the metadata's.

    Parameters
    ----------
    source, reading
        The volume, and which image of the file it is.
    configured
        The config's voxel size (Z, Y, X), in µm; None = the metadata's is used.
    key
        Config key of the dataset, for messages.

    Raises
    ------
    UserError
        If neither has one.
    """
    if configured is not None:
        return configured
    volume = open_volume(source, reading=reading)
    return chosen_voxel_size(volume, configured=None, key=f"{key}.voxel_size_um")


def ingest(
    source: str,
    *,
    record_path: str | Path,
    name: str,
    channels: dict[str, int],
    voxel_size_um: tuple[float, float, float] | None,
    times: list[int] | None,
    key: str,
    no_data: NoData | dict[int, NoData] = "auto",
    camera_offset: float | None = None,
    camera_bits: int | None = None,
    camera_maps: str | Path | None = None,
    clip_at_zero: bool = False,
    reading: Reading = FROM_FILE,
    tells_progress: bool = True,
) -> VolumeRecord:
    """Bring one volume into the workflow.

    Parameters
    ----------
    source
        TIFF, OME-TIFF, OME-Zarr, or a folder of planes; never written to.
    record_path
        Where the JSON record goes; a converted TIFF goes beside it as `<name>.ome.zarr`.
    channels
        Channel names of the config with their index in the file.
    voxel_size_um
        Voxel size (Z, Y, X) in µm that overrides the metadata, or None.
    times
        Time points whose counts enter the statistics; None = all.
    key
        The dataset's key in the config, for messages.
    no_data
        How voxels without data are known, for all channels or by channel index.
    camera_offset
        Counts of a dark image, if known; fill is darker.
    camera_bits
        Bits of the camera's converter, which decide where counts saturate; None = from the file.
    camera_maps
        Record of the maps of the camera's pixels (`camera_maps.save_maps`), by which the counts are
        corrected; None = they are taken as they are.
    clip_at_zero
        Whether negative counts are taken as 0: those of a restored volume that is restored again.
    reading
        Which image of the file, and its axes: the config's `series` and `axes`.
    tells_progress
        Whether the log contains the progress within the volume.

    Raises
    ------
    UserError
        If the volume lacks a channel, a time point or a voxel size, or cannot be read.
    """
    before = fresh_fingerprint(source)
    volume = open_volume(source, clip_at_zero=clip_at_zero, reading=reading)
    seen = fresh_fingerprint(volume.path)
    problems = volume_problems(
        Header.of(volume), key=key, channels=channels, times=times, voxel_size_um=voxel_size_um
    )
    if problems:
        raise UserError("\n".join(problems))
    warnings = size_warnings(volume, voxel_size_um)
    size = chosen_voxel_size(volume, configured=voxel_size_um, key=f"{key}.voxel_size_um")
    n_times, n_channels, *spatial = volume.shape
    extent = " × ".join(map(str, volume.shape))
    log.info("%s: %s (T, C, Z, Y, X), %s, voxel %s", source, extent, volume.dtype, in_words(size))
    record_path = Path(record_path)
    record_path.parent.mkdir(parents=True, exist_ok=True)
    warnings += _missing_chunks(volume)
    calibration = None
    if camera_maps is not None:
        maps = load_maps(camera_maps)
        level_of_dark = maps.about.offset if camera_offset is None else camera_offset
        volume = _corrected(
            volume,
            maps,
            level=level_of_dark,
            bits=camera_bits,
            no_data=no_data,
            channels=channels,
            key=key,
        )
        calibration = {**asdict(maps.about), "level": level_of_dark}
        warnings += maps.about.warnings
        camera_offset = level_of_dark
    volume, stored_range = _as_stored_here(volume)
    if stored_range is not None and max(map(abs, stored_range)) > _EXACT:
        warnings.append(
            f"counts from {stored_range[0]} to {stored_range[1]}; beyond {_EXACT} float32 rounds "
            "them to 24 bits"
        )
    target = None
    if not volume.in_place or volume.convert_to is not None or volume.correction is not None:
        store = record_path.with_name(f"{name}.ome.zarr")
        chunk = default_chunk((spatial[0], spatial[1], spatial[2]))
        announce_output(1.4 * prod(volume.shape) * volume.dtype.itemsize / 1e9)  # and the pyramid
        target = create_level(store, shape=volume.shape, dtype=volume.dtype, chunk=chunk)
    rules = no_data if isinstance(no_data, dict) else dict.fromkeys(channels.values(), no_data)
    level = saturation_level(volume, camera_bits)
    accumulators = {i: _accumulator(volume, i, rules[i], level) for i in channels.values()}
    hashes: dict[int, dict[int, ContentHash]] = {i: {} for i in accumulators}
    used = set(range(n_times)) if times is None else set(times)
    planes = n_times * n_channels * spatial[0]
    most = SLAB_BYTES // volume.dtype.itemsize
    with progress(
        total=planes, what=f"ingest {name}", unit="planes", disable=not tells_progress
    ) as bar:
        for time, channel, slab in slabs(volume):
            counts = time in used and channel in accumulators
            if target is None and not counts:
                continue
            values = read_slab(volume, time, channel, slab, folder=record_path.parent)
            if target is not None:
                for rows, _ in strips(values.shape, multiple=chunk[1], most=most):
                    target[time, channel, slab, rows] = values[:, rows]
            if counts:
                accumulators[channel].add(values)
                hashes[channel].setdefault(time, ContentHash()).add(values)
            bar.update(values.shape[0])
    found = {
        i: accumulator.counted(camera_offset=camera_offset)
        for i, accumulator in accumulators.items()
    }
    found, level = without_wrong_bits(volume, found, level, camera_bits, key)
    if target is not None:
        windows = [
            found[c].histogram.display() if c in found else (0.0, 65535.0)
            for c in range(n_channels)
        ]
        write_metadata(
            store,
            name=name,
            factors=write_pyramid(store),
            voxel_size_um=size,
            position_um=volume.position_um,
            channel_names=list(volume.channel_names),
            channel_colors=list(volume.channel_colors),
            windows=windows,
            time_interval_s=volume.time_interval_s,
        )
    record = VolumeRecord(
        name=name,
        source=source,
        path=volume.path if target is None else str(store),
        shape=volume.shape,
        dtype=volume.dtype.name,
        voxel_size_um=size,
        voxel_size_from="config" if voxel_size_um is not None else "metadata",
        channel_names=list(volume.channel_names),
        channel_colors=list(volume.channel_colors),
        time_interval_s=volume.time_interval_s,
        histograms={str(i): c.histogram.packed() for i, c in found.items()},
        darkest={str(i): c.darkest if np.isfinite(c.darkest) else None for i, c in found.items()},
        not_finite={str(i): c.not_finite for i, c in found.items()},
        saturated={str(i): c.saturated for i, c in found.items()},
        no_data={str(i): c.fill for i, c in found.items()},
        filled={str(i): c.filled for i, c in found.items()},
        content={
            str(i): {str(t): content.hexdigest() for t, content in times_of.items()}
            for i, times_of in hashes.items()
        },
        clip_at_zero=clip_at_zero,
        seen=seen if target is None and not clip_at_zero else "",
        stored_dtype=volume.stored_dtype.name,
        stored_range=stored_range,
        position_um=volume.position_um,
        saturation=level,
        calibration=calibration,
        stated=asdict(volume.stated),
        warnings=warnings,
    )
    for text in warnings:
        log.warning("%s: %s", name, text)
    for index, counted in found.items():
        _tell(f"{name}, channel {index}", counted)
    check_unchanged(source, before)
    write_record(record_path, asdict(record))
    return record


def _tell(where: str, counted: Counted) -> None:
    """Log a channel's warnings."""
    if counted.filled:
        share = counted.filled / (counted.filled + counted.histogram.counts.sum())
        log.info("%s: %.2g %% of the voxels are fill (%g)", where, 100 * share, counted.fill)
    if counted.not_finite:
        log.warning(
            "%s: %d voxel(s) are NaN or infinite and have no data; they are NaN in the result, too",
            where,
            counted.not_finite,
        )
    if counted.saturated:
        log.warning("%s: %d voxels are saturated", where, counted.saturated)


def _accumulator(
    volume: Volume, channel: int, no_data: NoData, saturation: float | None
) -> ChannelAccumulator:
    start, stop = _range(volume, channel) if volume.dtype.kind == "f" else (0.0, None)
    return ChannelAccumulator(
        volume.stored_dtype if volume.correction is None else volume.dtype,
        start=start,
        stop=stop,
        no_data=no_data,
        saturation=saturation,
    )


def _corrected(
    volume: Volume,
    maps: CameraMaps,
    *,
    level: float,
    bits: int | None,
    no_data: NoData | dict[int, NoData],
    channels: dict[str, int],
    key: str,
) -> Volume:
    """Return a volume whose pixels are corrected by the camera's maps as it is read.

    Raises
    ------
    UserError
        If the volume's planes are not frames of that camera: they have another shape, or fill,
        or more counts than the camera's bits.
    """
    height, width = volume.shape[3:]
    if (height, width) != maps.about.shape:
        raise UserError(
            f"{key}.camera.dark: the frames have {maps.about.shape[0]} × {maps.about.shape[1]} "
            f"pixels (Y, X), but {volume.path} has {height} × {width}; give frames of the same "
            "region of the camera, or remove `dark` and `flat`"
        )
    if not isinstance(no_data, str):
        raise UserError(
            f"{key}.no_data: {no_data} contradicts camera.dark, since a camera's frames have no "
            "fill; give volumes as the camera recorded them, or remove `dark` and `flat`"
        )
    saturation = saturation_level(volume, bits)
    highest, empty, voxels = 0.0, 0, 0
    dark = ~maps.bad & (maps.offset > _SURELY * np.maximum(maps.read_noise, 1))
    for rows, values in parts(volume, channels.values()):
        highest = max(highest, float(values.max()))
        empty += int(((values == 0) & dark[rows]).sum())
        voxels += values.size
    if no_data == "auto" and empty > _FILL * voxels:
        raise UserError(
            f"{key}.camera.dark: {empty / voxels:.2%} of the voxels of {volume.path} are 0, far "
            "below the camera's offset, as after deskewing, stitching or padding; give volumes as "
            "the camera recorded them, or remove `dark` and `flat`"
        )
    if saturation is not None:
        saturation = saturation_from(highest, volume, saturation, bits, key)
    return replace(volume, correction=Correction(maps, level=level, saturation=saturation))


def _missing_chunks(volume: Volume) -> list[str]:
    """Warn of chunks that a zarr store lacks; `UserError` if it has none.

    Zarr reads them as its fill value. They are true zeros, which many programs do not write, or
    data that were lost or never written.
    """
    if not isinstance(volume.array, ZarrArray):
        return []
    there, full = volume.array.chunk_files()
    if there == 0:
        raise UserError(
            f"{volume.array.path} has no chunk, so all its voxels are fill; copy it again from its "
            "source, or leave the volume out"
        )
    if there == full:
        return []
    share = 100 * (full - there) / full
    return [
        f"{share:.3g} % of the chunks of {volume.array.path} do not exist and are read as fill; if "
        "this is more than the empty margin, copy the volume again"
    ]


def _as_stored_here(volume: Volume) -> tuple[Volume, tuple[int, int] | None]:
    """Choose the type of a volume whose own type is converted, in one streaming pass.

    Integers that fit become uint16. Others become float32, with negative counts as they are; it
    holds integers up to 2^24 exactly and rounds larger ones to 24 bits.

    Returns
    -------
    (volume, (smallest, largest))
        The range is None where the type is kept or of floating point.
    """
    kept = volume.convert_to is None or volume.correction is not None
    if kept or volume.stored_dtype.kind == "f":
        return volume, None
    stored = replace(volume, convert_to=None, clip_at_zero=False)
    ranges = [(int(v.min()), int(v.max())) for _, v in parts(stored, range(volume.shape[1]))]
    found = min(low for low, _ in ranges), max(high for _, high in ranges)
    fits = found[0] >= 0 and found[1] <= np.iinfo(np.uint16).max
    name = "uint16" if fits else "float32"
    log.info("%s: %s from %d to %d becomes %s", volume.path, stored.dtype, *found, name)
    return replace(volume, convert_to=name), found


def _range(volume: Volume, channel: int) -> tuple[float, float]:
    """Find the finite range of a floating point channel, in one streaming pass."""
    ranges = [finite_range(values) for _, values in parts(volume, [channel])]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    return (low, high) if low < high else (0.0, 1.0)
