"""The notebook in docs runs from top to bottom, with the results that its text states."""

import json

import pytest

from decon3d.volumes.reader import open_volume
from support.paths import ROOT


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.ipynb")), ids=lambda p: p.name)
def test_the_cells_run_in_order(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names: dict = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert names["error"](names["restored"]) < 0.8 * names["error"](names["image"])
    assert (names["same"] == names["restored"]).all()
    saved = open_volume("restored.tif")
    assert saved.voxel_size_um == pytest.approx(names["voxel_size_um"])
    assert saved.shape[2:] == names["restored"].shape
