"""The tables of figures, as a page shows them: joined, and without empty columns."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

EMPTY = ("", "–")
"""Cells that stand for a missing value."""


def joined_tables(figures: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join the tables of a section's figures that have the same columns and name their volumes.

    Parameters
    ----------
    figures
        Entries of the figures.

    Returns
    -------
    list of dict
        `title`, `columns`, `rows` and `note` (empty if there is none). Joined tables start with
        the column Volume.
    """
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for figure in figures:
        if figure.get("rows") or figure.get("note"):
            key = tuple(figure["columns"]) if figure.get("of") else (figure["title"],)
            groups.setdefault(key, []).append(figure)
    joined = []
    for members in groups.values():
        first = members[0]
        columns, rows = list(first.get("columns", ())), list(first.get("rows", ()))
        title = first["title"]
        if len(members) > 1:
            columns = ["Volume", *columns]
            rows = [[member["of"], *row] for member in members for row in member["rows"]]
            title = first["title"].removeprefix(f"{first['of']}: ").capitalize()
        joined.append(
            {
                "title": title,
                "columns": columns,
                "rows": rows,
                "note": first.get("note", ""),
            }
        )
    return joined


def filled_columns(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Return the numbers of the columns in which any row has a value, and of the first one.

    Without rows, all columns are kept.
    """
    return [
        i
        for i in range(len(columns))
        if not rows or i == 0 or any(row[i] not in EMPTY for row in rows)
    ]


def any_known(rows: Iterable[Mapping[str, Any]], *keys: str) -> bool:
    """Return whether any row has a value other than None, NaN, 0 and an empty text at any key."""
    values = (row[key] for row in rows for key in keys)
    return any(v and not (isinstance(v, float) and math.isnan(v)) for v in values)
