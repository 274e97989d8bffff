"""The record of an ingested volume, from which all later steps start."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from decon3d.files import read_record
from decon3d.volumes.normalisation import Histogram
from decon3d.volumes.reader import Volume, open_volume
from decon3d.volumes.volume import Triple

_WHERE = ("source", "path", "seen", "voxel_size_from", "stated", "warnings")


@dataclass(frozen=True)
class VolumeRecord:
    """The record of an ingested volume: its view, its grid, and the histograms of its counts.

    Dictionaries are by channel index (a string, as in JSON).

    Attributes
    ----------
    name
        Name in the results.
    source, path
        The input, and the view that later steps read: the converted OME-Zarr, or the input itself.
    shape
        Voxels (T, C, Z, Y, X).
    dtype, stored_dtype
        Type of the counts in the view, and in the input.
    stored_range
        Smallest and largest value of integers that were converted; None for others.
    voxel_size_um, voxel_size_from
        Voxel size (Z, Y, X), in µm, from the "config" or the "metadata".
    position_um
        Position (Z, Y, X) of the first voxel on the stage, in µm.
    channel_names, channel_colors
        Of all channels; colours are RRGGBB, or there are none.
    time_interval_s
        Time between time points, in s; None = unknown.
    histograms
        Counts of the voxels with data (`Histogram.packed`).
    darkest
        Mean of the darkest place; None = there is none.
    not_finite
        Voxels that are NaN or infinite.
    saturated, saturation
        Voxels at or above the level of saturation, and that level in counts; None = a floating
        point type has none.
    no_data, filled
        Value of the voxels without data (None = all have data), and their number.
    content
        Hash of the counts by channel index and time index, of the used ones.
    clip_at_zero
        Whether negative counts are read as 0.
    seen
        Fingerprint of an input that is read in place (`volumes.fingerprints`); else empty.
    calibration
        Calibration by which the counts were corrected (`camera_maps.Calibration`), with `level`,
        the offset afterwards; None = not corrected.
    stated
        The file's metadata about the microscope (`stated_optics.Stated`).
    warnings
        Warnings about the file, in sentences for the report.
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
    saturation: float | None = None
    calibration: dict[str, Any] | None = None
    stated: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

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
        return Histogram.unpacked(self.histograms[str(channel)])

    def fill(self, channel: int) -> float | None:
        """Return the value of one channel's voxels without data, or None."""
        return self.no_data[str(channel)]


def load_record(path: str | Path) -> VolumeRecord:
    """Read a record that `ingest` wrote."""
    values = read_record(path)
    for key in ("shape", "voxel_size_um", "stored_range", "position_um"):
        values[key] = values.get(key) and tuple(values[key])
    return VolumeRecord(**values)


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
