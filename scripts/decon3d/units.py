"""Units of length and time, as OME, OME-Zarr (UDUNITS-2) and ImageJ write them."""

import math
from typing import Any

SMALLEST_VOXEL_UM = 0.001
LARGEST_VOXEL_UM = 20.0
"""Range of plausible voxel sizes of a light microscope, in µm."""

_PREFIXES = {
    "Y": ("yotta", 1e24),
    "Z": ("zetta", 1e21),
    "E": ("exa", 1e18),
    "P": ("peta", 1e15),
    "T": ("tera", 1e12),
    "G": ("giga", 1e9),
    "M": ("mega", 1e6),
    "k": ("kilo", 1e3),
    "h": ("hecto", 1e2),
    "da": ("deca", 1e1),
    "": ("", 1.0),
    "d": ("deci", 1e-1),
    "c": ("centi", 1e-2),
    "m": ("milli", 1e-3),
    "u": ("micro", 1e-6),
    "µ": ("micro", 1e-6),  # micro sign
    "μ": ("micro", 1e-6),  # Greek mu
    "\\u00b5": ("micro", 1e-6),  # ImageJ's escape
    "\\u00B5": ("micro", 1e-6),
    "n": ("nano", 1e-9),
    "p": ("pico", 1e-12),
    "f": ("femto", 1e-15),
    "a": ("atto", 1e-18),
    "z": ("zepto", 1e-21),
    "y": ("yocto", 1e-24),
}
_METRES = {
    **{f"{symbol}m": factor for symbol, (_, factor) in _PREFIXES.items()},
    **{
        f"{name}{metre}": factor
        for name, factor in _PREFIXES.values()
        for metre in ("meter", "meters", "metre", "metres")
    },
    **dict.fromkeys(("micron", "microns", "µ", "μ"), 1e-6),
    **dict.fromkeys(("Å", "Å", "å", "angstrom", "angstroms"), 1e-10),  # letter and symbol
    **dict.fromkeys(("in", "inch", "inches", '"'), 0.0254),
    **dict.fromkeys(("thou", "mil"), 2.54e-5),
    "li": 0.0254 / 12,  # a line of OME
    **dict.fromkeys(("ft", "foot", "feet"), 0.3048),
    **dict.fromkeys(("yd", "yard", "yards"), 0.9144),
    **dict.fromkeys(("mi", "mile", "miles"), 1609.344),
    **dict.fromkeys(("ua", "au", "astronomical_unit"), 1.495978707e11),
    **dict.fromkeys(("ly", "light_year"), 9.4607304725808e15),
    **dict.fromkeys(("pc", "parsec"), 3.0856775814913673e16),
    "pt": 0.0254 / 72,
}
"""Length in m of every unit of OME's UnitsLength and of OME-Zarr but `pixel` and `reference
frame`, which are not lengths."""
_SECONDS = {
    **{f"{symbol}s": factor for symbol, (_, factor) in _PREFIXES.items()},
    **{
        f"{name}{second}": factor
        for name, factor in _PREFIXES.values()
        for second in ("second", "seconds", "sec")
    },
    "msec": 1e-3,
    "usec": 1e-6,
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}


def micrometres(size: Any, unit: str) -> float | None:
    """Convert a length to µm.

    Parameters
    ----------
    size
        Number or its text.
    unit
        As in the file; symbols are told apart by case (OME's Mm is a megametre), names are not. An
        empty unit is µm.

    Returns
    -------
    float or None
        None if the unit is unknown or no length (`pixel`, `reference frame`), or the size is not a
        finite number.
    """
    unit = unit.strip()
    factor = _METRES.get(unit or "µm", _METRES.get(unit.lower()))
    number = finite(size)
    return None if factor is None or number is None else number * (factor * 1e6)


def seconds(value: Any, unit: str) -> float | None:
    """Convert a time between time points to seconds; None if it or its unit is not known."""
    unit = unit.strip()
    time = (finite(value) or 0.0) * _SECONDS.get(unit, _SECONDS.get(unit.lower(), 0.0))
    return time if 0 < time < math.inf else None


def finite(value: Any) -> float | None:
    """Return a number or its text as a float; None if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
