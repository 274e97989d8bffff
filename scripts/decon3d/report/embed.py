"""Content embedded in a page: figures as small pictures, tables to download and to read."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from PIL import Image

from decon3d import paths
from decon3d.files import read_json
from decon3d.report.templating import title_of

FIGURE_BYTES = 6_000_000
"""Largest size of all figures on a page; further ones are linked. Base64 makes it 4/3 of this."""
FIGURE_WIDTH = 1600
DPI = 150
"""Dots per inch of a picture that does not state them."""
QUALITY = 90
"""Quality of WebP pictures; lossless ones take eight times as long and look the same."""
TABLE_BYTES = 500_000
"""Largest size of a table that is embedded for download; a larger one is linked."""
TABLE_ROWS = 30
"""Most rows of a table on the page."""
INDEX = "index.json"
TITLES = {
    "guide": "Guide to columns and metrics",
    "papers": "Statistical tests as papers report them",
    "wrong_psf": "Restoration with a wrong PSF",
}
"""Titles of tables by name; others have their name as title."""
SHOWN_ELSEWHERE = (
    "metrics",
    "headline",
    "summary",
    "conditions",
    "cost",
    "recommendation",
    "settings",
)

Figures = dict[str, list[dict[str, Any]]]


def figures_by_section(
    root: Path, *, dataset: str, sections: dict[str, str]
) -> tuple[Figures, list[str]]:
    """Read the figures by section; embed them up to the size limit.

    Parameters
    ----------
    sections
        Titles by name, in the order of the page; a figure of an unknown section adds it at the
        end.

    Returns
    -------
    figures, problems
        Entries of `figures/index.json` with `data` (None: linked) and their pixels; what could
        not be drawn.
    """
    folder = root / paths.figures(dataset)
    if not (folder / INDEX).is_file():
        return {}, []
    content = read_json(folder / INDEX)
    found: Figures = {name: [] for name in sections}
    left = FIGURE_BYTES
    # The pictures come last: of many volumes, the page embeds the first few.
    entries = sorted(content["figures"], key=lambda e: e["section"] == "pictures")
    pictures = [(e, p) for e in entries if (p := folder / f"{e['name']}.png").is_file()]
    with ThreadPoolExecutor() as pool:  # Pillow works outside Python's lock
        pages = list(pool.map(embedded, [picture for _, picture in pictures]))
    for (entry, _), drawn in zip(pictures, pages, strict=True):
        left -= len(drawn["data"]) * 3 // 4
        if left < 0:
            drawn["data"] = None
        sections.setdefault(entry["section"], title_of(entry["section"]))
        found.setdefault(entry["section"], []).append({**entry, **drawn})
    return found, content["problems"]


def embedded(picture: Path | BinaryIO) -> dict[str, Any]:
    """Return a picture as a WebP data URI of at most 1,600 pixels' width.

    Returns
    -------
    dict
        `data`; `width` and `height` in pixels; `inches`, the width that the figure was drawn for.
    """
    drawn = Image.open(picture)
    inches = drawn.width / drawn.info.get("dpi", (DPI, DPI))[0]
    image = drawn.convert("RGB")
    if image.width > FIGURE_WIDTH:
        height = round(image.height * FIGURE_WIDTH / image.width)
        image = image.resize((FIGURE_WIDTH, height), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", method=0, quality=QUALITY)
    data = "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
    return {"data": data, "width": image.width, "height": image.height, "inches": inches}


def _short(cell: str) -> str:
    """Round a number to five digits, for reading; other text stays."""
    try:
        return f"{float(cell):.5g}" if len(cell) > 6 else cell
    except ValueError:
        return cell


def tables(root: Path, *, dataset: str) -> list[dict[str, Any]]:
    """Read the CSV tables.

    Returns
    -------
    list of dict
        `name`; `href`: the table itself or, if large, a link to it; `title`; `columns`, `rows` (as
        text) and `left_out` (number of further rows), if no section of the page shows the table.
    """
    found: list[dict[str, Any]] = []
    for path in sorted((root / paths.table(dataset, "")).glob("*.csv")):
        href = f"tables/{path.name}"
        if path.stat().st_size <= TABLE_BYTES:
            href = "data:text/csv;base64," + base64.b64encode(path.read_bytes()).decode()
        found.append(
            {"name": path.name, "href": href, "title": TITLES.get(path.stem, title_of(path.stem))}
        )
        if path.stem not in SHOWN_ELSEWHERE:
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            rows = [[_short(cell) for cell in row] for row in table.head(TABLE_ROWS).to_numpy()]
            left_out = len(table) - len(rows)
            found[-1] |= {"columns": list(table.columns), "rows": rows, "left_out": left_out}
    return found
