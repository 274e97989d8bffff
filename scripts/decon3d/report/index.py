"""The page that links the pages of all datasets.

It also lists datasets of other configs in the same folder of results. This module is separate
because its job needs no figures and no tables.
"""

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.errors import UserError
from decon3d.files import read_json, write_text
from decon3d.logs import log
from decon3d.report.templating import date_in_words, render_plain

PARTIAL_DATE = datetime.timedelta(days=2).total_seconds()
"""Files of partial pages are dated before it, in 1970 (`scripts/report_existing.py`)."""


def build_index(root: Path, datasets: Iterable[str]) -> Path:
    """Write results/index.html, which links the pages of all datasets in `results`, newest first.

    Parameters
    ----------
    datasets
        Names of the config; one without a page is listed as such.

    Returns
    -------
    Path
        The page.
    """
    made = {
        path.parent.name
        for pattern in (paths.card("*"), paths.report("*"), paths.preview("*"))
        for path in root.glob(pattern)
    }
    entries = [_entry(root, name) for name in sorted({*datasets, *made})]
    entries.sort(key=lambda entry: _seconds(entry["time"]), reverse=True)
    path = root / paths.INDEX
    write_text(path, render_plain("index.html.j2", pages=entries))
    return path


def _entry(root: Path, name: str) -> dict[str, Any]:
    """Collect what the index shows of one dataset. A damaged card does not hide the dataset."""
    page, preview = root / paths.report(name), root / paths.preview(name)
    card: dict[str, Any] = {}
    try:
        if (root / paths.card(name)).is_file():
            card = read_json(root / paths.card(name))
    except (UserError, OSError) as error:
        log.warning("the index shows %s without its card: %s", name, error)
    time = card.get("made") or _date_of(page) or _date_of(preview)
    return {
        "dataset": name,
        "link": paths.report(name).removeprefix("results/"),
        "there": page.is_file(),
        "preview": paths.preview(name).removeprefix("results/") if preview.is_file() else None,
        "card": card,
        "time": time,
        "made": _in_words(time),
        "missing": card.get("missing", []),
    }


def _date_of(path: Path) -> str:
    """Return when a file was written (ISO 8601); empty if it does not exist or has no date."""
    seconds = path.stat().st_mtime if path.is_file() else 0.0
    if seconds < PARTIAL_DATE:
        return ""
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat("T", "minutes")


def _seconds(time: str) -> float:
    return datetime.datetime.fromisoformat(time).timestamp() if time else 0.0


def _in_words(time: str) -> str:
    if not time:
        return ""
    return date_in_words(datetime.datetime.fromisoformat(time))
