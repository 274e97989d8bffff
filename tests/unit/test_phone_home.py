"""No library that we start connects to the network, or leaves a thread or a child process."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.paths import ROOT

WATCHED = """
import os, sys, threading
tried = []
CALLS = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.send",
         "urllib.Request", "http.client.connect", "os.fork")
sys.addaudithook(lambda event, args: event.startswith(CALLS) and tried.append((event, str(args))))
"""
LEFT = """
left = [t.name for t in threading.enumerate()
        if t is not threading.main_thread() and not t.name.startswith(KNOWN)]
children = open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()
assert (tried, left, children) == ([], [], []), (tried, left, children)
"""
NETWORKS = """
KNOWN = ()
import numpy as np
from pathlib import Path
from support.small_networks import identity
from decon3d.networks.engines import Engine, compiled
model = identity()
for engine in ("tensorflow", "openvino"):
    run = compiled(model, halo=(0, 0, 0), engine=Engine(engine))
    assert run(np.ones((1, 4, 4, 4, 1), np.float32)).mean() == 1
from support.small_networks import write_rcan
from decon3d.networks.export import Publication, export_bioimageio
write_rcan(Path("rcan"))
export_bioimageio(Path("rcan"), Path("p.zip"), publication=Publication("A network", ["A Person"], "MIT"))
"""
VOLUMES = """
KNOWN = ("zarr", "asyncio", "tqdm_monitor", "ThreadPoolExecutor")  # the last is dask's pool
import numpy as np, tifffile
from decon3d.volumes.ingest import ingest
from decon3d.volumes.reader import open_volume
tifffile.imwrite("v.tif", np.ones((8, 32, 32), np.uint16), compression="zlib")
ingest("v.tif", record_path="v.json", name="v", channels={"a": 0}, voxel_size_um=(1, 1, 1),
       times=None, key="d")
assert open_volume("v.ome.zarr").data.compute().mean() == 1
import decon3d.report.page
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.savefig("a.png")
import pandas, scipy.fft
from skimage.metrics import structural_similarity
image = np.random.default_rng(1).random((16, 16, 16))
assert structural_similarity(image, image, data_range=1) == 1
scipy.fft.rfftn(image, workers=2)
"""


def test_networks_send_nothing_and_leave_nothing(tmp_path):
    pytest.importorskip("bioimageio.core")
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the extra openvino is not installed")
    sends_nothing(NETWORKS, tmp_path)


def test_volumes_and_figures_send_nothing_and_leave_nothing(tmp_path):
    sends_nothing(VOLUMES, tmp_path)


def sends_nothing(code, tmp_path):
    """Run code in a process of its own that fails if it sends, forks or leaves a thread."""
    command = [sys.executable, "-c", WATCHED + code + LEFT]
    if tracer := shutil.which("strace"):  # what no Python code asks for is seen, too
        command = [tracer, "-f", "-qq", "-e", "trace=connect", "-o", "trace.txt", *command]
    path = os.pathsep.join(map(str, (ROOT / "scripts", ROOT / "tests")))
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=as_a_user(tmp_path, path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    trace = tmp_path / "trace.txt"
    assert not trace.exists() or "AF_INET" not in trace.read_text()
    assert not (tmp_path / "intel").exists() and not (tmp_path / "home" / "intel").exists()


def as_a_user(folder: Path, path: str) -> dict[str, str]:
    """An environment without a mark of CI, in which telemetry would be on."""
    home = folder / "home"
    home.mkdir()
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "GITHUB_ACTIONS", "TF_BUILD")}
    return {**kept, "HOME": str(home), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
