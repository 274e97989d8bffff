"""Ingest: any input volume becomes one OME-Zarr view and the histograms of its channels.

An OME-Zarr that needs no conversion is read in place. Other volumes are converted once, a slab of
planes at a time. A small JSON record describes the volume; all later steps start from it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.files import announce_output, read_record, write_record
from decon3d.logs import log, progress
from decon3d.volumes.camera_maps import CameraMaps, Correction, load_maps
from decon3d.volumes.channel_accumulator import ChannelAccumulator, ContentHash, Counted
from decon3d.volumes.fingerprints import check_unchanged, fresh_fingerprint
from decon3d.volumes.header_checks import differing_voxels, volume_problems
from decon3d.volumes.headers import Header
from decon3d.volumes.metadata import chosen_voxel_size, size_warnings
from decon3d.volumes.no_data import NoData
from decon3d.volumes.normalisation import (
    Histogram,
    Normalisation,
    darkest_place,
    empty_level,
    finite_range,
    level_error,
    normalisation_law,
)
from decon3d.volumes.ome_zarr import ZarrArray
from decon3d.volumes.reader import FROM_FILE, Reading, Volume, open_volume
from decon3d.volumes.slabs import SLAB_BYTES, boxes, read_slab, slabs, strips
from decon3d.volumes.volume import Triple
from decon3d.volumes.writer import create_level, default_chunk, write_metadata, write_pyramid

_WHERE = ("source", "path", "seen", "voxel_size_from", "stated", "warnings")
_EXACT = 2**24
"""Integers that float32 holds exactly are no larger."""
_SURELY = 8.0
"""Offset over read noise from which no dark pixel has 0 counts."""
_FILL = 1e-4
"""Share of voxels of 0 counts above which they are fill."""


@dataclass(frozen=True)
class VolumeRecord:
    """Ingest's record of a volume: its view, its grid, and its counts' histograms.

    `histograms`, `darkest`, `not_finite`, `saturated`, `no_data` and `filled` are by channel index;
    `darkest` is the mean of the darkest place (None where there is none), `saturated` counts voxels
    at or above `saturation`, `no_data` is the value of voxels without data (None
    where there is none) and `filled` their number; histograms and `darkest` leave them out.
    `clip_at_zero` says that negative counts are read as 0. `content` hashes the counts of each
    channel and time point, by channel index and then time index, of those that are used. `seen` is
    the fingerprint of a volume from outside that is read in place (`volumes.fingerprints`).
    `stored_dtype` is the source's type, `dtype` the view's; of integers that were converted,
    `stored_range` is their smallest and largest value.
    """

    name: str
    source: str
    path: str
    shape: tuple[int, int, int, int, int]
    dtype: str
    voxel_size_um: tuple[float, float, float]
    voxel_size_from: str
    channel_names: list[str]
    channel_colors: list[str]
    time_interval_s: float | None
    histograms: dict[str, Any]
    darkest: dict[str, float | None]
    not_finite: dict[str, int]
    saturated: dict[str, int]
    no_data: dict[str, float | None]
    filled: dict[str, int]
    content: dict[str, dict[str, str]]
    clip_at_zero: bool = False
    seen: str = ""
    stored_dtype: str = ""
    stored_range: tuple[int, int] | None = None
    position_um: Triple | None = None
    """Position (Z, Y, X) of the first voxel on the stage, in µm."""
    saturation: float | None = None
    """Counts at and above which a voxel is saturated; None = a floating point type has no such."""
    calibration: dict[str, Any] | None = None
    """Calibration by which the counts were corrected (`camera_maps.Calibration`), with `level`, the
    offset afterwards; None = not corrected."""
    stated: dict[str, Any] = field(default_factory=dict)
    """The file's metadata about the microscope (`stated_optics.Stated`)."""
    warnings: list[str] = field(default_factory=list)
    """Warnings about the file, in sentences for the report."""

    @property
    def identity(self) -> dict[str, Any]:
        """The key of results: all of the record except its path, warnings and `stated`."""
        return {k: v for k, v in asdict(self).items() if k not in _WHERE}

    def open(self) -> Volume:
        """Open the view of the volume."""
        return open_volume(self.path, clip_at_zero=self.clip_at_zero)

    def own_name(self, channel: int) -> str | None:
        """Return the file's own name of a channel, if it has one."""
        names = self.channel_names
        own = names[channel] if channel < len(names) else ""
        return None if own in ("", f"channel {channel}") else own

    def kept(self, channels: dict[str, int], times: Sequence[int] | None) -> dict[str, Any]:
        """Return the metadata for an output of some channels and time points.

        Parameters
        ----------
        channels
            The config's names, for channels without a name in the file, with the index there.
        times
            None = all.

        Returns
        -------
        dict
            `voxel_size_um`, `position_um`, `channel_names`, `channel_colors` and
            `time_interval_s`: between the chosen time points, None where they are not evenly
            spaced.
        """
        colors = self.channel_colors
        steps = set() if times is None else {b - a for a, b in pairwise(times)}
        step = steps.pop() if len(steps) == 1 else 0 if steps else 1
        interval = self.time_interval_s
        return {
            "voxel_size_um": self.voxel_size_um,
            "position_um": self.position_um,
            "channel_names": [self.own_name(i) or name for name, i in channels.items()],
            "channel_colors": [colors[i] for i in channels.values() if i < len(colors)],
            "time_interval_s": interval * step if interval is not None and step > 0 else None,
        }

    def histogram(self, channel: int) -> Histogram:
        """Return the histogram of one channel over the selected time points."""
        return _unpack(self.histograms[str(channel)])

    def fill(self, channel: int) -> float | None:
        """Return the value of one channel's voxels without data, or None."""
        return self.no_data[str(channel)]


def load_record(path: str | Path) -> VolumeRecord:
    """Read a record that `ingest` wrote."""
    values = read_record(path)
    for key in ("shape", "voxel_size_um", "stored_range", "position_um"):
        values[key] = values.get(key) and tuple(values[key])
    return VolumeRecord(**values)


def voxel_size_of(
    source: str, *, configured: Triple | None, key: str, reading: Reading = FROM_FILE
) -> tuple[float, float, float]:
    """Return a dataset's voxel size (Z, Y, X) in µm: the config's, or else the metadata's.

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
    log.info("%s: %s, %s, voxel %s µm (Z, Y, X)", source, volume.shape, volume.dtype, size)
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
    with progress(total=planes, what=f"ingest {name}", unit="planes") as bar:
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
    found, level = _without_wrong_bits(volume, found, level, camera_bits, key)
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
        histograms={str(i): _pack(c.histogram) for i, c in found.items()},
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
        log.warning("%s: %d voxels are NaN or infinite and have no data", where, counted.not_finite)
    if counted.saturated:
        log.warning("%s: %d voxels are saturated", where, counted.saturated)


def fills_of(record: VolumeRecord, *, raw: dict[str, int], now: dict[str, int]) -> dict[int, Any]:
    """Return the fill rule of each channel of a volume's restoration.

    Such voxels keep the volume's value; negative counts are read as 0.

    Parameters
    ----------
    record
        Of the volume.
    raw, now
        Its channels with their index there, and in the restored volume.
    """
    fills = {name: record.fill(index) for name, index in raw.items()}
    return {now[name]: "none" if fill is None else max(fill, 0.0) for name, fill in fills.items()}


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


def saturation_level(volume: Volume, camera_bits: int | None) -> float | None:
    """Return the counts at which a volume saturates; None for a floating point type.

    That is the largest number of the camera's bits, of those that the file states to be
    significant, or of the type. Of corrected counts, it is what saturated ones were set to.
    """
    if volume.correction is not None:
        return volume.correction.saturated_level
    largest = saturation_of(volume.stored_dtype)
    bits = camera_bits or volume.significant_bits
    return largest if largest is None or bits is None else min(largest, 2.0**bits - 1)


def _without_wrong_bits(
    volume: Volume,
    found: dict[int, Counted],
    level: float | None,
    camera_bits: int | None,
    key: str,
) -> tuple[dict[int, Counted], float | None]:
    """Refuse `camera.bits` that are too few for the counts; correct those that a file states."""
    if level is None or volume.correction is not None:
        return found, level
    highest = max((c.histogram.percentile(100) for c in found.values()), default=0.0)
    largest = _saturation_from(highest, volume, level, camera_bits, key)
    if largest == level:
        return found, level

    def full(histogram: Histogram) -> int:
        end = histogram.start + len(histogram.counts) * histogram.width
        return int(histogram.counts[histogram.index(largest)]) if end >= largest else 0

    return {i: replace(c, saturated=full(c.histogram)) for i, c in found.items()}, largest


def _saturation_from(
    highest: float, volume: Volume, level: float, camera_bits: int | None, key: str
) -> float:
    """Return the counts at which a volume saturates, given its highest counts.

    That is `level`, or the largest number of the type where a file states too few bits.

    Raises
    ------
    UserError
        If `camera.bits` are too few.
    """
    largest = saturation_of(volume.stored_dtype)
    if largest is None or level == largest or not highest > level:
        return level
    if camera_bits is not None:
        raise UserError(
            f"{key}.camera.bits: {camera_bits} bits end at {level:g}, but {volume.path} has counts "
            f"up to {highest:g}; correct `camera.bits`, or set it to null"
        )
    words = "%s states %s significant bits, but has counts up to %g; the saturation is set to %g"
    log.info(words, volume.path, volume.significant_bits, highest, largest)
    return largest


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
            f"pixels (Y, X), but {volume.path} {height} × {width}; give frames of the same region "
            "of the camera, or remove `dark` and `flat`"
        )
    if not isinstance(no_data, str):
        raise UserError(
            f"{key}.no_data: {no_data} contradicts camera.dark, since a camera's frames have no "
            "fill; give volumes as the camera recorded them, or remove `dark` and `flat`"
        )
    saturation = saturation_level(volume, bits)
    highest, empty, voxels = 0.0, 0, 0
    dark = ~maps.bad & (maps.offset > _SURELY * np.maximum(maps.read_noise, 1))
    for time, channel, slab in slabs(volume):
        for z, y in boxes(volume, slab) if channel in channels.values() else ():
            values = volume.read(time, channel, (z, y, slice(None)))
            highest = max(highest, float(values.max()))
            empty += int(((values == 0) & dark[y]).sum())
            voxels += values.size
    if no_data == "auto" and empty > _FILL * voxels:
        raise UserError(
            f"{key}.camera.dark: {empty / voxels:.2%} of the voxels of {volume.path} are 0, far "
            "below the camera's offset, as after deskewing, stitching or padding; give volumes as "
            "the camera recorded them, or remove `dark` and `flat`"
        )
    if saturation is not None:
        saturation = _saturation_from(highest, volume, saturation, bits, key)
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
    low, high = [], []
    for time, channel, slab in slabs(stored):
        for z, y in boxes(stored, slab):
            values = stored.read(time, channel, (z, y, slice(None)))
            low.append(int(values.min()))
            high.append(int(values.max()))
    found = min(low), max(high)
    fits = found[0] >= 0 and found[1] <= np.iinfo(np.uint16).max
    name = "uint16" if fits else "float32"
    log.info("%s: %s from %d to %d becomes %s", volume.path, stored.dtype, *found, name)
    return replace(volume, convert_to=name), found


def _range(volume: Volume, channel: int) -> tuple[float, float]:
    """Find the finite range of a floating point channel, in one streaming pass."""
    ranges = [
        finite_range(volume.read(time, c, (z, y, slice(None))))
        for time, c, slab in slabs(volume)
        if c == channel
        for z, y in boxes(volume, slab)
    ]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    return (low, high) if low < high else (0.0, 1.0)


def _pack(histogram: Histogram) -> dict[str, Any]:
    """Convert a histogram to JSON: only the levels that occur."""
    levels = np.flatnonzero(histogram.counts)
    return {
        "start": histogram.start,
        "width": histogram.width,
        "bins": len(histogram.counts),
        "index": levels.tolist(),
        "count": histogram.counts[levels].tolist(),
    }


def _unpack(packed: dict[str, Any]) -> Histogram:
    counts = np.zeros(packed["bins"], np.int64)
    counts[packed["index"]] = packed["count"]
    return Histogram(packed["start"], packed["width"], counts)


@dataclass(frozen=True)
class ChannelStatistics:
    """A channel over all volumes and time points of a dataset, in counts."""

    normalisation: Normalisation
    normalisation_from: str
    background: float
    """Of empty places; see `normalisation.empty_level`."""
    background_sigma: float
    """Noise there: root mean square distance of the counts below."""
    mean: float
    percentiles: dict[str, float]
    voxels: int
    saturated: int
    not_finite: int
    no_data: int = 0
    """Voxels of fill, which the numbers above exclude."""
    saturation: float | None = None
    """Counts at which a voxel is saturated: the largest of the camera's bits or of the type."""
    background_error: float = 0.0
    """Standard error of `background`; see `normalisation.level_error`."""

    @classmethod
    def of(
        cls,
        histogram: Histogram,
        *,
        camera_offset: float | None = None,
        fixed: Normalisation | None = None,
        darkest: float | None = None,
        saturated: int = 0,
        not_finite: int = 0,
        no_data: int = 0,
        saturation: float | None = None,
    ) -> "ChannelStatistics":
        """Summarise a histogram of counts by the normalisation law."""
        dark = np.inf if darkest is None else darkest
        law = fixed or normalisation_law(histogram, darkest=dark, camera_offset=camera_offset)
        level = empty_level(histogram, dark)
        return cls(
            normalisation=law,
            normalisation_from="config" if fixed else "data",
            background=level,
            background_sigma=histogram.spread_below(level),
            mean=histogram.mean(),
            percentiles={f"{q:g}": histogram.percentile(q) for q in (0.1, 1, 50, 99, 99.9, 100)},
            voxels=int(histogram.counts.sum()),
            saturated=saturated,
            not_finite=not_finite,
            no_data=no_data,
            saturation=saturation,
            background_error=level_error(histogram, level, dark),
        )

    @classmethod
    def of_image(
        cls, image: NDArray[Any], *, camera_offset: float | None = None
    ) -> "ChannelStatistics":
        """Summarise one image (Z, Y, X), in counts; NaN = no data."""
        return cls.of(
            Histogram.of(image),
            camera_offset=camera_offset,
            darkest=darkest_place(image),
            saturation=saturation_of(image.dtype),
        )


def saturation_of(dtype: Any) -> float | None:
    """Return the largest value of an integer type, None for others."""
    return float(np.iinfo(dtype).max) if np.dtype(dtype).kind in "ui" else None


def channel_statistics(
    records: list[VolumeRecord],
    *,
    channel: int,
    camera_offset: float | None,
    fixed: Normalisation | None,
    key: str,
) -> ChannelStatistics:
    """Merge one channel's histograms over all volumes of a dataset.

    Raises
    ------
    UserError
        If the volumes differ in voxel size by more than 1 % (a dataset shares a microscope), or
        hold no data.
    """
    if camera_offset is None and records[0].calibration is not None:
        camera_offset = records[0].calibration["level"]
    problems = differing_voxels(((r.source, r.voxel_size_um) for r in records), key=key)
    if problems:
        raise UserError("\n".join(problems))
    first = records[0]
    darkest = [d for r in records if (d := r.darkest[str(channel)]) is not None]
    total = first.histogram(channel)
    for record in records[1:]:
        total = total + record.histogram(channel)
    if not total.counts.any():
        raise UserError(
            f"{key}: no volume holds data in the channel with index {channel}: all voxels are "
            f"fill or not finite; check {key}.no_data and the files"
        )
    levels = {r.saturation for r in records}
    return ChannelStatistics.of(
        total,
        camera_offset=camera_offset,
        fixed=fixed,
        darkest=min(darkest, default=None),
        saturated=sum(r.saturated[str(channel)] for r in records),
        not_finite=sum(r.not_finite[str(channel)] for r in records),
        no_data=sum(r.filled[str(channel)] for r in records),
        saturation=levels.pop() if len(levels) == 1 else None,
    )


def save_statistics(path: str | Path, statistics: ChannelStatistics) -> None:
    """Write statistics as JSON."""
    write_record(path, asdict(statistics))


def load_statistics(path: str | Path) -> ChannelStatistics:
    """Read statistics that `save_statistics` wrote."""
    values = read_record(path)
    return ChannelStatistics(
        **{**values, "normalisation": Normalisation(**values["normalisation"])}
    )
