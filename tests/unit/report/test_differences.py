"""Networks minus Richardson-Lucy, and one half of the photons minus the other, as pictures."""

import numpy as np
import pytest
import tifffile

from decon3d import paths
from decon3d.evaluation.deviance import HeldOut
from decon3d.evaluation.stability import load_stability, save_stability
from decon3d.optics.psf import normalised_psf, save_psf
from decon3d.report import differences
from decon3d.report.differences import draw_minus_reference, draw_stability, minus_reference
from decon3d.report.entries import Job
from decon3d.report.plots import limit_of
from decon3d.report.scenes import volume_scenes
from decon3d.volumes.ingest import ingest
from decon3d.volumes.volume_record import load_record
from support.report_tree import VOXEL, make_settings, write_volume

SHAPE = (6, 24, 24)


@pytest.fixture
def job(tmp_path):
    """A raw volume, restored by Richardson-Lucy and by a network that adds one spot of light."""
    for name in ("cell.tif", "truth.tif"):
        counts = np.random.default_rng(0).poisson(100, SHAPE).astype(np.uint16)
        tifffile.imwrite(tmp_path / name, counts)
    ingest(
        str(tmp_path / "cell.tif"),
        record_path=tmp_path / paths.ingested("demo", "cell"),
        name="cell",
        channels={"signal": 0},
        voxel_size_um=VOXEL,
        times=None,
        key="k",
    )
    plain = np.linspace(100, 200, np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    write_volume(tmp_path / paths.restored("demo", "cell", "rl"), plain)
    changed = plain.copy()
    changed[2, 5, 7] += 60
    changed[4, 9, 3] -= 25
    write_volume(tmp_path / paths.restored("demo", "cell", "rln"), changed)
    write_volume(tmp_path / paths.restored("demo", "cell", "rltv"), plain * 2)
    data = np.zeros((5, 5, 5))
    data[2, 2, 2] = 1
    save_psf(normalised_psf(data, VOXEL, {}), tmp_path / paths.psf("demo", "signal"))
    return Job(tmp_path, "demo", make_settings(tmp_path))


def test_networks_are_subtracted_from_richardson_lucy(job):
    record = load_record(job.root / paths.ingested("demo", "cell"))
    found = minus_reference(job, record, "signal")
    assert list(found) == ["RLN − RL"]  # not of classical methods
    counts = found["RLN − RL"].counts
    assert counts[2, 5, 7] == pytest.approx(60) and counts[4, 9, 3] == pytest.approx(-25)
    assert np.count_nonzero(np.abs(counts) > 1e-3) == 2
    ((entry, figure),) = draw_minus_reference(job, "cell", "signal")
    assert entry.section == "pictures" and "minus Richardson-Lucy" in entry.title
    assert len(entry.caption) <= 240
    image = figure.axes[0].images[0]
    assert image.norm.vmin == -image.norm.vmax < 0
    assert image.get_array()[5, 7] == pytest.approx(60)


def test_the_viewer_shows_the_difference_in_two_colours(job):
    (scene,) = volume_scenes(job.root, ["cell"], dataset="demo", settings=job.settings)
    (channel,) = scene["channels"]
    signed = {p["label"]: p["range"] for p in channel["panels"] if p["signed"]}
    assert list(signed) == ["RLN − RL"]
    assert signed["RLN − RL"][0] == -signed["RLN − RL"][1]
    assert channel["shared"][0] > 50  # of the images alone


def test_without_richardson_lucy_or_networks_there_is_no_difference(job):
    record = load_record(job.root / paths.ingested("demo", "cell"))
    (job.root / paths.restored("demo", "cell", "rln") / "zarr.json").unlink()
    assert minus_reference(job, record, "signal") == {}
    (job.root / paths.restored("demo", "cell", "rl") / "zarr.json").unlink()
    assert draw_minus_reference(job, "cell", "signal") == []


def test_stability_is_a_map_and_no_error(job):
    assert draw_stability(job, "signal") == []
    rng = np.random.default_rng(1)
    first = rng.normal(100, 5, SHAPE).astype(np.float32)
    second = first.copy()
    second[3, 10, 12] -= 40
    halves = HeldOut(1.0, (1.0, 1.0), restored=(first, second))
    path = job.root / paths.stability("demo", "rln")
    path.parent.mkdir(parents=True)
    save_stability(path, {"signal": [halves, HeldOut(1.0, (1.0, 1.0))], "other": []})
    found = load_stability(path, "signal")
    assert found.shape == SHAPE and found[3, 10, 12] == 40 and np.count_nonzero(found) == 1
    assert load_stability(path, "other") is None
    ((entry, figure),) = draw_stability(job, "signal")
    words = (entry.title + entry.caption).lower()
    assert entry.title.startswith(differences.STABILITY) and "error" not in words
    assert len(entry.caption) <= 240
    assert figure.axes[0].images[0].get_array()[10, 12] == pytest.approx(40)


def test_one_limit_for_all_pictures_and_no_data_is_left_out():
    pictures = [np.full((10, 10), -3.0), np.full((10, 10), np.nan), np.full((10, 10), 5.0)]
    assert limit_of(pictures) == 5
    assert limit_of([np.zeros((4, 4))]) > 0
