"""The Jinja2 environment of the pages: everything from outside is escaped."""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from decon3d.report.labels import ARROWS, GROUPS, METRICS, REGIONS, VARIANTS, method_label


def number(value: Any, digits: int = 2) -> str:
    """Write a number with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def quantity(value: Any) -> str:
    """Write a number with three significant digits; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}".replace("-", "−")


def duration(seconds: Any) -> str:
    """Write seconds as a person would say them."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    number=number, quantity=quantity, duration=duration, method=method_label
)
_ENVIRONMENT.globals.update(
    ARROWS=ARROWS, GROUPS=GROUPS, METRICS=METRICS, REGIONS=REGIONS, VARIANTS=VARIANTS
)


def render(template: str, **values: Any) -> str:
    """Fill in a template of this package."""
    return _ENVIRONMENT.get_template(template).render(**values)
