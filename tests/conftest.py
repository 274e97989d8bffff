"""Fixtures for all tests."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from support.paths import REFERENCE_DATA
from support.workflow import Workplace

# A busy machine is no finding: speed belongs into `make bench`. The same commit draws the same
# examples, so that a test that passed passes again; `HYPOTHESIS_PROFILE=explore` draws new ones.
settings.register_profile("decon3d", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "decon3d"))

# Shells ignore SIGINT for background commands; what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def log_levels() -> Iterator[None]:
    """Set the log's level back: documents that are run, and jobs, set it for their process."""
    loggers = [logging.getLogger(name) for name in (None, "decon3d")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of the reference data, or skip."""
    if not REFERENCE_DATA.is_dir():
        pytest.skip(
            f"no reference data: set DECON3D_REFERENCE_DATA ({REFERENCE_DATA} is not there)"
        )
    return REFERENCE_DATA


@pytest.fixture
def workplace(tmp_path) -> Workplace:
    """A folder in which the workflow can be run."""
    return Workplace(tmp_path)
