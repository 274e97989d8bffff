"""Contradictions between a dataset's files, its config and its instrument."""

import datetime
from typing import Any

from decon3d.settings import BeadsPsf, Dataset, Instrument, Objective

SAME_APERTURE = 0.02
"""Relative difference of apertures and refractive indices that is ignored."""
SAME_WAVELENGTH_UM = 0.03
"""Difference, in µm, between an emission peak and a filter's centre that is ignored."""
SAME_PIXEL = 0.02
"""Relative difference of pixel sizes that is ignored."""
BELOW_OFFSET = 3.0
"""Counts, or multiples of the read noise, by which a dark place may be below the offset."""


def stated_otherwise(dataset: Dataset, record: dict[str, Any]) -> list[str]:
    """Compare the config with a volume file's metadata about the microscope."""
    stated, optics = record.get("stated") or {}, dataset.optics
    found = []
    for key, what in (("numerical_aperture", "NA"), ("immersion_index", "a refractive index of")):
        file, config = stated.get(key), getattr(optics, key)
        if file and abs(file / config - 1) > SAME_APERTURE:
            found.append(f"the file states {what} {file:g}, but optics.{key} is {config:g}")
    for name, channel in dataset.channels.items():
        for key in ("emission_um", "excitation_um"):
            values, config = stated.get(key) or [], getattr(channel, key)
            file = values[channel.index] if channel.index < len(values) else None
            if file and config and abs(file - config) > SAME_WAVELENGTH_UM:
                found.append(
                    f"the file states {1000 * file:.0f} nm, but channels.{name}.{key} is "
                    f"{config:g} µm"
                )
    return [f"{text}; the config's value was used; check which one is right" for text in found]


def below_the_offset(dataset: Dataset, record: dict[str, Any]) -> list[str]:
    """Warn if a volume's darkest place is darker than the camera's offset."""
    camera, frames = dataset.camera, record.get("calibration")
    if frames is not None:
        offset, noise, whose = frames["level"], frames["read_noise_counts"], "from its frames"
    elif camera.offset is not None:
        noise = (camera.read_noise or 1.0) * (camera.gain or 1.0)
        offset, whose = camera.offset, "camera.offset"
    else:
        return []
    return [
        f"the darkest place of {name} has {dark:.4g} counts, less than the camera's offset "
        f"({whose}: {offset:.4g}); check whether the camera had other settings"
        for name, channel in dataset.channels.items()
        if (dark := (record.get("darkest") or {}).get(str(channel.index))) is not None
        and dark < offset - BELOW_OFFSET * max(noise, 1.0)
    ]


def other_pixels(objective: Objective, record: dict[str, Any]) -> list[str]:
    """Compare a volume's pixels with those of the instrument's objective."""
    pixel, voxel = objective.pixel_size_um, record.get("voxel_size_um")
    if pixel is None or not voxel or all(abs(v / pixel - 1) <= SAME_PIXEL for v in voxel[1:]):
        return []
    return [
        f"the pixels are {voxel[1]:.4g} × {voxel[2]:.4g} µm (Y, X), but the instrument's are "
        f"{pixel:g} µm; check `instrument`, the voxel size, and binning"
    ]


def out_of_date(
    dataset: Dataset,
    instrument: Instrument,
    objective: Objective,
    *,
    acquired: datetime.date,
) -> list[str]:
    """List the instrument's bead stacks and frames that are too old or too new for a dataset.

    Parameters
    ----------
    acquired
        Day of the acquisition.
    """
    limit = instrument.stale_after_days
    dated = [
        (f"instrument: the beads of {name}", stack.date)
        for name, channel in dataset.channels.items()
        if isinstance(channel.psf, BeadsPsf)
        and (stack := objective.stack_of(name, dataset.date)) is not None
        and channel.psf.path == stack.path
    ]
    frames = instrument.frames_for(dataset.date)
    if frames is not None and dataset.camera.dark == frames.dark:
        dated.append(("instrument: the camera's frames", frames.date))
    found = []
    for what, date in dated:
        since = "older than the volumes"
        found += age_warning(what, date, used=acquired, limit=limit, since=since)
        if (date - acquired).days > limit:
            found.append(
                f"{what} of {date} are {(date - acquired).days} days newer than the volumes "
                f"(stale_after_days: {limit}); use those recorded near the acquisition"
            )
    return found


def age_warning(
    what: str, recorded: datetime.date, *, used: datetime.date, limit: int, since: str = "old"
) -> list[str]:
    """Warn that a recording is too old on the day of its use; no warning if it is newer."""
    age = (used - recorded).days
    if age > limit:
        return [
            f"{what} of {recorded} are {age} days {since} (stale_after_days: {limit}); record new "
            "ones"
        ]
    return []


def acquired_on(dataset: Dataset, record: dict[str, Any]) -> datetime.date | None:
    """Return the day of a volume's acquisition: the config's `date`, or the file's."""
    if dataset.date is not None:
        return dataset.date
    try:
        return datetime.date.fromisoformat((record.get("stated") or {}).get("acquired") or "")
    except ValueError:
        return None
