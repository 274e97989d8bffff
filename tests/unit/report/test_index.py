"""The index of all datasets in the results."""

import os
import re

from decon3d import paths
from decon3d.files import write_json, write_text
from decon3d.report.index import build_index

DAY = 24 * 3600
CARD = {"restored": "2 volumes.", "volumes": 2, "odd": [], "pictures": [["raw", "data:,x"]]}


def page(root, name, *, mtime=None, **more):
    path = root / paths.report(name)
    write_text(path, "<html></html>")
    write_json(root / paths.card(name), {**CARD, **more})
    if mtime:
        os.utime(path, (mtime, mtime))


def test_all_datasets_are_listed_newest_first_with_time_picture_and_what_is_missing(tmp_path):
    page(tmp_path, "old", made="2026-01-09T09:05+01:00")
    missing = ["RL: 1 of 2 restored volumes"]
    page(tmp_path, "partial", mtime=DAY, made="2026-11-30T19:00+01:00", missing=missing)
    text = build_index(tmp_path, ["partial", "waiting"]).read_text()
    assert re.findall(r"<h2>(?:<a [^>]*>)?(\w+)", text) == ["partial", "old", "waiting"]
    assert "30 November 2026, 19:00" in text and ">9 January 2026, 09:05<" in text
    assert "Missing: RL: 1 of 2 restored volumes" in text and text.count("partial</strong>") == 1
    assert "1970" not in text and text.count("data:,x") == 2
    assert "waiting: no report yet" in text


def test_a_recommendation_is_shown_with_code(tmp_path):
    advice = {"channel": "signal", "sentence": "Add `rl: {}` to `methods`."}
    page(tmp_path, "demo", recommendations=[advice])
    text = build_index(tmp_path, []).read_text()
    assert "Add <code>rl: {}</code> to <code>methods</code>." in text


def test_cards_without_a_time_and_damaged_cards_hide_nothing(tmp_path):
    page(tmp_path, "before", mtime=1_700_000_000)
    page(tmp_path, "undated", mtime=DAY)
    page(tmp_path, "damaged", mtime=1_600_000_000)
    (tmp_path / paths.card("damaged")).write_text("{")
    write_text(tmp_path / paths.preview("tried"), "<html></html>")
    text = build_index(tmp_path, []).read_text()
    found = re.findall(r"<h2>(?:<a [^>]*>)?(\w+)", text)
    assert found == ["tried", "before", "damaged", "undated"] and "1970" not in text
    assert 'href="tried/preview.html"' in text and "November 2023" in text
