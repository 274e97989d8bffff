"""Sheets of volumes, in every form that spreadsheet programs write, and with every fault."""

import os

import pytest

from decon3d.errors import ConfigError, UserError
from decon3d.settings import Dataset, list_volumes
from decon3d.volumes.sheets import read_sheet

LINES = [
    ["Name", " PATH ", "reference"],
    ["fish", "Fisch Nr 1.tif", ""],
    ["worm", "Wurm für A.tif", "wahr.tif"],
]


def dataset(volumes):
    optics = {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.333}
    channels = {"gfp": {"emission_um": 0.525}}
    return Dataset.model_validate({"volumes": volumes, "optics": optics, "channels": channels})


def sheet(folder, text, encoding="utf-8", name="sheet.csv"):
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_encoding_delimiter_and_line_end_gives_the_same_rows(
    tmp_path, encoding, delimiter, end
):
    text = end.join(delimiter.join(row) for row in LINES) + end
    rows = read_sheet(sheet(tmp_path, text, encoding), key="k")
    assert [(r.name, r.path, r.reference) for r in rows] == [tuple(row) for row in LINES[1:]]
    assert [r.line for r in rows] == [2, 3]


@pytest.mark.parametrize(
    "text",
    [
        'name,path\n"a","b, c.tif"\n',
        "sep=;\nname;path\na;b, c.tif\n",
        '\n,,\nname,path,note\n\n  a , "b, c.tif", x \n,,\n',
        "NAME;path;;\na;b, c.tif;;\n",
        "name;path;reference\na;b, c.tif\n",
    ],
)
def test_quotes_empty_rows_short_rows_and_other_columns(tmp_path, text):
    rows = read_sheet(sheet(tmp_path, text), key="k")
    assert [(r.name, r.path, r.reference) for r in rows] == [("a", "b, c.tif", "")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            "k: the sheet {} has no column name and no column path (it is empty); give a header row: name, path and, if you like, reference",
        ),
        (
            "a;b.tif\n",
            "k: the sheet {} has no column name and no column path (its first row holds a, b.tif); give a header row: name, path and, if you like, reference",
        ),
        (
            "name,file\na,b\n",
            "k: the sheet {} has no column path (its first row holds name, file); give a header row: name, path and, if you like, reference",
        ),
        ("name,path\n\n", "k: the sheet {} lists no volume below its header row"),
        ("name,path,Path\na,b,c\n", "k: the sheet {} has the column path twice; remove one"),
        ("name,path\na\n", "k: line 2 of {} has no path; fill in the cell"),
        ("name,path\n\n,b\n", "k: line 3 of {} has no name; fill in the cell"),
        (
            "name,path\na,b,c\n",
            "k: line 2 of {} has 3 cells, but the header 2; put cells that hold the delimiter in double quotes",
        ),
    ],
)
def test_a_wrong_sheet_is_one_line_with_the_line_number(tmp_path, text, said):
    path = sheet(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_sheet(path, key="k")
    assert caught.value.problems == [said.format(path)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\3\4\0\0", "workbook"),
        (b'name,path\n"a,b\n', "line 2"),
        (b"\xff\xfen", "cannot be read"),
        (b"name,path\na," + b"x" * 200_000, "field larger"),
    ],
)
def test_what_is_no_sheet_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "sheet.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        read_sheet(path, key="k")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_all_problems_of_all_entries_are_told_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("NOWHERE", raising=False)
    (tmp_path / "a.tif").touch()
    one = sheet(tmp_path, "name,path\na,a.tif\nb,$NOWHERE/b.tif\nc,c.tif\nd e,a.tif\n")
    two = sheet(tmp_path, "name\n", name="two.TSV")
    three = sheet(tmp_path, "name;path\na b;a.tif\n", name="three.csv")
    with pytest.raises(ConfigError) as caught:
        list_volumes("d", dataset([str(one), str(two), str(three)]))
    found = caught.value.problems
    assert len(found) == 4
    assert "line 3" in found[0] and "NOWHERE is not set" in found[0]
    assert found[1].endswith(
        f"line 4 of {one} names {tmp_path}/c.tif, which does not exist; check the path"
    )
    assert "two.TSV has no column path" in found[2]
    assert "'a b' cannot be a volume's name" in found[3]


def test_a_glob_of_sheets_and_odd_names(tmp_path):
    (tmp_path / "x [1].tif").touch()
    (tmp_path / "x 1.tif").touch()
    for name in "ab":
        sheet(tmp_path, f"name,path\n{name},x 1.tif\n", name=f"{name}.csv")
    assert list(list_volumes("d", dataset(str(tmp_path / "*.csv")))) == ["a", "b"]
    literal = list_volumes("d", dataset(str(tmp_path / "x [1].tif")))
    assert [v.path for v in literal.values()] == [str(tmp_path / "x [1].tif")]


def test_one_file_twice_and_a_volume_as_its_own_reference_are_said(tmp_path):
    (tmp_path / "a.tif").touch()
    path = str(tmp_path / "a.tif")
    with pytest.raises(ConfigError, match=r"a\.tif is listed twice"):
        list_volumes("d", dataset([str(tmp_path / "*.tif"), path]))
    with pytest.raises(ConfigError, match="own reference"):
        list_volumes("d", dataset([{"name": "a", "path": path, "reference": path}]))


def test_a_pipe_is_no_sheet(tmp_path):
    os.mkfifo(tmp_path / "s.csv")
    with pytest.raises(UserError, match=r"s\.csv cannot be read: it is not a file"):
        read_sheet(tmp_path / "s.csv", key="k")
