"""Folders that tests read."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The clone."""
REFERENCE_DATA = Path(os.environ.get("DECON3D_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
"""Folder of the reference data, which may be absent."""
