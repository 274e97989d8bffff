"""The Jinja2 environment of the pages; it escapes all text from outside."""

import base64
import datetime
import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from decon3d.report.colours import INVENTED, MISSED
from decon3d.report.figure_tables import any_known, filled_columns, joined_tables

TEMPLATES = Path(__file__).parent / "templates"


def inline_script(names: Sequence[str]) -> dict[str, str] | None:
    """Join scripts of this package into one: its `text`, and the `sha256` that allows it to run."""
    if not names:
        return None
    parts = [(TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in names]
    text = '"use strict";\n' + "\n".join(parts)
    sha256 = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "sha256": sha256}  # no text from outside


def title_of(name: str) -> str:
    """Make a title of a file's or section's name."""
    return name.replace("_", " ").capitalize()


def number(value: Any, digits: int = 2) -> str:
    """Write a number with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def quantity(value: Any) -> str:
    """Write a number as `number` does, but with three significant digits; no decimals from 100."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


def is_numeric(text: Any) -> bool:
    """Return whether a cell of a table starts like a number; a dash stands for a missing one."""
    return bool(re.match(r"[-−+]?[\d.]|–$", str(text)))


def with_code(text: Any) -> Markup:
    """Escape a message, and mark what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def lower_first(text: str) -> str:
    """Write a title inside a sentence: in lower case, but for abbreviations such as PSF."""
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def listed(words: Sequence[str]) -> str:
    """Join one or more words: a; a and b; a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def duration(seconds: Any) -> str:
    """Write a duration in s, min or h."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.3g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f}".removesuffix(".0") + " min"
    return f"{seconds / 3600:.1f}".removesuffix(".0") + " h"


def date_in_words(day: datetime.date) -> str:
    """Write a date, such as 1 December 2026; of a date with a time, also hours and minutes."""
    pattern = "%d %B %Y, %H:%M" if isinstance(day, datetime.datetime) else "%d %B %Y"
    return day.strftime(pattern).lstrip("0")


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters.update(
    number=number,
    quantity=quantity,
    duration=duration,
    with_code=with_code,
    lower_first=lower_first,
)
_ENVIRONMENT.tests["numeric"] = is_numeric
_ENVIRONMENT.globals.update(
    inline_script=inline_script,
    INVENTED=INVENTED,
    MISSED=MISSED,
    any_known=any_known,
    filled_columns=filled_columns,
    joined_tables=joined_tables,
)


@cache
def _add_names() -> None:
    """Add the names of methods and metrics, whose import takes half a second."""
    from decon3d.evaluation.catalogue import METRICS
    from decon3d.report.labels import ARROWS, GROUPS, INPUT, REGIONS, VARIANTS, method_label

    _ENVIRONMENT.filters.update(method=method_label)
    _ENVIRONMENT.globals.update(
        ARROWS=ARROWS,
        INPUT=INPUT,
        GROUPS=GROUPS,
        METRICS=METRICS,
        REGIONS=REGIONS,
        VARIANTS=VARIANTS,
    )


def render_plain(template: str, **values: Any) -> str:
    """Fill in a template of this package that names no method and no metric."""
    return _ENVIRONMENT.get_template(template).render(**values)


def render(template: str, **values: Any) -> str:
    """Fill in a template of this package."""
    _add_names()
    return render_plain(template, **values)
