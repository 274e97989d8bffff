"""Tables of figures are joined, and no table has an empty column."""

import math

import pytest

from decon3d.report import templating
from decon3d.report.figure_tables import any_known, filled_columns, joined_tables

COLUMNS = ["Method", "Flagged", "Worst"]


def figure(volume: str = "", *, note: str = "", cell: str = "0.1") -> dict:
    title = f"{volume}: consistency" if volume else f"tuning {cell}"
    return {
        "title": title,
        "of": volume,
        "note": note,
        "columns": COLUMNS,
        "rows": [["RL", cell, "–"]],
    }


def test_tables_of_several_volumes_are_one():
    found = joined_tables([figure("a", note="n", cell="1"), figure("b", note="n", cell="2")])
    assert [table["title"] for table in found] == ["Consistency"]
    assert found[0]["columns"] == ["Volume", *COLUMNS] and found[0]["note"] == "n"
    assert [row[:3] for row in found[0]["rows"]] == [["a", "RL", "1"], ["b", "RL", "2"]]


def test_the_table_of_one_volume_and_other_tables_stay():
    found = joined_tables([figure("a"), figure(cell="1"), figure(cell="2")])
    assert [table["title"] for table in found] == ["a: consistency", "tuning 1", "tuning 2"]
    assert all(table["columns"] == COLUMNS and len(table["rows"]) == 1 for table in found)
    assert joined_tables([{"title": "t", "caption": "c"}]) == []


def test_columns_without_a_value_are_not_shown():
    assert filled_columns(COLUMNS, [["", "–", ""], ["", "–", "0"]]) == [0, 2]
    assert filled_columns(COLUMNS, []) == [0, 1, 2]
    parts = templating._ENVIRONMENT.get_template("_figures.html.j2").module
    text = parts.plain_table(COLUMNS, [["RL", "–", "3"], ["RLTV", "–", "–"]], "t")
    assert "Worst" in text and "Flagged" not in text and text.count("<td") == 2


@pytest.mark.parametrize(
    ("values", "known"), [([None, math.nan, 0.0, ""], False), ([math.nan, 0.5], True)]
)
def test_a_column_is_known_if_any_row_has_a_value(values, known):
    assert any_known([{"x": value} for value in values], "x") is known
