"""Fixtures of the restoration's tests."""

import pytest

from decon3d.restoration import part
from support.known_restorers import Known, Machine
from support.volumes import ome_tiff


@pytest.fixture
def known_restorer(monkeypatch):
    """Let parts restore with `Known`."""
    Known.calls = 0
    monkeypatch.setattr(part, "open_restorer", lambda state, **_: Known(state))


@pytest.fixture
def machine(tmp_path, known_restorer):
    """The block machine on an OME-TIFF."""
    ome_tiff(tmp_path / "v.tif")
    return Machine(tmp_path)
