"""Statistics of a channel over all volumes and time points of a dataset."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.files import read_record, write_record
from decon3d.volumes.header_checks import differing_voxels
from decon3d.volumes.normalisation import (
    Histogram,
    Normalisation,
    darkest_place,
    empty_level,
    level_error,
    normalisation_law,
)
from decon3d.volumes.saturation import saturation_of
from decon3d.volumes.volume_record import VolumeRecord


@dataclass(frozen=True)
class ChannelStatistics:
    """A channel over all volumes and time points of a dataset, in counts.

    Attributes
    ----------
    normalisation, normalisation_from
        The affine map, from the "config" or the "data".
    background
        Counts of empty places; see `normalisation.empty_level`.
    background_sigma
        Noise there: root mean square distance of the counts below.
    background_error
        Standard error of `background`; see `normalisation.level_error`.
    mean, percentiles
        Of the voxels with data; percentiles by their text, e.g. "99.9".
    voxels, saturated, not_finite, no_data
        Numbers of voxels: with data, saturated, NaN or infinite, and of fill.
    saturation
        Counts at which a voxel is saturated; None = the volumes differ, or have no such level.
    """

    normalisation: Normalisation
    normalisation_from: str
    background: float
    background_sigma: float
    mean: float
    percentiles: dict[str, float]
    voxels: int
    saturated: int
    not_finite: int
    no_data: int = 0
    saturation: float | None = None
    background_error: float = 0.0

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
        """Summarise a histogram of counts by the normalisation law.

        Parameters
        ----------
        histogram
            Of the voxels with data.
        camera_offset
            Counts of a dark image; None = from the data.
        fixed
            The config's normalisation; None = from the data.
        darkest
            Mean counts of the darkest place; None = there is none.
        saturated, not_finite, no_data, saturation
            As the attributes.
        """
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


def channel_statistics(
    records: list[VolumeRecord],
    *,
    channel: int,
    camera_offset: float | None,
    fixed: Normalisation | None,
    key: str,
) -> ChannelStatistics:
    """Merge one channel's histograms over all volumes of a dataset.

    Parameters
    ----------
    records
        Of all volumes.
    channel
        Channel index.
    camera_offset
        Counts of a dark image; None = from a calibration of the camera, or from the data.
    fixed
        The config's normalisation; None = from the data.
    key
        Config key of the dataset, for messages.

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
