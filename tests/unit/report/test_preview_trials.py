"""A crop tried before the run shows what the run makes."""

import re

import numpy as np
import pytest
import tifffile
from scipy.ndimage import uniform_filter

from decon3d import paths
from decon3d.errors import UserError
from decon3d.files import read_json
from decon3d.optics.psf import normalised_psf, save_psf
from decon3d.report.preview import make_preview
from decon3d.report.preview_crop import ChannelCrop, Crop
from decon3d.report.preview_trials import try_method
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.prepare import preparation
from decon3d.restoration.restorers import open_restorer
from decon3d.restoration.sample import channel_camera, sample_blocks
from decon3d.settings import load_settings
from decon3d.volumes.camera import resolve_camera
from decon3d.volumes.ingest import ingest
from decon3d.volumes.statistics import channel_statistics
from support.report_tree import VOXEL, make_object, make_settings

SHAPE = (48, 88, 96)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A folder with one ingested volume and its PSF, the settings and the record."""
    root = tmp_path_factory.mktemp("preview")
    rng = np.random.default_rng(5)
    counts = rng.poisson(100 + make_object(rng, SHAPE, tubes=True)).astype(np.uint16)
    tifffile.imwrite(root / "cell.tif", counts)
    tifffile.imwrite(root / "truth.tif", counts)
    record = ingest(
        str(root / "cell.tif"),
        record_path=root / paths.ingested("demo", "cell"),
        name="cell",
        channels={"signal": 0},
        voxel_size_um=VOXEL,
        times=None,
        key="k",
    )
    grid = np.indices((9, 9, 9)) - 4
    psf = np.exp(-(grid**2).sum(0) / 3.0)
    save_psf(normalised_psf(psf, VOXEL, {"source": "theory"}), root / paths.psf("demo", "signal"))
    return root, make_settings(root), record


@pytest.fixture(scope="module")
def channel(tried, tmp_path_factory):
    """Its channel, on a crop in a corner."""
    return make_channel(tried, tmp_path_factory.mktemp("scratch"))


def make_channel(tried, scratch, region=(slice(0, 8), slice(0, 16), slice(0, 16)), **changes):
    root, settings, record = tried
    if changes:
        settings = load_settings(settings.model_dump(mode="json") | changes)
    crop = Crop(root, "demo", settings, record, region, [record.shape, record.shape], threads=1)
    return ChannelCrop(crop, "signal", scratch)


def test_the_crop_equals_the_whole_volume_there(tried, tmp_path):
    region = (slice(20, 28), slice(32, 56), slice(32, 64))
    found = try_method(make_channel(tried, tmp_path, region), "rl")
    root, settings, record = tried
    state = preparation(
        settings.methods["rl"].model_dump(mode="json"),
        {"psf": root / paths.psf("demo", "signal")},
        camera=resolve_camera(
            settings.datasets["demo"].camera,
            channel_camera([record], channel=0, times=None, seed=settings.seed),
        ),
        seed=1,
        threads=1,
    )(
        channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="k"),
        sample_blocks([record], channel=0, times=None, seed=settings.seed),
    )
    counts = record.open().read(0, 0, (slice(None),) * 3)
    whole = restore_array(counts, open_restorer(state, threads=1), state)[region]
    assert found.restored.shape == (8, 24, 32)
    assert np.abs(found.restored - whole).max() < 2e-3 * whole.max()
    assert found.values["iterations"] == state.values["iterations"]
    # Two whole volumes are more work than a crop with its context.
    assert found.cost.restoring_s > found.cost.crop_s
    voxels = 2 * record.shape[0] * np.prod(SHAPE)
    assert found.cost.disk_gb == pytest.approx(voxels * 4 * 16 / 9 / 1e9)
    assert 1.5 < found.cost.memory_gb <= 1.5 + settings.restoration.memory_gb


def test_what_is_not_ready_is_said_and_priced(channel, monkeypatch):
    monkeypatch.setattr("decon3d.training.trial._seconds_per_crop", lambda *_: 0.5)
    found = try_method(channel, "rln")
    assert found.restored is None and found.notes == ["not trained yet (10,000 steps)"]
    assert found.cost.restoring_s > 0 and found.cost.training_s == 4 * 10_000 * 0.5
    found = try_method(channel, "rltv")
    assert found.restored is not None and "searched on one phantom" in found.notes[0]
    assert found.values["iterations"] > 0 and found.values["tv_weight"] > 0
    assert found.cost.search_s > 0 and found.cost.evaluation_s > 0


def test_work_on_phantoms_is_priced_by_their_number(tried, tmp_path, monkeypatch):
    """One phantom of each recipe takes 1 s for each step; maps of both volumes take 0 s."""
    monkeypatch.setattr("decon3d.report.preview_phantoms._seconds", lambda work: [work(), 1.0][1])
    monkeypatch.setattr("decon3d.report.preview_trials._try_map", lambda *_: 0.0)
    recipes = {"tubules": 1, "membranes": 0.5}
    phantoms = {
        "shape": [16, 24, 24],
        "val": {"count": 6, "recipes": {"tubules": 1}},
        "test": {"count": 4, "recipes": recipes, "doses": [50, 100]},
        "photons": [50, 100],
    }
    channel = make_channel(tried, tmp_path, phantoms=phantoms, methods={"rl": {}, "rltv": {}})
    splits = channel.phantoms.splits
    assert {name: few.share for name, few in splits.items()} == {"val": 6, "test": 6}
    assert [few.making_s for few in splits.values()] == [6, 6]
    cost = try_method(channel, "rltv").cost
    assert cost.search_s == 6 and cost.evaluation_s == 6 * (1 + 1) + 3
    assert try_method(channel, "rl").cost.search_s == 0


def test_without_phantoms_only_the_maps_are_evaluated(tried, tmp_path, monkeypatch):
    monkeypatch.setattr("decon3d.report.preview_trials._try_map", lambda _, counts, __: counts.size)
    channel = make_channel(tried, tmp_path, phantoms=None, methods={"rl": {"iterations": 3}})
    found = try_method(channel, "rl")
    assert not channel.phantoms.splits and not any(tmp_path.iterdir())
    voxels = 2 * channel.crop.record.shape[0] * np.prod(SHAPE)  # at 1 s per voxel
    assert found.cost.evaluation_s == pytest.approx(voxels)


def test_the_page_shows_the_brightest_place_or_the_one_asked_for(tried):
    root, settings, _ = tried
    plain = settings.model_dump(mode="json")
    plain["methods"] = {"rl": {"iterations": 3}, "rln": {}}
    small = load_settings(plain)
    text = make_preview(root, dataset="demo", settings=small, threads=1, started_s=2.5).read_text()
    shown = re.search(r"Voxels Z (\d+) to (\d+), Y 0 to 87, X 0 to 95 of cell", text)
    light = uniform_filter(tifffile.imread(root / "cell.tif").astype(float), 9)
    assert int(shown[1]) <= np.unravel_index(light.argmax(), SHAPE)[0] <= int(shown[2])
    assert "not trained yet" in text and "decon3d run config.yaml" in text
    record = read_json(root / paths.preview_costs("demo"))
    (rl, rln) = record["methods"]
    assert rl["training_s"] == 0 and rl["seconds"] > 0 and rl["predicted_s"] > 0
    assert rln["training_s"] > 0 and rln["seconds"] is None and rln["predicted_s"] > 0
    stages = ("training_s", "search_s", "predicted_s", "evaluation_s")
    parts = [record["phantoms_s"], *(row[stage] for row in (rl, rln) for stage in stages)]
    assert record["phantoms_s"] > 0 and record["total_s"] == pytest.approx(sum(parts))
    assert (
        "Not included: the start of each job (this one started in 2.5 s); reading and converting the files"
        in text
    )
    plain["datasets"]["demo"]["preview"] = {"roi": [[0, 8], [0, 16], [60, 110]]}
    with pytest.raises(UserError, match="60 to 110 along X is outside cell, which has 96 voxels"):
        make_preview(root, dataset="demo", settings=load_settings(plain), threads=1)
