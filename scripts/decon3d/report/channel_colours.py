"""Colours of channels in an overlay: the file's, else by emission wavelength; no two are alike."""

import re
from collections.abc import Mapping

from decon3d.settings import Channel
from decon3d.volumes.volume_record import VolumeRecord

BY_EMISSION = ((0.49, "#2860ff"), (0.57, "#00d838"), (0.62, "#ff8c00"), (0.66, "#ff2828"))
"""Longest emission wavelength (µm) of blue, green, orange and red; longer ones are magenta."""
FAR_RED = "#ff28ff"
DISTINCT = ("#ff28ff", "#00d838", "#00a0ff", "#ffb000", "#ff2828", "#b0b0ff")
"""Colours where others would be alike; people with colour blindness tell the first four apart."""
LEAST_SATURATION = 60
"""Least difference of a file's red, green and blue; grey and white are no channel's colour."""
LEAST_DISTANCE = 100
"""Least difference of two channels in one of red, green and blue."""


def channel_colours(record: VolumeRecord, channels: Mapping[str, Channel]) -> dict[str, str]:
    """Choose a colour for each channel of a volume.

    A file without colours, or with white (the default of OME), leaves the choice to the emission
    wavelength. A colour that looks like that of an earlier channel is replaced.

    Returns
    -------
    dict
        #rrggbb by channel name.
    """
    chosen: dict[str, str] = {}
    for name, channel in channels.items():
        stated = record.channel_colors[channel.index : channel.index + 1]
        candidates = [f"#{c.lower()}" for c in stated if _saturated(c)]
        candidates += [by_emission(channel.emission_um), *DISTINCT]
        free = (c for c in candidates if all(_differ(c, other) for other in chosen.values()))
        chosen[name] = next(free, candidates[0])
    return chosen


def by_emission(emission_um: float) -> str:
    """Return the colour of an emission wavelength in µm, as #rrggbb."""
    return next((colour for longest, colour in BY_EMISSION if emission_um < longest), FAR_RED)


def _rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def _saturated(stated: str) -> bool:
    """Return whether a text of a file is a colour, RRGGBB, that is not grey."""
    if re.fullmatch("[0-9A-Fa-f]{6}", stated) is None:
        return False
    parts = _rgb(f"#{stated}")
    return max(parts) - min(parts) >= LEAST_SATURATION


def _differ(first: str, second: str) -> bool:
    apart = [abs(a - b) for a, b in zip(_rgb(first), _rgb(second), strict=True)]
    return max(apart) >= LEAST_DISTANCE
