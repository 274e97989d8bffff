"""The bioimage.io package: written and tested by that project's own library."""

import zipfile

import pytest
import yaml

from decon3d.errors import UserError
from decon3d.networks.export import Publication, export_bioimageio
from decon3d.volumes.normalisation import Normalisation
from support.small_networks import write_rcan

pytest.importorskip("bioimageio.core")
PUBLICATION = Publication("A small RCAN", ["A Person"], "CC-BY-4.0")


def test_the_library_reproduces_the_network_in_counts(tmp_path):
    write_rcan(tmp_path)
    law = Normalisation(100.0, 2000.0)
    export_bioimageio(tmp_path, tmp_path / "p.zip", publication=PUBLICATION, normalisation=law)
    with zipfile.ZipFile(tmp_path / "p.zip") as package:
        described = yaml.safe_load(package.read("rdf.yaml"))
        assert "averages over each block" in package.read("README.md").decode()
    assert described["cite"][0]["doi"] == "10.1038/s41592-021-01155-x"
    (raw,), (restored,) = described["inputs"], described["outputs"]
    assert [a.get("size") for a in raw["axes"][1:4]] == [{"min": 11, "step": 1}] * 3
    assert [a["scale"] for a in raw["axes"][1:4]] == [0.2, 0.1, 0.1]
    assert [a["halo"] for a in restored["axes"][1:4]] == [5] * 3
    kwargs = [d["kwargs"] for d in restored["postprocessing"] if d["id"] == "scale_linear"]
    assert kwargs == [{"gain": 2000.0, "offset": 100.0}]


def test_a_package_that_does_not_reproduce_is_refused(tmp_path, monkeypatch):
    write_rcan(tmp_path)
    monkeypatch.setattr("decon3d.networks.export.Normalisation.apply", lambda self, x: x * 1e-3)
    with pytest.raises(UserError, match="rejects the package"):
        export_bioimageio(tmp_path, tmp_path / "p.zip", publication=PUBLICATION)
    assert not (tmp_path / "p.zip").exists()
