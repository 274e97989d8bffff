"""Units of length and time, as the formats' metadata write them."""

from typing import Any

_MICROMETRES = {
    "": 1.0, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "micrometre": 1.0, "\\u00b5m": 1.0, "nm": 1e-3, "nanometer": 1e-3, "mm": 1e3,
    "millimeter": 1e3, "cm": 1e4, "centimeter": 1e4, "m": 1e6, "meter": 1e6, "inch": 25400.0,
    "angstrom": 1e-4, "å": 1e-4,
}  # fmt: skip
_SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "msec": 1e-3,
    "millisecond": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "microsecond": 1e-6, "ns": 1e-9,
    "nanosecond": 1e-9, "min": 60.0, "minute": 60.0, "minutes": 60.0, "h": 3600.0, "hr": 3600.0,
    "hour": 3600.0, "hours": 3600.0, "d": 86400.0, "day": 86400.0,
}  # fmt: skip


def micrometres(size: float, unit: str) -> float | None:
    """Convert a length to µm; None if the unit is not known."""
    factor = _MICROMETRES.get(unit.lower())
    return None if factor is None else float(size) * factor


def seconds(value: Any, unit: str) -> float | None:
    """Convert a time between time points to seconds; None if it or its unit is not known."""
    # Not in lower case: OME's Ms are megaseconds.
    time = float(value or 0) * _SECONDS.get(unit, 0.0)
    return time if time > 0 else None
