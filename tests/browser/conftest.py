"""A small run's page in a real browser: Debian's chromium, driven by Playwright."""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from decon3d import paths
from decon3d.report.overview import volume_rows
from decon3d.report.page import build_report, build_volume_page, report_what_exists
from support.report_tree import make_settings, make_tree, write_volume
from support.time_series import make_series

HOSTILE = "<img src=x onerror=alert(1)>"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a run of one volume, whose channel has a hostile name, with their pages."""
    root = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("decon3d.report.figures.DPI", 50)
        patch.setattr("decon3d.evaluation.statistics.RESAMPLES", 99)
        settings = make_tree(root, count=2, channel_name=HOSTILE)
        sigmas = np.zeros((20, 40, 40), np.float32)
        sigmas[:, 10:20, 10:20], sigmas[:, 25:30, 25:30] = -12, 12
        write_volume(root / paths.consistency("demo", "cell", "rl"), sigmas)
        report_what_exists(root, settings)
        build_volume_page(root, dataset="demo", volume="cell", settings=settings)
    return root


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a two-channel time series with known spots."""
    root = tmp_path_factory.mktemp("series")
    return build_report(root, dataset="pair", settings=make_series(root))


@pytest.fixture(scope="session")
def many(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run's page, as if it had 30 volumes, of which one has a method's results only."""
    root = tmp_path_factory.mktemp("many") / "run"
    shutil.copytree(site, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("decon3d.report.figures.DPI", 50)
        settings = make_settings(root)
        facts, (row,) = volume_rows(root, dataset="demo", settings=settings)
        rows = [
            dataclasses.replace(
                row,
                name=f"drug_8_hours_position_{i:02d}",
                values={key: value + i for key, value in row.values.items()},
                missing=["rltv"] if i == 0 else [],
                lacking=["rltv"] if i == 0 else [],
                pictures=[],
            )
            for i in range(30)
        ]
        patch.setattr("decon3d.report.page.volume_rows", lambda *_, **__: (facts, rows))
        patch.setattr("decon3d.report.page.shown_volumes", lambda _: ["cell"])
        build_report(root, dataset="demo", settings=settings)
    return root


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium: apt install chromium, or CHROMIUM=/path/to/it")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def visit(browser):
    """Open a page and watch it: what it requests, says on the console, and asks in a dialog."""
    opened = []

    def open_page(path: Path, *, width: int = 1400):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.trouble = []
        page.on("console", lambda m: page.trouble.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: page.trouble.append(f"error: {e}"))
        page.on("dialog", lambda d: (page.trouble.append(f"dialog: {d.message}"), d.dismiss()))
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith("data:") or r.url == path.as_uri()
                else page.trouble.append(f"request: {r.url}")
            ),
        )
        page.goto(path.as_uri())
        if page.locator(".viewer").count():
            page.locator(".viewer").scroll_into_view_if_needed()
            page.wait_for_selector(".viewer[data-ready=true]")
        opened.append(page)
        return page

    yield open_page
    for page in opened:
        page.close()
