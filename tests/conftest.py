"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of the reference data, or skip."""
    folder = Path(os.environ.get("DECON3D_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference data: set DECON3D_REFERENCE_DATA ({folder} is not there)")
    return folder
