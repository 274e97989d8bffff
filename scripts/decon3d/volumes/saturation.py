"""The counts at which a volume is saturated."""

from dataclasses import replace
from typing import Any

import numpy as np

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.volumes.channel_accumulator import Counted
from decon3d.volumes.normalisation import Histogram
from decon3d.volumes.volume import Volume


def saturation_of(dtype: Any) -> float | None:
    """Return the largest value of an integer type, None for others."""
    return float(np.iinfo(dtype).max) if np.dtype(dtype).kind in "ui" else None


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


def without_wrong_bits(
    volume: Volume,
    found: dict[int, Counted],
    level: float | None,
    camera_bits: int | None,
    key: str,
) -> tuple[dict[int, Counted], float | None]:
    """Refuse `camera.bits` that are too few for the counts; correct those that a file states.

    Parameters
    ----------
    volume
        The volume.
    found
        Statistics by channel index.
    level
        From `saturation_level`, in counts.
    camera_bits
        The config's `camera.bits`.
    key
        Config key of the dataset, for messages.

    Returns
    -------
    statistics, level
        Those given, or, where a file states too few bits, those with the level of its type.

    Raises
    ------
    UserError
        If `camera.bits` are too few.
    """
    if level is None or volume.correction is not None:
        return found, level
    highest = max((c.histogram.percentile(100) for c in found.values()), default=0.0)
    largest = saturation_from(highest, volume, level, camera_bits, key)
    if largest == level:
        return found, level

    def full(histogram: Histogram) -> int:
        end = histogram.start + len(histogram.counts) * histogram.width
        return int(histogram.counts[histogram.index(largest)]) if end >= largest else 0

    return {i: replace(c, saturated=full(c.histogram)) for i, c in found.items()}, largest


def saturation_from(
    highest: float, volume: Volume, level: float, camera_bits: int | None, key: str
) -> float:
    """Return the counts at which a volume saturates, given its highest counts.

    That is `level`, or the largest number of the type where a file states too few bits.

    Parameters
    ----------
    highest
        Highest counts.
    volume, level, camera_bits, key
        As for `without_wrong_bits`.

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
    text = "%s states %s significant bits, but has counts up to %g; the saturation is set to %g"
    log.info(text, volume.path, volume.significant_bits, highest, largest)
    return largest
