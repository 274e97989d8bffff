"""Importing the library changes nothing in the process of its caller."""

import subprocess
import sys

from support.paths import ROOT

SCRIPTS = ROOT / "scripts"
STATE = """
import importlib, os, pkgutil, signal, sys, threading
import decon3d

def state():
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return dict(os.environ), os.getcwd(), handlers, threading.active_count(), sys.path[:]

def import_all(wanted):
    for module in pkgutil.walk_packages(decon3d.__path__, "decon3d."):
        if wanted(module) and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


def run(code):
    done = subprocess.run(
        [sys.executable, "-c", STATE + code], cwd=SCRIPTS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_packages_and_the_config_change_nothing_and_import_nothing_heavy():
    run(
        "before = state()\n"
        "import_all(lambda module: module.ispkg)\n"
        "import decon3d.preflight, decon3d.networks.registry, decon3d.networks.losses\n"
        "assert state() == before\n"
        "heavy = {'tensorflow', 'keras', 'dask', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_a_job_imports_nothing_heavy_that_it_may_not_need():
    """Two seconds of imports in each of a dozen jobs are half of the time of a small volume."""
    run(
        "import decon3d.jobs, decon3d.volumes.ingest, decon3d.report.page\n"
        "import decon3d.restoration.prepare, decon3d.restoration.plan, decon3d.restoration.part\n"
        "import decon3d.restoration.finish, decon3d.evaluation.sample\n"
        "import decon3d.evaluation.consistency_maps, decon3d.evaluation.full_reference\n"
        "import decon3d.evaluation.without_truth, decon3d.evaluation.psf_fit\n"
        "import decon3d.evaluation.job, decon3d.evaluation.staircase, decon3d.api\n"
        "heavy = {'tensorflow', 'keras', 'openvino', 'dask', 'scipy.stats', 'scipy.signal',\n"
        "         'scipy.interpolate', 'scipy.optimize', 'scipy.spatial', 'scipy.sparse',\n"
        "         'skimage', 'ome_zarr_models'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_what_restores_and_measures_needs_no_tables_and_no_drawing():
    run(
        "import decon3d.api, decon3d.restoration.part, decon3d.evaluation.job\n"
        "import decon3d.evaluation.sample, decon3d.evaluation.psf_fit\n"
        "heavy = {'pandas', 'matplotlib', 'PIL', 'jinja2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_no_module_chooses_the_caller_s_backend_or_log_level():
    run(
        "import_all(lambda module: True)\n"
        "import keras\n"
        "assert keras.backend.backend() == 'tensorflow'\n"
        "assert not {'KERAS_BACKEND', 'TF_CPP_MIN_LOG_LEVEL'} & set(os.environ)\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
