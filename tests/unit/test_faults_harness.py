"""The fault harness and the fuzzer call a planted fault by its name."""

import json
import sys

import numpy as np
import pytest
import tifffile
import zarr

from decon3d.errors import UserError
from faults import run as faults
from faults.cells import Cell, Disturbed, all_cells
from faults.place import ALL_TABLES, Place, Run, kind_of, kinds, outcome_of
from fuzz import run as fuzz
from fuzz.targets import Case, WrongError, expect

MESSAGE = "10:00:00 E results/cells/psf/gfp/psf.json is cut; delete results/cells/psf/gfp/psf.json"
TRACE = (
    'Traceback (most recent call last):\n  File "/a/scripts/decon3d/files.py", line 26\nKeyError: 1'
)


@pytest.fixture
def place(tmp_path):
    """A finished workflow on paper: a restored volume, a table."""
    place = Place(tmp_path)
    store = place.results / "restored" / "one" / "rl.ome.zarr"
    group = zarr.open_group(store, mode="w")
    group.create_array("0", shape=(1, 1, 2, 4, 4), chunks=(1, 1, 1, 4, 4), dtype="float32")[...] = 7
    (place.results / "psf" / "gfp").mkdir(parents=True)
    (place.results / "psf" / "gfp" / "psf.json").write_text("{}")
    (place.folder / ALL_TABLES).parent.mkdir(parents=True)
    (place.folder / ALL_TABLES).write_text("value\n1\n")
    return place


def said(place, monkeypatch, *runs):
    """Let runs of the workflow say this, one after the other, then that nothing is to be done."""
    left = list(runs)
    done = Run(0, "Nothing to be done")
    monkeypatch.setattr(Place, "run", lambda self, *a: done if a or not left else left.pop(0))
    return outcome_of(place)


def test_the_undisturbed_outcome_is_equal(place, monkeypatch):
    expected = said(place, monkeypatch)
    assert faults.classify(place, Disturbed(""), expected) == ("equal", "")


@pytest.mark.parametrize("how", ["voxel", "chunk", "table"])
def test_other_voxels_or_tables_with_exit_status_0_are_wrong(place, monkeypatch, how):
    expected = said(place, monkeypatch)
    store = place.results / "restored" / "one" / "rl.ome.zarr"
    if how == "voxel":
        zarr.open_group(store)["0"][0, 0, 1, 2, 3] = 8
    elif how == "chunk":
        (store / "0" / "c" / "0" / "0" / "1" / "0" / "0").unlink()  # read as zeros
    else:
        (place.folder / ALL_TABLES).write_text("value\n2\n")
    assert faults.classify(place, Disturbed(""), expected)[0] == "WRONG"


def test_advice_is_followed_and_refusals_need_a_line(place, monkeypatch):
    expected = said(place, monkeypatch, Run(1, MESSAGE))
    assert faults.classify(place, Disturbed(""), expected) == ("refused", MESSAGE)
    assert not (place.results / "psf" / "gfp" / "psf.json").exists()
    said(place, monkeypatch, *[Run(1, MESSAGE)] * 9)
    assert faults.classify(place, Disturbed(""), expected)[0] == "LOST"
    said(place, monkeypatch, Run(1, "nothing is said"))
    assert faults.classify(place, Disturbed(""), expected)[0] == "TRACEBACK"
    said(place, monkeypatch, Run(1, MESSAGE + TRACE))
    found = faults.classify(place, Disturbed(""), expected)
    assert found == ("TRACEBACK", "KeyError: 1 (decon3d/files.py:26)")
    said(place, monkeypatch, Run(None, ""))
    assert faults.classify(place, Disturbed(""), expected)[0] == "HUNG"


def test_temporary_files_that_stay_are_litter(place, monkeypatch):
    expected = said(place, monkeypatch)
    (place.results / "psf" / ".psf.tif.123.part").touch()
    assert faults.classify(place, Disturbed(""), expected)[0] == "LITTER"


def test_every_kind_of_file_gets_its_cells(place):
    assert (
        kind_of("restored/two/again.ome.zarr/1/c/0/12/3")
        == "restored/VOLUME/METHOD.ome.zarr/N/c/N/N/N"
    )
    assert len(kinds(place)["restored/VOLUME/METHOD.ome.zarr/N/c/N/N/N/N/N"]) == 2
    cells = all_cells("small", place)
    drawn = faults.sample(cells, 20, seed=1)
    assert len(set(drawn)) == 20 and faults.sample(cells, 20, seed=1) == drawn
    assert len({cell.fault for cell in drawn}) >= 10
    assert {cell.fault for cell in cells if cell.subject == "tables/metrics.csv"} == {
        "cut",
        "flipped",
        "deleted",
    }


def test_the_table_counts_what_ended_badly():
    cell = Cell("small", "ingest", "cut", "finished", "ingest/VOLUME.json")
    results = [{"cell": cell.key, "outcome": name} for name in ("equal", "refused", "WRONG")]
    assert "| ingest | 3 1 WRONG |" in faults.table(results)


def planted(error):
    def read():
        raise error

    return Case("planted", read)


def test_a_planted_key_error_is_a_finding_and_a_user_error_is_not():
    assert fuzz.outcome(planted(UserError("v.tif: no"))) == ("refused", "")
    assert fuzz.outcome(Case("planted", lambda: None)) == ("read", "")
    kind, place = fuzz.outcome(planted(KeyError("x")))
    assert kind == "finding" and "KeyError" in place
    kind, place = fuzz.outcome(planted(UserError("two\nlines")))
    assert kind == "finding" and "several lines" in place


def test_wrong_voxels_are_a_finding(tmp_path):
    values = np.arange(3 * 8 * 9, dtype=np.uint16).reshape(3, 8, 9)
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "ZYX"})
    expect(path, values[None, None])
    with pytest.raises(WrongError):
        expect(path, values[None, None] + 1)


def test_the_fuzzer_runs_and_a_case_comes_again(tmp_path, monkeypatch):
    drawn = []
    for name in ("a", "b"):
        with fuzz.prepared(["tiff"]) as (targets, _):
            fuzz.draw(targets[0], 3, 17, tmp_path / name)
        drawn.append([p.read_bytes() for p in sorted((tmp_path / name).rglob("*.tif"))])
    assert drawn[0] == drawn[1] and drawn[0]
    options = [
        "--seconds",
        "2",
        "--workers",
        "1",
        "--target",
        "model.json",
        "--folder",
        str(tmp_path / "out"),
    ]
    done = fuzz.subprocess.run(
        [sys.executable, fuzz.__file__, *options], text=True, capture_output=True
    )
    assert done.returncode in (0, 1), done.stderr
    assert "model.json" in done.stdout
    lines = (tmp_path / "out").glob("at.*.jsonl")
    assert any(
        "counts" in json.loads(line) for path in lines for line in path.read_text().splitlines()
    )
