"""Frozen sections of the config, and the types that their keys share: names, shapes, lengths in µm.

A package defines the sections that it works with (`optics.sections`, `volumes.sections` …); the
package `settings` puts the whole config together. A section is a frozen, keyword-only record that
checks its values; code that needs no more takes the section itself, such as `Optics`. A section
whose null values are filled from the data becomes a dataclass of the library: `CameraSection` a
`Camera` (`volumes.camera.resolve_camera`), `NormalisationSection` a `Normalisation` (`law`).
"""

import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PositiveInt
from pydantic_core import PydanticCustomError

from decon3d.units import LARGEST_VOXEL_UM, SMALLEST_VOXEL_UM

NAME = r"^[A-Za-z0-9_-]+$"


Name = Annotated[str, Field(pattern=NAME)]


Shape = tuple[PositiveInt, PositiveInt, PositiveInt]


def _plausible_voxel(value: float) -> float:
    if not SMALLEST_VOXEL_UM <= value <= LARGEST_VOXEL_UM:
        raise _outside(value, SMALLEST_VOXEL_UM, LARGEST_VOXEL_UM)
    return value


def _plausible_wavelength(value: float) -> float:
    if not 0.2 <= value <= 2:
        raise _outside(value, 0.2, 2)
    return value


def _outside(value: float, low: float, high: float) -> PydanticCustomError:
    """Describe a length that is not plausible; it may have been given in nm."""
    nanometres = low <= value / 1000 <= high
    return PydanticCustomError(
        "unit",
        "{value} µm is outside {low}–{high} µm; {advice}",
        {
            "value": f"{value:g}",
            "low": f"{low:g}",
            "high": f"{high:g}",
            "advice": f"did you mean {value / 1000:g}?" if nanometres else "give micrometres",
        },
    )


Voxel = Annotated[float, AfterValidator(_plausible_voxel)]


VoxelSize = tuple[Voxel, Voxel, Voxel]


Series = Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)]


def _known_axes(value: str) -> str:
    known = set(value) <= set("TCZYX") and len(set(value)) == len(value)
    if not known or not {"Z", "Y", "X"} <= set(value):
        raise PydanticCustomError(
            "axes",
            "{value} does not name Z, Y, X and any of T and C, each once, e.g. TZYX",
            {"value": repr(value)},
        )
    return value


Axes = Annotated[str, AfterValidator(_known_axes)]


def _day(value: Any) -> Any:
    """Reject numbers of seconds and times, which pydantic would accept as dates."""
    if isinstance(value, str):
        try:
            return datetime.date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value
    raise PydanticCustomError(
        "day", "{value} is not a date; give YYYY-MM-DD, e.g. 2026-03-02", {"value": repr(value)}
    )


Day = Annotated[datetime.date, BeforeValidator(_day)]


Wavelength = Annotated[float, AfterValidator(_plausible_wavelength)]


Index = Annotated[float, Field(ge=1.0, le=2.0)]


Stretch = Annotated[float, Field(ge=0.5, le=2.0)]


Files = str | Annotated[list[str], Field(min_length=1)]
"""A path, a pattern, or a list of these."""


class Section(BaseModel):
    """A part of the config: frozen, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_default=True,
        defer_build=True,  # most jobs use few of the sections
    )
