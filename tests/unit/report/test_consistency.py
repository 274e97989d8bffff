"""What the page says of consistency: shares, what no one can check, what appears in the dark."""

from types import SimpleNamespace

import numpy as np

from decon3d import paths
from decon3d.evaluation.records import write_records
from decon3d.files import write_json
from decon3d.report import consistency
from decon3d.report.consistency import (
    COLUMNS,
    dark_warnings,
    draw_consistency,
    summary_row,
)
from decon3d.report.entries import Job
from decon3d.report.plots import farthest
from decon3d.settings import load_settings
from support.configs import simulated_dataset
from support.records import metric_record

SETTINGS = load_settings({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}, "rln": {}}})


def write(root, method, kind, **values):
    records = [
        metric_record(
            channel="gfp",
            method=method,
            subject="probe/x",
            split="probe",
            metric=metric,
            range=None,
            value=value,
            unit="1",
        )
        for metric, value in values.items()
    ]
    path = root / paths.evaluation("d", method, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, records)


CHECK = {
    "flagged": 0.0123,
    "invented": 0.01,
    "missed": 0.0023,
    "alpha": 1.5,
    "beta": -20.0,
    "fitted": True,
    "z_rms": 0.456,
    "not_verifiable": None,
    "worst": [{"z": -7.25}],
}


def test_a_row_has_the_numbers_of_a_map_and_of_its_probes(tmp_path):
    write(tmp_path, "rl", "phantoms", auc_added=0.97, auc_lateral=0.55, auc_axial=0.8)
    write(tmp_path, "rl", "sample", dark_objects=0.0, dark_peak=3.9)
    row = summary_row(tmp_path, "d", "gfp", "rl", CHECK)
    assert row == [
        "RL",
        *("1.23", "1.00", "0.23", "−7.2", "0.46", "1.5", "−20", "–", "0.97", "0.55", "0.80"),
        "0 (3.9 σ)",
    ]
    assert len(COLUMNS) == len(row)
    unprobed = summary_row(tmp_path, "d", "gfp", "rln", CHECK | {"worst": [], "fitted": False})
    assert unprobed[4] == "–" and unprobed[6] == "1.5 (not fitted)" and unprobed[-4:] == ["–"] * 4


def test_a_method_that_makes_objects_of_noise_is_named(tmp_path):
    write(tmp_path, "rl", "sample", dark_objects=0.0, dark_peak=3.9)
    write(tmp_path, "rln", "sample", dark_objects=2.0, dark_peak=8.0)
    (warning,) = dark_warnings(tmp_path, dataset="d", settings=SETTINGS)
    assert warning.startswith("RLN: restored 2 object(s)")


def test_a_projection_keeps_the_sign_of_what_is_farthest():
    z = np.zeros((3, 2, 2), np.float32)
    z[0, 0, 0], z[1, 0, 0], z[2, 1, 1] = 3, -7, np.nan
    assert farthest(z, 0).tolist() == [[-7, 0], [0, 0]]


def test_without_maps_nothing_is_drawn(tmp_path):
    path = tmp_path / paths.consistency_record("d", "rl")
    path.parent.mkdir(parents=True)
    write_json(path, {})
    assert draw_consistency(Job(tmp_path, "d", SETTINGS), "small", "gfp") == []


def test_the_worst_places_are_drawn_with_one_scale_of_deviations(tmp_path, monkeypatch):
    counts = np.random.default_rng(0).poisson(50, (9, 40, 40)).astype(np.float32)
    z = (counts - 50) / np.sqrt(50)
    monkeypatch.setattr(
        consistency, "open_volume", lambda path: SimpleNamespace(read=lambda t, c, r: z[r])
    )
    monkeypatch.setattr(consistency, "reblurred", lambda *a, region, **o: (counts[region],) * 3)
    record = SimpleNamespace(shape=(1, 1, 9, 40, 40), name="v", voxel_size_um=(0.3, 0.1, 0.1))
    places = [
        {"voxel": [4, 20, 20], "um": [1.2, 2.0, 2.0], "z": 9.0},
        {"voxel": [0, 39, 0], "um": [0.0, 3.9, 0.0], "z": -6.0},
    ]
    values = {"alpha": 1.0, "beta": 0.0, "fitted": False, "time": 0}
    figure = consistency._places(tmp_path, "d", record, None, 0, "rl", values, places)
    panels = [axes for axes in figure.axes if axes.images]
    deviations = [axes.images[0].get_clim() for axes in panels[3::4]]
    assert len(panels) == 8 and deviations == [(-consistency.LIMIT, consistency.LIMIT)] * 2
    assert len(figure.axes) == 9  # and one colour bar
    figure.canvas.draw()
