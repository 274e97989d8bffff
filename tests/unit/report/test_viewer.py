"""The viewer's small copies, and which volumes deserve a look."""

import base64
import io
import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from decon3d import paths
from decon3d.files import write_json
from decon3d.report.methods_text import methods_paragraph, restoration_summary
from decon3d.report.overview import Row, shown_volumes, volume_rows
from decon3d.report.run_warnings import data_warnings
from decon3d.report.scenes import volume_scenes
from decon3d.report.viewer import Channel, Panel, resampled, small_shape, viewer_scene
from decon3d.report.views import Scene
from decon3d.volumes.ingest import ingest
from support.report_tree import VOXEL, make_settings, make_tree, write_volume


@pytest.mark.parametrize(
    ("shape", "voxel"),
    [
        ((64, 192, 192), (0.3, 0.15, 0.15)),
        ((88, 320, 481), (0.157, 0.1, 0.1)),
        ((1, 4000, 4000), (1, 1, 1)),
    ],
)
def test_a_copy_is_as_large_as_allowed_and_even(shape, voxel):
    small = small_shape(shape, voxel_size_um=voxel, most=2_000_000)
    assert 0.9 * 2_000_000 <= np.prod(small) <= 2_000_000
    reduced = [v * n / m for v, n, m in zip(voxel, shape, small, strict=True)]
    coarser = [r for r, v in zip(reduced, voxel, strict=True) if r > 1.02 * v]
    assert max(coarser) < 1.03 * min(coarser)  # axes that lost are equally coarse now
    assert small_shape((8, 9, 10), voxel_size_um=(1, 1, 1), most=720) == (8, 9, 10)


def test_averaging_keeps_light_and_place():
    values = np.random.default_rng(0).random((7, 30, 41)).astype(np.float32)
    small = resampled(values, (5, 11, 41))
    assert small.mean() == pytest.approx(values.mean(), rel=1e-5)
    halved = resampled(values[:6], (3, 15, 41))
    assert halved == pytest.approx(values[:6].reshape(3, 2, 15, 2, 41).mean((1, 3)), abs=1e-5)
    ramp = np.arange(30, dtype=np.float32).reshape(1, 30, 1)
    assert np.diff(resampled(ramp, (1, 6, 1)).ravel()) == pytest.approx(5)


def decoded(picture, shape):
    """Read the codes of a picture: 0 to 255, in steps of 1/16 of 12 bits."""
    image = Image.open(io.BytesIO(base64.b64decode(picture["image"].split(",")[1])))
    if picture.get("bits") == 12:
        upper, lower, _ = np.moveaxis(np.asarray(image.convert("RGB"), float), -1, 0)
        sheet = (16 * upper + lower / 16) * 255 / 4095
    else:
        sheet = np.asarray(image.convert("L"))
    z, y, x = shape
    columns = picture["columns"]
    tiles = sheet.reshape(-1, y, columns, x).swapaxes(1, 2).reshape(-1, y, x)
    return tiles[:z]


@pytest.mark.parametrize(("most", "error"), [(18_000, 0.0004), (17_999, 0.02)])
def test_counts_come_back_from_the_picture(monkeypatch, most, error):
    """With 12 bits they do to a part in 4,000 of the range, else to some per cent."""
    monkeypatch.setattr("decon3d.report.viewer.EXACT_VOXELS", most)
    z, y, x = np.indices((9, 40, 50))
    counts = (
        100 + 3000 * np.exp(-((z - 4) ** 2 / 8 + (y - 20) ** 2 / 90 + (x - 25) ** 2 / 120))
    ).astype(np.float32)
    counts[0, 0, 0] = np.nan
    panel = Panel("raw", Scene(counts, VOXEL), np.where(z > 4, 6.0, -6.0).astype(np.float32))
    scene = viewer_scene(
        [Channel("signal", "#ffffff", [panel])],
        name="v",
        full_shape=counts.shape,
        napari="napari x",
    )
    assert scene["shape"] == [9, 40, 50] and scene["start"] == [4, 20, 25]
    found = scene["channels"][0]["panels"][0]
    low, high = found["range"]
    stored = low + (high - low) * (decoded(found, scene["shape"]) / 255.0) ** 2
    assert found["bits"] == (12 if error < 0.001 else 8)
    inside = (counts > low) & (counts < high)
    assert np.abs(stored - counts)[inside].mean() < error * 3000
    overlay = found["overlay"]
    sigmas = (decoded(overlay, overlay["shape"]).astype(float) - 128) / 127 * overlay["limit"]
    assert sigmas[:4] == pytest.approx(-6, abs=0.5) and sigmas[6:] == pytest.approx(6, abs=0.5)


def test_crops_show_what_the_overview_averages_away(tmp_path, monkeypatch):
    settings = make_tree(tmp_path, shape=(20, 40, 40), count=1)
    sigmas = np.zeros((20, 40, 40), np.float32)
    write_volume(tmp_path / paths.consistency("demo", "cell", "rl"), sigmas)
    worst = [{"z": 9.0, "um": [0.9, 3.9, 0.1]}, {"z": 8.0, "um": [1, 1, 1]}]
    checks = {"cell": {"checks": [{"channel": "signal", "worst": worst}]}}
    write_json(tmp_path / paths.consistency_record("demo", "rl"), checks)
    checks["cell"]["checks"][0]["worst"] = [{"z": 4.9, "um": [1, 1, 1]}]  # noise
    write_json(tmp_path / paths.consistency_record("demo", "rltv"), checks)
    config = settings.model_dump()
    config["datasets"]["demo"]["preview"]["roi"] = [[2, 8], [0, 10], [30, 40]]
    settings = type(settings).model_validate(config)
    named = {"dataset": "demo", "settings": settings}
    (whole,) = volume_scenes(tmp_path, ["cell"], **named)
    assert whole["shape"] == whole["full_shape"] == [20, 40, 40]  # full resolution already
    monkeypatch.setattr("decon3d.report.viewer.MOST_VOXELS", 4000)
    monkeypatch.setattr("decon3d.report.scenes.CROP", (6, 10, 10))
    whole, roi, gained, place = volume_scenes(tmp_path, ["cell"], **named)
    assert np.prod(whole["shape"]) <= 4000
    assert roi["name"] == "cell: roi, full resolution" and "most detail" in gained["name"]
    assert place["name"] == "cell: worst place of RL, full resolution"
    assert "Voxels Z 2 to 7, Y 0 to 9, X 30 to 39" in roi["note"]
    assert "Y 30 to 39, X 0 to 9" in place["note"]  # moved inside the volume
    for crop in (roi, gained, place):
        assert crop["shape"] == crop["full_shape"] == [6, 10, 10]
        assert crop["voxel_size_um"] == pytest.approx(VOXEL)
        labels = [panel["label"] for panel in crop["channels"][0]["panels"]]
        assert labels == ["raw", "RL", "RLTV", "RLN", "truth", "RLN − RL"]
    raw = tifffile.imread(tmp_path / "cell.tif")[2:8, 0:10, 30:40].astype(float)
    low, high = roi["channels"][0]["panels"][0]["range"]
    stored = (
        low + (high - low) * (decoded(roi["channels"][0]["panels"][0], (6, 10, 10)) / 255.0) ** 2
    )
    inside = (raw > low) & (raw < high)
    assert np.abs(stored - raw)[inside].max() < 0.001 * np.ptp(raw)


def test_a_difference_comes_back_with_its_sign():
    z, y, x = np.indices((4, 30, 30))
    counts = 100 * np.exp(-((y - 9) ** 2 + (x - 9) ** 2) / 40)
    counts -= 40 * np.exp(-((y - 20) ** 2 + (x - 21) ** 2) / 40) + 0 * z
    raw = Panel("raw", Scene(np.abs(counts).astype(np.float32), VOXEL))
    panel = Panel("a − b", Scene(counts.astype(np.float32), VOXEL), signed=True)
    scene = viewer_scene(
        [Channel("signal", "#ffffff", [raw, panel])],
        name="v",
        full_shape=counts.shape,
        napari="napari x",
    )
    found = scene["channels"][0]["panels"][1]
    low, high = found["range"]
    assert found["signed"] and low == -high and high == pytest.approx(100, rel=0.02)
    stored = (decoded(found, scene["shape"]).astype(float) - 128) / 127 * high
    assert np.abs(stored - counts).mean() < 1.5
    assert not scene["channels"][0]["panels"][0]["signed"]


def test_the_odd_volumes_come_first(tmp_path):
    rng = np.random.default_rng(2)
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    settings = make_settings(tmp_path)
    for i in range(8):
        level = 400 if i == 3 else 100
        counts = rng.poisson(level, (6, 40, 40)).astype(np.uint16)
        name = f"v{i}"
        tifffile.imwrite(tmp_path / f"{name}.tif", counts)
        ingest(
            str(tmp_path / f"{name}.tif"),
            record_path=tmp_path / paths.ingested("demo", name),
            name=name,
            channels={"signal": 0},
            voxel_size_um=VOXEL,
            times=None,
            key="k",
        )
        for method in settings.methods:
            if method != "broken" and (i, method) != (5, "rln"):
                write_volume(
                    tmp_path / paths.restored("demo", name, method), counts * np.float32(1)
                )
    (tmp_path / paths.ingested("demo", "broken")).write_text("{}")
    facts, rows = volume_rows(tmp_path, dataset="demo", settings=settings)
    by_name = {row.name: row for row in rows}
    assert [row.name for row in rows][:3] == ["v5", "broken", "v3"]
    assert by_name["v5"].missing == ["rln", "broken"] and by_name["v5"].lacking == ["rln"]
    assert by_name["v0"].missing == ["broken"] and by_name["v3"].why in (
        "Background: high",
        "99.9th percentile: high",
    )
    assert "cannot be read" in by_name["broken"].why
    assert [row.name for row in rows][3:] == ["v0", "v1", "v2", "v4", "v6", "v7"]
    assert not any(row.odd for row in rows[3:])
    assert by_name["v0"].values["background/signal"] == pytest.approx(100, abs=5)
    assert set(facts) == {"background/signal", "bright/signal", "saturated/signal"}
    shown = shown_volumes(rows)
    assert len(shown) == 3 and shown[1:] == ["v5", "broken"] and not by_name[shown[0]].odd


def test_a_few_volumes_are_all_shown():
    rows = [Row(name, None) for name in "dbca"]
    assert shown_volumes(rows) == ["a", "b", "c", "d"]


def test_the_words_name_the_data_and_cite_what_was_used(tmp_path):
    settings = make_tree(tmp_path, shape=(12, 24, 24), count=1)
    _, rows = volume_rows(tmp_path, dataset="demo", settings=settings)
    text = restoration_summary(
        [rows[0].record], dataset=settings.datasets["demo"], settings=settings
    )
    assert text.startswith("One volume of 12 × 24 × 24 voxels, 2.4 × 2.4 × 2.4 µm (Z, Y, X)")
    assert "“488” in the file" in text
    unfinished = restoration_summary(
        [rows[0].record], dataset=settings.datasets["demo"], settings=settings, finished=False
    )
    assert ", to be restored by RL, RLTV, RLN and broken" in unfinished
    found = methods_paragraph(tmp_path, dataset="demo", settings=settings, splits={"test"})
    text = " ".join(found.sentences)
    assert "RLN [5]" in text and "step 3,200 had the smallest error" in text
    assert [r.split(",")[0] for r in found.references][:2] == [
        "B. Richards and E. Wolf",
        "W. H. Richardson",
    ]
    cited = [int(n) for marks in re.findall(r"\[([\d, ]+)\]", text) for n in marks.split(",")]
    assert list(dict.fromkeys(cited)) == list(range(1, len(found.references) + 1))


def test_coarse_planes_are_said_after_what_ingest_warned_of(tmp_path):
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    settings = make_settings(tmp_path)
    ingested = tmp_path / paths.ingested("demo", "cell")
    for step, warned in ((0.36, False), (0.5, True)):
        write_json(ingested, {"voxel_size_um": [step, 0.1, 0.1]})
        found = data_warnings(tmp_path, dataset="demo", settings=settings)
        # 0.525 µm / (2 · 1.333 · (1 - cos α)), sin α = 1.2 / 1.333
        expected = "The voxel size is 0.5 µm along Z; Nyquist sampling needs 0.349 µm."
        assert any(expected in w for w in found) == warned
        assert not any("in the plane" in w for w in found)


def test_what_ingest_warned_of_is_said(tmp_path):
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    text = "the file states [0.3, 0.13, 0.13] µm (Z, Y, X)"
    ingested = {"voxel_size_um": [0.3, 0.065, 0.065], "warnings": [text]}
    write_json(tmp_path / paths.ingested("demo", "cell"), ingested)
    found = data_warnings(tmp_path, dataset="demo", settings=make_settings(tmp_path))
    assert any(w.startswith("cell: ") and "[0.3, 0.13, 0.13]" in w for w in found)
