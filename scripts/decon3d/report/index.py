"""The page that links the datasets' pages; apart, since its job needs no figures and no tables."""

from collections.abc import Iterable
from pathlib import Path

from decon3d import paths
from decon3d.files import read_json, write_text
from decon3d.report.templating import render_plain


def build_index(root: Path, datasets: Iterable[str]) -> Path:
    """Write results/index.html, which links the datasets' pages.

    Parameters
    ----------
    datasets
        Names; one without a page is listed as such.
    """
    pages = [
        {
            "dataset": name,
            "link": paths.report(name).removeprefix("results/"),
            "there": (root / paths.report(name)).is_file(),
            "preview": paths.preview(name).removeprefix("results/")
            if (root / paths.preview(name)).is_file()
            else None,
            "card": read_json(root / paths.card(name))
            if (root / paths.card(name)).is_file()
            else None,
        }
        for name in datasets
    ]
    path = root / paths.INDEX
    write_text(path, render_plain("index.html.j2", pages=pages))
    return path
