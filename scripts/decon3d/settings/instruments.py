"""Instruments in the config: microscopes with their objectives, cameras and bead stacks."""

import datetime
from collections.abc import Iterable
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Day, Files, Name, Section
from decon3d.optics.sections import (
    BeadImages,
    BeadsPsf,
    ChannelOptics,
    Optics,
    check_excitation,
)
from decon3d.volumes.sections import CameraSection

UNDATED = "undated"
"""Replaces the day of undated frames."""


class _Dated(Protocol):
    @property
    def date(self) -> datetime.date: ...


Dated = TypeVar("Dated", bound=_Dated)


def latest(entries: Iterable[Dated], day: datetime.date | None) -> Dated | None:
    """Choose the newest entry up to a day (None = of all entries); if all are later, the first one.

    Returns
    -------
    Dated or None
        None if there is no entry.
    """
    by_date = sorted(entries, key=lambda entry: entry.date)
    earlier = [entry for entry in by_date if day is None or entry.date <= day]
    chosen = earlier or by_date[:1]
    return chosen[-1] if chosen else None


class BeadStack(BeadImages):
    """A stack of beads that was recorded on a known day, in one or more channels."""

    date: Day
    """Day of the recording, YYYY-MM-DD."""
    channels: Annotated[dict[Name, Annotated[int, Field(ge=0)]], Field(min_length=1)]
    """Channels of the stack: the instrument's name of the channel, and its position on the stack's
    channel axis, from 0."""


class CameraFrames(Section):
    """Dark and flat frames of a camera, recorded on a known day."""

    date: Day
    """Day of the recording, YYYY-MM-DD."""
    dark: Files
    """Frames without light, given like `dark` of a dataset's camera."""
    flat: Files | None = None
    """Frames of uniform light, given like `flat` of a dataset's camera."""


class Objective(Section):
    """An objective of a microscope, with the rest of the light path."""

    optics: Optics
    """The optics with this objective."""
    pixel_size_um: PositiveFloat | None = None
    """Length of a pixel in the specimen, in µm. If the voxel size of a volume along Y and X differs
    from it, the volume's page shows a warning."""
    beads: list[BeadStack] = []  # noqa: RUF012 (pydantic copies it)
    """Bead stacks, in any order. Without bead stacks, the PSF is computed from theory."""

    @model_validator(mode="after")
    def _one_a_day(self) -> "Objective":
        seen: set[tuple[str, datetime.date]] = set()
        for stack in self.beads:
            for channel in stack.channels:
                if (channel, stack.date) in seen:
                    raise PydanticCustomError(
                        "beads",
                        "two bead stacks of the channel {channel} have the date {date}; keep one",
                        {"channel": channel, "date": str(stack.date)},
                    )
                seen.add((channel, stack.date))
        return self

    def stack_of(self, channel: str, day: datetime.date | None) -> BeadStack | None:
        """Choose the bead stack of a channel for an acquisition on a day (None = the newest)."""
        return latest((stack for stack in self.beads if channel in stack.channels), day)


class Instrument(Section):
    """A microscope, described once for all datasets that are recorded with it."""

    title: str = ""
    """Full name of the microscope, for its page."""
    camera: CameraSection = CameraSection()
    """The camera."""
    frames: list[CameraFrames] = []  # noqa: RUF012 (pydantic copies it)
    """The camera's dark and flat frames, in any order. A dataset uses the newest ones up to its
    `date`."""
    channels: Annotated[dict[Name, ChannelOptics], Field(min_length=1)]
    """Channels by name. A dataset's channel with the same name gets these wavelengths and the
    PSF."""
    objectives: Annotated[dict[Name, Objective], Field(min_length=1)]
    """Objectives by name. A dataset selects one as `<instrument>_<objective>`, or as `<instrument>`
    if there is only one objective."""
    reference_channel: Name | None = None
    """Channel against which the shifts of the others are measured, on beads that are visible in
    both; null = the first of `channels`."""
    chromatic: Literal["report", "apply"] = "report"
    """`report`: report the shifts between channels. `apply`: also correct them, so that the
    restored channels are registered with the reference channel."""
    stale_after_days: PositiveInt = 180
    """Days after which a bead stack or camera frames are too old for an acquisition. Older ones are
    used with a warning."""

    @model_validator(mode="after")
    def _one_set_of_frames(self) -> "Instrument":
        dates = [str(frames.date) for frames in self.frames]
        if twice := sorted({d for d in dates if dates.count(d) > 1}):
            raise PydanticCustomError(
                "camera",
                "two entries of `frames` have the date {date}; keep one",
                {"date": twice[0]},
            )
        if self.frames and self.camera.dark is not None:
            raise PydanticCustomError(
                "camera",
                "both camera.dark and `frames` are given; move camera.dark to `frames`, with "
                "its date",
            )
        return self

    @model_validator(mode="after")
    def _known_reference(self) -> "Instrument":
        name = self.reference_channel
        if name is not None and name not in self.channels:
            raise PydanticCustomError(
                "channels",
                "reference_channel: unknown channel {name}; this instrument has {known}",
                {"name": repr(name), "known": ", ".join(self.channels)},
            )
        return self

    @property
    def reference(self) -> str:
        """Channel against which shifts are measured."""
        return self.reference_channel or next(iter(self.channels))

    def psf_of(self, stack: BeadStack, channel: str) -> BeadsPsf:
        """Return a bead stack as the `psf` of one of its channels."""
        values = {key: getattr(stack, key) for key in BeadImages.model_fields}
        kept = {key: value for key, value in values.items() if key in stack.model_fields_set}
        if self.reference != channel and self.reference in stack.channels:
            kept["reference_channel"] = stack.channels[self.reference]
            kept["align"] = self.chromatic == "apply"
        return BeadsPsf(source="beads", channel=stack.channels[channel], **kept)

    @property
    def frame_days(self) -> list[str]:
        """Days of the camera's frames, the first one first; those of `camera` are undated."""
        days = sorted(str(frames.date) for frames in self.frames)
        return [*([UNDATED] if self.camera.dark is not None else []), *days]

    def frames_for(self, day: datetime.date | None) -> CameraFrames | None:
        """Choose the camera's frames for an acquisition on a day (None = the newest)."""
        return latest(self.frames, day)

    @model_validator(mode="after")
    def _known_channels(self) -> "Instrument":
        for name, objective in self.objectives.items():
            for i, stack in enumerate(objective.beads):
                for channel in stack.channels:
                    if channel not in self.channels:
                        raise PydanticCustomError(
                            "beads",
                            "objectives.{name}.beads[{i}].channels names the unknown channel "
                            "{channel}; this instrument has {known}",
                            {
                                "name": name,
                                "i": i,
                                "channel": repr(channel),
                                "known": ", ".join(self.channels),
                            },
                        )
            check_excitation(objective.optics, self.channels)
        return self
