"""`verify` names tables and records that were altered, and takes no input for a store of ours."""

import errno
import json

import numpy as np
import pytest

from decon3d.errors import DamagedError
from decon3d.evaluation.records import read_records, write_records
from decon3d.files import read_json, write_digests, write_record
from decon3d.logs import job_log
from decon3d.optics.psf import Psf, save_psf
from decon3d.report.page import check_drawn
from decon3d.volumes.verify import finished_stores, verify
from support.records import metric_record
from verify import advice

ROW = metric_record()


@pytest.fixture
def results(tmp_path):
    dataset = tmp_path / "results" / "d"
    (dataset / "tables").mkdir(parents=True)
    (dataset / "tables" / "metrics.csv").write_text("value\n31.25\n")
    write_digests([dataset / "tables" / "metrics.csv"])
    write_records(dataset / "evaluation" / "rl" / "volumes.json", [ROW])
    write_record(dataset / "parts" / "rl" / "0.json", {"part": 0, "plan": "x"})
    return tmp_path / "results"


@pytest.mark.parametrize(
    "name", ["tables/metrics.csv", "evaluation/rl/volumes.json", "parts/rl/0.json"]
)
def test_a_changed_digit_is_named(results, name):
    assert list(verify(results)) == []
    path = results / "d" / name
    text = path.read_text()
    path.write_text(text.replace("31.25", "31.75").replace('"part": 0', '"part": 1'))
    assert path.read_text() != text
    assert [error.path for error in verify(results)] == [path]


@pytest.mark.parametrize("damage", ["flipped", "empty", "missing"])
@pytest.mark.parametrize("name", ["psf.tif", "psf.json"])
def test_a_damaged_psf_is_named(tmp_path, name, damage):
    path = tmp_path / "results" / "d" / "psf" / "a" / name
    data = np.full((3, 3, 3), 1 / 27, np.float32)
    save_psf(Psf(data, (0.3, 0.1, 0.1)), path.with_name("psf.tif"))
    assert list(verify(tmp_path / "results")) == []
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content if damage == "flipped" else b"")
    if damage == "missing":
        path.unlink()
    assert path in [error.path for error in verify(tmp_path / "results")]


def test_a_page_is_not_made_of_a_changed_table_or_figure(results):
    check_drawn(results.parent, dataset="d")
    table = results / "d" / "tables" / "metrics.csv"
    table.write_text("value\n31.75\n")
    with pytest.raises(DamagedError, match=r"metrics\.csv was changed"):
        check_drawn(results.parent, dataset="d")
    index = results / "d" / "figures" / "index.json"
    write_digests([table])
    index.parent.mkdir()
    for name in ("index.json", "a.png"):
        index.with_name(name).write_text("{}")
    write_digests([index, index.with_name("a.png")])
    index.with_name("a.png").unlink()
    with pytest.raises(DamagedError, match=r"a\.png is missing") as found:
        check_drawn(results.parent, dataset="d")
    assert index in found.value.files  # so that the workflow makes all of them again


@pytest.mark.parametrize(
    ("damaged", "deleted"),
    [
        ("figures/a.png", "figures/index.json"),
        ("tables/digests.json", "tables/metrics.csv"),
        ("psf/a/psf.json", "psf/a/psf.tif"),
        ("digests.json", "report.html"),
        ("plans/rl.json", "plans/rl.json"),
        ("ingest/v.ome.zarr/0/zarr.json", "ingest/v.ome.zarr/0/zarr.json"),
    ],
)
def test_the_advice_names_a_file_that_the_workflow_makes(damaged, deleted, tmp_path):
    target = tmp_path / "results" / "d" / deleted
    assert "delete" not in advice(target.parents[1] / "gone.zarr" / "c")  # what is missing
    target.parent.mkdir(parents=True)
    target.touch()
    assert f"delete {target} and run" in advice(tmp_path / "results" / "d" / damaged)


def test_records_are_read_as_written_and_other_numbers_are_refused(results):
    path = results / "d" / "evaluation" / "rl" / "volumes.json"
    assert read_records(path) == [ROW]
    for bad in ("NaN", "1e999"):
        path.write_text(json.dumps([{"value": 0.5}]).replace("0.5", bad))
        with pytest.raises(Exception, match="not valid JSON"):
            read_json(path)


def test_a_read_only_folder_ends_a_job_in_one_line(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system", "results/d/psf.json")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("decon3d.files.os.replace", refuse)
    with pytest.raises(SystemExit), job_log("logs/d/psf.log"):
        write_record("results/d/psf.json", {})
    for text in (capsys.readouterr().err, (tmp_path / "logs/d/psf.log").read_text()):
        assert "E results/d/psf.json: Read-only file system; make the folder results/d" in text
        assert "Traceback" not in text


def test_an_input_that_is_read_in_place_is_not_a_store_of_ours(tmp_path):
    folder = tmp_path / "results" / "d"
    for name, path in (("one", "results/d/ingest/one.ome.zarr"), ("two", "data/two.ome.zarr")):
        write_record(folder / "ingest" / f"{name}.json", {"path": path})
    assert [f.store.name for f in finished_stores(folder)] == ["one.ome.zarr"]
