"""Colours of channels, and films of time series, in the viewer's data."""

from types import SimpleNamespace

import numpy as np
import pytest

from decon3d.report.channel_colours import channel_colours
from decon3d.report.page import _scenes
from decon3d.report.scenes import volume_scenes
from support.time_series import SHAPE, make_series, series_settings


def colours(tmp_path, *emissions, stated=()):
    names = {f"c{i}": {"index": i, "emission_um": um} for i, um in enumerate(emissions)}
    (tmp_path / "pair.ome.tif").touch()
    channels = series_settings(tmp_path, **names).datasets["pair"].channels
    record = SimpleNamespace(channel_colors=list(stated))
    return [rgb(c) for c in channel_colours(record, channels).values()]


def rgb(colour):
    assert colour[0] == "#" and len(colour) == 7
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])


@pytest.mark.parametrize(("emission", "strongest"), [(0.46, 2), (0.509, 1), (0.525, 1), (0.64, 0)])
def test_an_emission_has_its_colour(tmp_path, emission, strongest):
    (colour,) = colours(tmp_path, emission)
    assert np.argmax(colour) == strongest and np.ptp(colour) > 100


def test_the_colours_of_the_file_come_first(tmp_path):
    found = colours(tmp_path, 0.46, 0.525, stated=["FF8000", "00FFFF"])
    assert [list(c) for c in found] == [[255, 128, 0], [0, 255, 255]]


@pytest.mark.parametrize("nothing", ["FFFFFF", "808080", "000000", "", "green"])
def test_white_and_grey_count_as_no_colour(tmp_path, nothing):
    first, second = colours(tmp_path, 0.46, 0.525, stated=[nothing, "FF0000"])
    assert np.argmax(first) == 2 and list(second) == [255, 0, 0]


@pytest.mark.parametrize("stated", [(), ["00FF00"] * 4])
def test_no_two_channels_look_alike(tmp_path, stated):
    found = colours(tmp_path, 0.51, 0.52, 0.53, 0.54, stated=stated)
    for i, one in enumerate(found):
        assert all(np.abs(one - other).max() >= 100 for other in found[:i])


def test_a_film_has_a_projection_of_each_time_point(tmp_path):
    settings = make_series(tmp_path)
    whole, film = volume_scenes(tmp_path, ["pair"], dataset="pair", settings=settings)
    assert whole["note"] == "Time point 1 of 3." and whole["moments"] == []
    assert film["shape"] == [3, 48, 48] and film["of"] == whole["of"] == "pair"
    assert film["moments"] == [f"time point {t + 1} of 3, {30 * t} s" for t in range(3)]
    assert film["start"][0] == 0 and film["voxel_size_um"][1:] == whole["voxel_size_um"][1:]
    assert [c["name"] for c in film["channels"]] == ["dapi", "gfp"]
    for channel in film["channels"]:
        assert [p["label"] for p in channel["panels"]] == ["raw", "RL"]
    assert "slices of the first time point only" in film["note"]


def test_a_film_skips_time_points_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("decon3d.report.films.MOST_FRAMES", 2)
    settings = make_series(tmp_path)
    _, film = volume_scenes(tmp_path, ["pair"], dataset="pair", settings=settings)
    assert film["moments"] == ["time point 1 of 3, 0 s", "time point 3 of 3, 60 s"]
    assert "of 2 of the 3 time points" in film["note"]


def test_the_film_of_chosen_time_points_shows_these(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "decon3d.report.films._frames", lambda series, voxel, n: seen.append(series) or None
    )
    monkeypatch.setattr("decon3d.report.films.viewer_scene", lambda *a, **k: {"start": [0], **k})
    settings = make_series(tmp_path)
    config = settings.model_dump()
    config["datasets"]["pair"]["times"] = [0, 2]
    settings = type(settings).model_validate(config)
    _, film = volume_scenes(tmp_path, ["pair"], dataset="pair", settings=settings)
    raw, restored = seen[:2]
    assert [s.time for s in raw] == [0, 2]  # of the input
    assert [s.time for s in restored] == [0, 1]  # of the restored ones
    assert film["moments"] == ["time point 1 of 3, 0 s", "time point 3 of 3, 60 s"]


def test_the_film_stays_with_the_first_volume_on_a_full_page(tmp_path, monkeypatch):
    monkeypatch.setattr("decon3d.report.page.VIEWER_BYTES", 1)
    settings = make_series(tmp_path)
    scenes = _scenes(tmp_path, ["pair", "pair"], dataset="pair", settings=settings)
    assert [bool(s["moments"]) for s in scenes] == [False, True]


def test_channels_share_the_size_of_a_page(tmp_path, monkeypatch):
    voxels = int(np.prod(SHAPE[2:]))
    settings = make_series(tmp_path)
    for most, bits in ((2 * voxels, 12), (2 * voxels - 1, 8)):
        monkeypatch.setattr("decon3d.report.viewer.EXACT_VOXELS", most)
        whole, _ = volume_scenes(tmp_path, ["pair"], dataset="pair", settings=settings)
        assert {p["bits"] for c in whole["channels"] for p in c["panels"]} == {bits}
