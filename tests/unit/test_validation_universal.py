"""The comparison of a network for many microscopes with tuned rivals, on known tables."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from decon3d.networks.kind import Estimate
from decon3d.networks.kinds import rl_residual
from support.small_networks import write
from validation import validate_universal as v

KEYS = ["microscope", "modality", "photons", "width", "recipe"]


def table_of(gain):
    """Two microscopes, two recipes, two doses; the network leads RLTV by gain(microscope, dose)."""
    rows = []
    for microscope, modality in enumerate(("widefield", "confocal")):
        for photons in (20.0, 200.0):
            for recipe in ("nuclei", "tubules"):
                about = dict(zip(KEYS, (microscope, modality, photons, 1.0, recipe), strict=True))
                for method, more in (("raw", -5), ("RL", -1), ("RL per volume", -1), ("RLTV", 0)):
                    rows.append({**about, "method": method, "psnr": 25.0 + more})
                rows.append({**about, "method": "RLTV per volume", "psnr": 25.5})
                psnr = 25.0 + gain(microscope, photons)
                rows.append({**about, "method": "network", "psnr": psnr})
    return pd.DataFrame(rows).assign(raw_psnr=20.0, ssim=0.8, light=-2.0, inside=True)


def test_the_best_parameters_are_those_of_the_best_mean_of_all_volumes():
    rows = [(0.0, 8, 0, 20), (0.0, 8, 1, 20), (0.1, 8, 0, 24), (0.1, 8, 1, 18), (0.1, 16, 0, 30)]
    table = pd.DataFrame(rows, columns=["weight", "iterations", "volume", "psnr"])
    assert v.best_of(table) == (0.1, 8)  # 16 iterations: only one volume went on
    assert v.best_of(table[table["volume"] == 1]) == (0.0, 8)


def test_gains_are_paired_and_their_interval_is_over_microscopes():
    table = table_of(lambda microscope, photons: 0.4 if microscope else 0.2)
    gain = v.gains(table, "RLTV")
    assert gain["gain"].tolist() == pytest.approx([0.2] * 4 + [0.4] * 4)
    assert v.interval(gain) == pytest.approx((0.2, 0.4))
    text = v.report(table)
    assert "Network − RLTV: +0.30 dB (+0.20 to +0.40), 100.0% of the volumes" in text
    assert "Network − RLTV per volume: -0.20 dB" in text
    assert "| 1 | confocal | 0.40 | 0.40 |" in text


def test_cells_of_the_whole_validation():
    cells = list(v.cells_of(quick=False))
    kinds = Counter(cell.draw().optics.modality for cell in cells if cell.photons == 20)
    assert sum(kinds.values()) == 20 and kinds["widefield"] >= 7 and len(kinds) == 4
    assert {cell.width for cell in cells} == {1.0, 0.75, 0.9, 1.1, 1.25}
    dim, bright = (v.Cell(3, photons).draw() for photons in (20.0, 2000.0))
    assert dim.optics == bright.optics and dim.voxel_size_um == bright.voxel_size_um
    assert bright.background_photons == pytest.approx(100 * dim.background_photons)


def test_a_cell_is_measured_once_and_rltv_per_volume_is_the_best(tmp_path, monkeypatch):
    monkeypatch.setattr(v, "MOST_ITERATIONS", 12)
    monkeypatch.setattr(v, "WEIGHTS", (0.0, 0.01))
    monkeypatch.setattr(v, "MOST_WEIGHT", 0.01)
    options = {"bundle": None, "shape": (12, 24, 24), "folder": tmp_path}
    table = v.measured([v.Cell(3, 200.0)], ["spheres", "broad"], **options)
    means = table.groupby("method")["psnr"].mean()
    assert len(table) == 10 and table["modality"].unique().tolist() == ["light_sheet"]
    assert means["raw"] < means["RL"] <= means["RLTV per volume"] + 0.1
    monkeypatch.setattr(v, "curves", None)  # nothing is measured again
    pd.testing.assert_frame_equal(
        table, v.measured([v.Cell(3, 200.0)], ["spheres", "broad"], **options)
    )
    assert np.isfinite(table["ssim"]).all()


def test_the_light_is_summed_over_objects_and_their_surroundings():
    truth = np.full((12, 40, 40), 100, np.float32)
    truth[4:8, 18:22, 18:22] = 200
    volume = v.TakenVolume(truth, truth, None)
    eaten = truth.copy()
    eaten[4:8, 18:22, 18:22] -= 10
    assert v.scores_of(eaten, volume)["light"] == pytest.approx(-10)
    ring = truth.copy()
    ring[4:8, 22:24, 18:22] -= 20  # 32 voxels of 20 counts, of 64 voxels of 100
    assert v.scores_of(ring, volume)["light"] == pytest.approx(-10)
    far = truth.copy()
    far[:, :5, :5] += 50
    assert v.scores_of(far, volume)["light"] == pytest.approx(0, abs=1e-9)


def test_a_network_is_scored_beside_the_estimate_that_it_corrects(tmp_path, monkeypatch):
    model = rl_residual.build(inputs=3)  # untrained: it returns its last estimate
    estimates = (Estimate((0.5, 1.0)),)
    write(tmp_path / "bundle", model, "rl_residual", input_channels=3, estimates=estimates)
    rows = v.network(v.Cell(3, 200.0), ["spheres"], (12, 24, 24), tmp_path / "bundle")
    network, estimate = rows
    assert (network["method"], estimate["method"]) == ("network", "its estimate")
    for score in ("psnr", "raw_psnr", "ssim"):  # it only cuts what is darker than its offset
        assert network[score] == pytest.approx(estimate[score], abs=0.02)
