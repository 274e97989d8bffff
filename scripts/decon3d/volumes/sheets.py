"""Sheets of volumes (.csv, .tsv) as spreadsheet programs write them."""

import codecs
import csv
import io
from dataclasses import dataclass
from pathlib import Path

from decon3d.errors import ConfigError, reading

SHEET_ENDINGS = (".csv", ".tsv")
COLUMNS = ("name", "path", "reference")
_REQUIRED = ("name", "path")
_DELIMITERS = "\t;,"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Row:
    """One row of a sheet: its line in the file, and its cells; an empty cell is ''."""

    line: int
    name: str
    path: str
    reference: str


def is_sheet(path: str) -> bool:
    """Return whether a path has a sheet's ending."""
    return path.lower().endswith(SHEET_ENDINGS)


def read_sheet(path: str | Path, *, key: str) -> list[Row]:
    """Read a sheet with a header row: the columns name, path and, optionally, reference.

    UTF-8, UTF-16 or Windows-1252; tabs, semicolons or commas; cells may be quoted. Case and spaces
    in the header are ignored, as are other columns and empty rows.

    Parameters
    ----------
    path
        The sheet.
    key
        Its key in the config, for messages.

    Raises
    ------
    ConfigError
        With every problem of the sheet, one line each.
    UserError
        If the file cannot be read.
    """
    with reading(f"the sheet {path}"):
        if not Path(path).is_file():  # reading a pipe may never end
            raise OSError(0, "it is not a file; save the sheet as one")
        text = _decoded(Path(path).read_bytes())
        lines = text.splitlines(keepends=True)
        declared = lines[0].strip().strip('"') if lines else ""
        if declared.lower().startswith("sep="):  # Excel's own first line
            lines[0] = "\n"
        stream = io.StringIO("".join(lines), newline="")
        reader = csv.reader(stream, delimiter=_delimiter(lines), skipinitialspace=True, strict=True)
        try:
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}; check its quotes") from None
    rows = [(line, row) for line, row in rows if any(row)]
    header = [" ".join(cell.casefold().split()) for cell in rows[0][1]] if rows else []
    lacking = [name for name in _REQUIRED if name not in header]
    if lacking:
        found = (
            f"its first row holds {', '.join(filter(None, header))}" if header else "it is empty"
        )
        raise ConfigError(
            [
                f"{key}: the sheet {path} has no column {' and no column '.join(lacking)} "
                f"({found}); give a header row: name, path and, if you like, reference"
            ]
        )
    twice = sorted(name for name in COLUMNS if header.count(name) > 1)
    if twice:
        raise ConfigError(
            [f"{key}: the sheet {path} has the column {name} twice; remove one" for name in twice]
        )
    if len(rows) == 1:
        raise ConfigError([f"{key}: the sheet {path} lists no volume below its header row"])
    result, problems = [], []
    for line, row in rows[1:]:
        where = f"{key}: line {line} of {path}"
        cells = dict(zip(header, row + [""] * (len(header) - len(row)), strict=False))
        if any(row[len(header) :]):
            problems.append(
                f"{where} has {len(row)} cells, but the header {len(header)}; "
                "put cells that hold the delimiter in double quotes"
            )
            continue
        empty = [name for name in _REQUIRED if not cells[name]]
        problems += [f"{where} has no {name}; fill in the cell" for name in empty]
        result.append(Row(line, cells["name"], cells["path"], cells.get("reference", "")))
    if problems:
        raise ConfigError(problems)
    return result


def _decoded(content: bytes) -> str:
    """Decode a text file by its byte order mark, else as UTF-8, else as Windows-1252."""
    if content.startswith((b"PK\3\4", b"\xd0\xcf\x11\xe0")):
        raise ValueError("it is a workbook, not text; save it as CSV from the spreadsheet program")
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content.decode(encoding)
    if b"\0" in content:  # UTF-16 without a mark: every other byte of Latin letters is 0
        return content.decode("utf-16-be" if content[:1] == b"\0" else "utf-16-le")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _delimiter(lines: list[str]) -> str:
    """Find the delimiter of a sheet: the one that splits the header into the most columns."""
    header = next((line for line in lines if line.strip()), "")
    return max(_DELIMITERS, key=header.count)
