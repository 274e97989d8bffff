"""The comparison of a network for many microscopes with tuned rivals, on known tables."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml

from decon3d.errors import UserError
from decon3d.networks.kind import Estimate
from decon3d.networks.kinds import rl_residual
from decon3d.phantoms.microscope_imaging import TakenVolume
from decon3d.settings import load_settings
from support.small_networks import write
from validation import validate_universal as v
from validation.universal import own_training, rivals, scores, tables
from validation.universal.cells import RIGHT, Cell, Plan

ABOUT = {"anisotropy": 2.0, "group": "main", "psf": RIGHT}


def table_of(gain):
    """Two microscopes, two recipes, two doses; the network leads RLTV by gain(microscope, dose)."""
    rows = []
    for microscope, modality in enumerate(("widefield", "confocal")):
        for photons in (20.0, 200.0):
            for recipe in ("nuclei", "tubules"):
                about = {"microscope": microscope, "modality": modality, "photons": photons}
                about |= {**ABOUT, "recipe": recipe}
                for method, more in (("raw", -5), ("RL", -1), ("RL per volume", -1), ("RLTV", 0)):
                    rows.append({**about, "method": method, "psnr": 25.0 + more})
                rows.append({**about, "method": "RLTV per volume", "psnr": 25.5})
                psnr = 25.0 + gain(microscope, photons)
                rows.append({**about, "method": "network", "psnr": psnr})
    return pd.DataFrame(rows).assign(raw_psnr=20.0, ssim=0.8, light=-3.0, ring=-1.0, inside=True)


def measure(table, start):
    """The one measure whose name starts so."""
    (found,) = [m for m in tables.measures(table) if m.name.startswith(start)]
    return found


def test_gains_are_paired_and_their_interval_is_over_microscopes():
    table = table_of(lambda microscope, photons: 0.4 if microscope else 0.2)
    gain = tables.gains(table, "RLTV")
    assert gain["gain"].tolist() == pytest.approx([0.2] * 4 + [0.4] * 4)
    assert tables.interval(gain) == pytest.approx((0.2, 0.4))
    assert tables.gains(table, "no such method").empty


def test_measures_are_compared_with_their_goals():
    table = table_of(lambda microscope, photons: 1.0 if microscope else -0.3)
    mean = measure(table, "gain on RLTV, mean")
    assert (mean.value, mean.low, mean.high) == pytest.approx((0.35, -0.3, 1.0)) and mean.met
    worst = measure(table, "gain on RLTV, worst microscope (0")
    assert worst.value == pytest.approx(-0.3) and not worst.met
    assert measure(table, "gain on RLTV, worst objects").met  # 0.35 in all of them
    assert measure(table, "gain on RLTV per volume").value == pytest.approx(-0.15)
    assert measure(table, "volumes above -0.5").met
    light = measure(table, "error of the light, worst")
    assert light.value == pytest.approx(-3) and not light.met
    assert not measure(table, "error of the light around").met
    assert len(tables.measures(table)) == 8  # none of wrong PSFs, foreign or unlabelled volumes


def test_foreign_and_unlabelled_volumes_have_their_own_goals():
    table = table_of(lambda microscope, photons: 0.0)
    foreign = table.assign(group="foreign")
    found = measure(pd.concat([table, foreign]), "foreign objects")
    assert found.value == pytest.approx(1) and found.met  # above the best RL
    empty = table[table["recipe"] == "nuclei"].assign(recipe="empty", group="unlabelled")
    empty = empty.assign(false_spots=np.where(empty["method"] == "network", 4.0, 3.0))
    found = measure(pd.concat([table, empty]), "unlabelled")
    assert found.value == pytest.approx(-1) and not found.met
    text = tables.report(pd.concat([table, foreign, empty]))
    assert "| unlabelled: false spots fewer than of RL, mean | -1.00 |" in text
    assert "8 volumes of 2 microscopes (1 confocal, 1 widefield)" in text
    own = table[(table["method"] == "network") & (table["microscope"] == 0)].assign(method="own")
    text = tables.report(pd.concat([table, own]), ["own"])
    assert "On `own`'s microscopes (1), the network leads it by +0.00 dB" in text
    assert "\n| own | " not in text.split("Gain on RLTV by microscope")[0]  # of other volumes
    assert "0 volumes of 0 microscopes" in tables.report(empty)


def test_the_climb_ends_between_worse_neighbours():
    scored = []
    tried = rivals.climb(lambda j: scored.append(j) or -abs(j - 6), 2, 9)
    assert tried == [1, 2, 3, 4, 5, 6, 7] and sorted(scored) == tried  # each once
    assert rivals.climb(lambda j: -j, 4, 9) == [0, 1, 2, 3, 4, 5]
    assert not rivals.inside((rivals.WEIGHTS[-1], 10)) and rivals.inside((0.0, 10))


def test_cells_of_the_whole_validation(tmp_path):
    cells = list(Plan(tmp_path).cells())
    kinds = Counter(c.draw().optics.modality for c in cells if c == Cell(c.microscope, 20.0))
    assert sum(kinds.values()) == 20 and kinds["widefield"] >= 7 and len(kinds) == 4
    wrong = Counter(c.psf for c in cells if c.psf != RIGHT)
    assert wrong == dict.fromkeys(("0.75", "0.9", "1.1", "1.25", "aberration ignored"), 4)
    voxels = [Cell(m, 200.0).about["anisotropy"] for m in range(20)]
    assert min(voxels) == 1 and max(voxels) > 5
    dim, bright = (Cell(3, photons).draw() for photons in (20.0, 2000.0))
    assert dim.optics == bright.optics and dim.voxel_size_um == bright.voxel_size_um
    assert bright.background_photons == pytest.approx(100 * dim.background_photons)


def test_a_cell_is_measured_once_and_rltv_per_volume_is_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(rivals, "MOST_ITERATIONS", 12)
    monkeypatch.setattr(Plan, "cells", lambda plan: [Cell(3, plan.doses[0])])
    about = {"recipes": ("tubules", "blobs"), "shape": (12, 24, 24)}
    plan = Plan(tmp_path, doses=(200.0,), **about)
    table, done, planned = v.measured(plan, [])
    assert (done, planned, len(table)) == (1, 1, 10)
    best = table.pivot_table(index="recipe", columns="method", values="psnr")
    assert (best["raw"] < best["RL"]).all()
    assert (best["RLTV per volume"] > best[["RL", "RLTV"]].max(axis=1) - 0.1).all()
    monkeypatch.setattr(rivals, "rivals", pytest.fail)  # nothing is measured again
    pd.testing.assert_frame_equal(table, v.measured(plan, [], minutes=0)[0])
    assert v.measured(Plan(tmp_path, doses=(20.0,), **about), [], minutes=0)[1] == 0


def test_the_light_is_summed_over_objects_and_their_surroundings():
    truth = np.full((12, 40, 40), 100, np.float32)
    truth[4:8, 18:22, 18:22] = 200
    eaten = truth.copy()
    eaten[4:8, 18:22, 18:22] -= 10
    assert scores.light_around(eaten, truth) == pytest.approx({"light": -10, "ring": 0})
    ring = truth.copy()
    ring[4:8, 24:26, 18:22] -= 20  # 32 voxels of 20 counts, of 64 voxels of 100
    assert scores.light_around(ring, truth) == pytest.approx({"light": -10, "ring": -10})
    far = truth.copy()
    far[:, :5, :5] += 50
    assert scores.light_around(far, truth)["light"] == pytest.approx(0, abs=1e-9)


def test_f1_at_a_tenth_of_false_detections():
    strength = np.arange(20.0, 0, -1)
    true = np.ones(20, bool)
    true[[10, 12, 14]] = False  # one false of eleven is allowed, two of thirteen are not
    found = np.append(strength[true], [-np.inf] * 3)
    precision, recall = 11 / 12, 11 / 20
    expected = 2 * precision * recall / (precision + recall)
    assert scores.f1_at_false_share(strength, true, found) == pytest.approx(expected)
    assert scores.f1_at_false_share(strength, ~true[::-1] & False, found) == 0
    # equal candidates are found together
    assert scores.f1_at_false_share(np.ones(4), np.array([1, 1, 0, 0], bool), np.ones(2)) == 0


def spots_at(*places):
    """Points of brightness 100 on 10."""
    volume = np.full((9, 30, 30), 10, np.float32)
    for place in places:
        volume[place] = 110
    return volume


def test_spots_are_found_within_a_voxel_and_a_half():
    truth = spots_at((4, 5, 5), (4, 5, 15), (4, 15, 5), (4, 15, 15))
    assert scores.spots_f1(truth, truth) == 1
    assert scores.spots_f1(np.roll(truth, (1, 1), (0, 1)), truth) == 1
    assert scores.spots_f1(np.roll(truth, 2, 1), truth) == 0
    missed = spots_at((4, 5, 5), (4, 5, 15))
    assert scores.spots_f1(missed, truth) == pytest.approx(2 / 3)
    assert scores.spots_f1(np.full_like(truth, 10), truth) == 0


def test_filaments_are_found_along_their_middle():
    truth = np.full((9, 30, 30), 10, np.float32)
    truth[3:6, 10:13, :] = 100
    assert scores.filaments_f1(truth, truth) == 1
    half = truth.copy()
    half[:, :, 15:] = 10
    assert 0.6 < scores.filaments_f1(half, truth) < 0.75
    assert scores.filaments_f1(np.roll(truth, 8, 1), truth) == 0


def test_two_points_are_separate_if_it_is_darker_between_them():
    voxel, limit = (0.3, 0.1, 0.1), 0.25
    truth = spots_at((4, 5, 5), (4, 5, 8), (4, 20, 20), (4, 20, 24), (4, 12, 15), (7, 12, 18))
    assert scores.separated(truth, truth, voxel, limit) == 1
    merged = truth.copy()
    merged[4, 5, 6:8] = 90
    assert scores.separated(merged, truth, voxel, limit) == pytest.approx(0.5)
    assert np.isnan(scores.separated(truth, spots_at((4, 5, 5)), voxel, limit))


def test_false_spots_exceed_the_noise_of_the_raw_image():
    rng = np.random.default_rng(0)
    raw = 100 + rng.normal(0, 2, (12, 30, 30)).astype(np.float32)
    calm = np.full_like(raw, 100)
    calm[4, 5, 5], calm[4, 15, 15], calm[8, 15, 15] = 115, 120, 109
    assert scores.false_spots(calm, raw) == 2


def test_a_network_is_scored_beside_the_estimate_that_it_corrects(tmp_path):
    model = rl_residual.build(inputs=3)  # untrained: it returns its last estimate
    estimates = (Estimate((0.5, 1.0)),)
    bundle = tmp_path / "bundle"
    write(bundle, model, "rl_residual", input_channels=3, estimates=estimates)
    plan = Plan(tmp_path, recipes=("nuclei",), shape=(12, 24, 24))
    network, estimate = rivals.kept_network(Cell(3, 200.0), plan, bundle, "network")
    assert (network["method"], estimate["method"]) == ("network", "its estimate")
    for score in ("psnr", "raw_psnr", "ssim"):  # it only cuts what is darker than its offset
        assert network[score] == pytest.approx(estimate[score], abs=0.02)
    (other,) = rivals.kept_network(Cell(3, 20.0, group="unlabelled"), plan, bundle, "other")[:1]
    assert other["method"] == "other" and other["false_spots"] >= 0


def test_a_taken_volume_is_read_back_as_it_was(tmp_path):
    plan, cell = Plan(tmp_path, recipes=("blobs",), shape=(12, 24, 24)), Cell(3, 200.0)
    taken, kept = plan.volumes(cell)["blobs"], plan.volumes(cell)["blobs"]
    assert isinstance(kept, TakenVolume)
    for name in ("object", "image"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(kept, name))
    assert kept.psf.voxel_size_um == taken.psf.voxel_size_um
    dark = plan.volumes(Cell(3, 200.0, group="unlabelled"))
    assert dark["dark"].image.mean() < dark["empty"].image.mean()


def test_a_rival_is_for_all_microscopes_or_for_one():
    assert v.rival("own=models/a@3")[0::2] == ("own", 3)
    assert v.rival("blind=models/b")[2] is None
    with pytest.raises(UserError, match="--rival: 'models/b' is not of the form"):
        v.rival("models/b")


def test_the_config_for_one_microscope_is_valid():
    for microscope in range(5):  # one of each modality
        config = yaml.safe_load(own_training.config_of(microscope))
        (dataset,) = load_settings(config).datasets.values()
        assert dataset.optics.modality == Cell(microscope, 200.0).draw().optics.modality
    text = v.main(arguments=["--config-of", "4"])
    assert "excitation_um: 0.81" in text and "microscopes:" not in text


def test_the_config_at_a_tenth_of_the_size():
    config, whole = yaml.safe_load(own_training.a_tenth()), own_training.EXAMPLE.read_text("utf-8")
    found, full = load_settings(config), load_settings(yaml.safe_load(whole))
    for of in (lambda s: s.phantoms.train.count, lambda s: s.methods["universal"].training.steps):
        assert 10 * of(found) == of(full)
    assert f"count: {found.phantoms.train.count}\n" in v.main(arguments=["--config-of", "tenth"])


def test_without_a_network_the_reader_is_told_what_to_do(tmp_path):
    text = v.main(arguments=["--bundle", str(tmp_path / "none"), "--folder", str(tmp_path)])
    assert "none" in text and "--rivals-only" in text
