"""Every figure of the report, drawn from small results; an error is not caught."""

import inspect
import io
import itertools
import re
import shutil
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import tifffile
import zarr

from decon3d import paths
from decon3d.evaluation.consistency_maps import ChannelCheck, check_volume
from decon3d.evaluation.deviance import HeldOut
from decon3d.evaluation.likeness import measure_likeness
from decon3d.evaluation.noise import measure_noise
from decon3d.evaluation.stability import save_stability
from decon3d.files import write_json, write_record
from decon3d.optics.psf import Companion, load_psf, save_psf
from decon3d.report import figures
from decon3d.report.entries import Job
from decon3d.report.phantom_figures import typical
from decon3d.report.plots import STYLE, psf_views
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import channel_statistics, save_statistics
from decon3d.volumes.volume_record import load_record
from support.report_tree import VOXEL, make_tree

BEADS = {
    "source": "beads",
    "file": {"voxel_size_um": VOXEL},
    "candidates": [
        {"used": True, "kind": None, "position_um": [1.0, 2.0, 2.0]},
        {"used": False, "kind": "odd", "position_um": [1.0, 3.0, 1.0]},
    ],
    "beads": {
        "pictured": [0, 1],
        "used": 1,
        "found": 2,
        "rejected": {"odd": 1},
        "fwhm_um": [1.0, 0.4, 0.4],
        "diameter_um": 0.1,
        "over_the_field": [{"axis": "Y", "width": "X", "change": 0.01, "uncertainty": 0.02}],
    },
    "noise_left": {"of_peak": 0.001},
}
TUNING = {
    "chosen": {"iterations": 20, "score": -0.2},
    "curve": [{"weight": 0.0, "iterations": k, "score": -4 / k} for k in (1, 5, 20, 40)],
    "on": "data",
    "measure": "Score",
    "to_gain": 0.01,
    "ended_by": "40 iterations",
    "photons": {"gain_from": "data", "gain": 2.0},
}
WORST = [{"z": 9.0, "voxel": [10, 20, 39], "um": [2.0, 2.0, 3.9]}]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A run's results with whatever a figure is drawn from."""
    root = tmp_path_factory.mktemp("run")
    settings = make_tree(root, count=1)
    record = load_record(root / paths.ingested("demo", "cell"))
    counts = tifffile.imread(root / "cell.tif").astype(np.float32)

    psf = load_psf(root / paths.psf("demo", "signal"))
    images = {name: Companion(psf.data, VOXEL) for name in ("bead_measured", "bead_ideal")}
    images["beads"] = Companion(np.stack([psf.data] * 2), VOXEL)
    save_psf(replace(psf, record=BEADS, companions=images), root / paths.psf("demo", "signal"))

    noise = measure_noise([counts])
    noise.save(root / paths.noise("demo", "signal"))
    statistics = channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="d")
    save_statistics(root / paths.statistics("demo", "signal"), statistics)
    found = check_volume(
        record,
        restored=str(root / paths.restored("demo", "cell", "rl")),
        store=str(root / paths.consistency("demo", "cell", "rl")),
        channels=[ChannelCheck("signal", 0, psf, noise, statistics.background)],
        times=None,
        method="rl",
        memory_gb=1.0,
        seed=1,
    )
    found["checks"][0]["worst"] = WORST
    write_record(root / paths.consistency_record("demo", "rl"), {"cell": found})

    halves = HeldOut(1.0, (1.0, 1.0), restored=(counts, counts[::-1]))
    save_stability(root / paths.stability("demo", "rln"), {"signal": [halves]})
    write_json(root / paths.tuning("demo", "signal", "rl"), TUNING)

    test = root / paths.phantoms("demo", "signal", "test")
    camera = {"offset": 100.0, "gain": 1.0, "read_noise": 2.0, "bits": None}
    zarr.open_group(str(test), mode="r+").attrs.update(camera=camera)
    shutil.copytree(test, root / paths.phantoms("demo", "signal", "train"))
    likeness = measure_likeness([counts], store=test, camera=Camera(100.0, 1.0, 2.0))
    write_record(root / paths.likeness("demo", "signal"), likeness)
    return Job(root, "demo", settings)


def test_every_figure_is_drawn(job, monkeypatch):
    monkeypatch.setattr(figures, "DETAIL_SHAPE", (64, 8, 8))  # the volume has a detail, too
    drawn = {}
    with matplotlib.rc_context(STYLE):
        for _, draw in figures._tasks(job):
            for entry, figure in draw():
                figure.savefig(io.BytesIO(), format="png", dpi=20)
                drawn[entry.name] = draw.func.__name__
    every = re.findall(r"partial\((\w+)", inspect.getsource(figures._tasks))
    assert set(drawn.values()) == set(every)
    parts = {"detail_cell_signal", "consistency_cell_signal", "worst_cell_signal_rl"}
    assert parts <= set(drawn)


def test_the_phantom_with_the_median_dose_is_drawn():
    recipes = ["a", "b", "a", "a", "b"]
    assert typical("a", recipes, [900.0, 1.0, 2.0, 40.0, 9.0]) == 3
    assert typical("b", recipes, [900.0, 1.0, 2.0, 40.0, 9.0]) == 4


@pytest.mark.parametrize("width", [0.6, 3.0])
def test_the_pictures_of_a_psf_end_with_it(width):
    grid = np.indices((31, 41, 41)) - np.array([15, 20, 20])[:, None, None, None]
    psf = np.exp(-(grid**2).sum(0) / (2 * width**2))
    figure = psf_views(psf, voxel_size_um=(0.2, 0.1, 0.1), fwhm_um=None)
    reach = width * np.sqrt(2 * np.log(1000))  # in voxels, where it is a thousandth
    xy, xz, _ = figure.axes[:3]
    assert 0.1 * reach < xy.get_xlim()[1] <= 0.1 * (reach + 1.5)
    assert 0.2 * reach < xz.get_ylim()[0] <= 0.2 * (reach + 1.5)
    figure.draw_without_rendering()
    boxes = [
        [t.get_window_extent() for t in labels if t.get_text()]
        for axes in (xy, xz)
        for labels in (axes.get_xticklabels(), axes.get_yticklabels())
    ]
    assert not any(a.overlaps(b) for row in boxes for a, b in itertools.pairwise(row))
