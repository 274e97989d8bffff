"""Tables, figures and page from a small results tree that a run might have left behind."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from decon3d import paths
from decon3d.evaluation.full_reference import evaluate_phantoms, evaluate_volume
from decon3d.evaluation.records import COLUMNS, write_records
from decon3d.files import write_json, write_text
from decon3d.optics.psf import normalised_psf, save_psf
from decon3d.report.page import report_what_exists
from decon3d.report.plots import projections
from decon3d.report.views import Scene, Source, brightest, detail, line, overview
from decon3d.settings import Settings, load_settings
from decon3d.volumes.ingest import ingest
from decon3d.volumes.writer import create_level, default_chunk, write_metadata, write_pyramid

VOXEL = (0.2, 0.1, 0.1)
BLUR = {
    "input": (1.6, 1.4, 1.4),
    "rl": (1.0, 0.8, 0.8),
    "rltv": (0.7, 0.6, 0.6),
    "rln": (0.9, 0.8, 0.8),
}


def make_settings(root: Path) -> Settings:
    return load_settings(
        {
            "seed": 3,
            "datasets": {
                "demo": {
                    "volumes": [
                        {"name": "cell", "path": str(root / "cell.tif"),
                         "reference": str(root / "truth.tif")}
                    ],
                    "voxel_size_um": VOXEL,
                    "optics": {"modality": "widefield", "numerical_aperture": 1.2,
                               "immersion_index": 1.333},
                    "channels": {"signal": {"emission_um": 0.525}},
                }
            },
            "methods": {"rl": {}, "rltv": {}, "rln": {}, "broken": {"kind": "rl"}},
        }
    )  # fmt: skip


def make_object(
    rng: np.random.Generator, shape: tuple[int, int, int], *, tubes: bool
) -> np.ndarray:
    if tubes:
        fields = [gaussian_filter(rng.normal(size=shape), 6) for _ in range(2)]
        near = sum((f / f.std()) ** 2 for f in fields)
        return 900 * gaussian_filter((near < 0.05).astype(np.float32), 0.7)
    solid = gaussian_filter(rng.normal(size=shape), 4)
    return 700 * gaussian_filter((solid > 2 * solid.std()).astype(np.float32), 0.7)


def blurred(truth: np.ndarray, method: str, rng: np.random.Generator) -> np.ndarray:
    noise = 12 if method == "input" else 5
    return (gaussian_filter(truth, BLUR[method]) + 100 + rng.normal(0, noise, truth.shape)).astype(
        np.float32
    )


def write_volume(store: Path, values: np.ndarray) -> None:
    level = create_level(store, shape=(1, 1, *values.shape), dtype="float32",
                         chunk=default_chunk(values.shape))  # fmt: skip
    level[0, 0] = values
    factors = write_pyramid(store, level_0=level)
    write_metadata(
        store,
        name="x",
        factors=factors,
        voxel_size_um=VOXEL,
        channel_names=["signal"],
        windows=[(0.0, 1000.0)],
    )


def make_tree(
    root: Path, *, shape: tuple[int, int, int] = (20, 40, 40), count: int = 4
) -> Settings:
    """Write what a run leaves behind in which the method `broken` failed."""
    rng = np.random.default_rng(8)
    truth = make_object(rng, shape, tubes=True) + 100
    raw = blurred(truth - 100, "input", rng)
    tifffile.imwrite(root / "truth.tif", truth.astype(np.float32))
    tifffile.imwrite(root / "cell.tif", np.clip(raw, 0, None).astype(np.uint16))
    settings = make_settings(root)
    names = {"dataset": "demo", "channel": "signal"}
    ingest(
        str(root / "cell.tif"),
        record_path=root / paths.ingested("demo", "cell"),
        name="cell",
        channels={"signal": 0},
        voxel_size_um=VOXEL,
        times=None,
        key="datasets.demo",
    )

    grid = np.indices((15, 15, 15)) - 7
    psf = np.exp(-((grid[0] / 2.2) ** 2 + (grid[1] / 1.5) ** 2 + (grid[2] / 1.5) ** 2) / 2)
    save_psf(normalised_psf(psf, VOXEL, {"source": "theory"}), root / paths.psf("demo", "signal"))

    recipes = ["rln_mixed", "tubules"] * count
    objects = np.stack([make_object(rng, shape, tubes=r == "tubules") + 100 for r in recipes])
    test = root / paths.phantoms("demo", "signal", "test")
    group = zarr.create_group(str(test))
    group.create_array("object", data=objects)
    images = np.stack([blurred(o - 100, "input", rng) for o in objects])
    group.create_array("image", data=images)
    group.attrs.update(
        recipes=recipes, photons=[100.0] * len(recipes), voxel_size_um=VOXEL, shape=list(shape),
        volumes=len(recipes), psf_variation=[None] * len(recipes),
    )  # fmt: skip
    records = evaluate_phantoms(test_store=test, restored_store=None, method="input", **names)
    records += evaluate_volume(raw, truth, method="input", volume="cell", **names)
    write_records(root / paths.evaluation("demo", "input", "phantoms"), records)

    for method in ("rl", "rltv", "rln"):
        store = root / paths.restored_phantoms("demo", "signal", method)
        values = np.stack([blurred(o - 100, method, rng) for o in objects])
        zarr.create_group(str(store)).create_array("restored", data=values)
        records = evaluate_phantoms(test_store=test, restored_store=store, method=method, **names)
        write_records(root / paths.evaluation("demo", method, "phantoms"), records)
        restored = blurred(truth - 100, method, rng)
        write_volume(root / paths.restored("demo", "cell", method), restored)
        records = evaluate_volume(restored, truth, method=method, volume="cell", **names)
        write_records(root / paths.evaluation("demo", method, "volumes"), records)
        for part in range(2):
            write_json(root / paths.part("demo", method, part), {
                "seconds": 2.5, "voxels": 1_000_000, "peak_memory_gb": 0.5 + part, "blocks": 3,
                "device": "cpu"})  # fmt: skip

    curve = [
        {"tv_weight": w, "iterations": int(k), "score": 30 - 2 * abs(np.log(w / 0.003)) / 3
         - (np.log(k / 40)) ** 2}
        for w in (0.001, 0.0017, 0.003, 0.0052, 0.009)
        for k in (1, 2, 4, 8, 16, 32, 40, 64, 100)
    ]  # fmt: skip
    write_json(root / paths.tuning("demo", "signal", "rltv"), {
        "chosen": {"tv_weight": 0.003, "iterations": 40, "score": 30.0}, "curve": curve,
        "on": "phantoms", "measure": "affine-matched PSNR (dB)",
        "seconds": 61.0})  # fmt: skip
    model = root / paths.model("demo", "signal", "rln")
    steps = np.arange(200, 4001, 200)
    history = pd.DataFrame({"step": steps, "loss": 0.1 * np.exp(-steps / 900) + 0.02})
    history["val_loss"] = history["loss"] * 1.1
    history["val_nrmse"] = history["loss"] * 3
    history["val_psnr_affine"] = 29 - 6 * np.exp(-steps / 800)
    history["seconds"] = steps * 0.1
    write_text(model / "history.csv", history.to_csv(index=False))
    write_json(model / "model.json", {
        "best_step": 3200, "seed": 77, "weights_sha256": "ab" * 32,
        "validation": {"input": {"psnr_affine": 23.5}}, "training": {"steps": 4000}})  # fmt: skip
    lines = "12:00:00 I begins\n12:00:01 E no memory <img src=x onerror=alert(1)>\n"
    write_text(root / "logs/demo/restore_part/broken/0.log", lines)
    return settings


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("decon3d.report.figures.DPI", 60)
        report_what_exists(root, make_tree(root))
    return root


@pytest.fixture(scope="module")
def page(tree: Path) -> str:
    return (tree / "results/demo/report.html").read_text()


def test_metrics_table_is_the_contract(tree: Path) -> None:
    table = pd.read_csv(tree / "results/demo/tables/metrics.csv")
    assert tuple(table.columns) == tuple(COLUMNS)
    assert set(table["method"]) == {"input", "rl", "rltv", "rln"}
    assert len(table) == 4 * (8 + 1) * 6


def test_summary_ranks_and_pairs(tree: Path) -> None:
    table = pd.read_csv(tree / "results/demo/tables/summary.csv")
    metrics = pd.read_csv(tree / "results/demo/tables/metrics.csv")
    assert set(table["group"]) == {"seen", "unseen", "volume"}
    row = table.query(
        "group == 'unseen' and metric == 'psnr' and variant == 'affine'"
    ).set_index("method")  # fmt: skip
    assert (
        row["rank"].to_dict() == {"rltv": 1, "rln": 2, "rl": 3, "input": 4}
        or row["rank"]["rltv"] == 1
    )
    assert row["reference"]["rln"] == "rltv" and pd.isna(row["reference"]["rltv"])
    values = metrics.query(
        "recipe == 'tubules' and metric == 'psnr' and variant == 'affine'"
    ).pivot(index="subject", columns="method", values="value")
    assert row["mean"]["rln"] == pytest.approx(values["rln"].mean())
    assert row["difference"]["rln"] == pytest.approx((values["rln"] - values["rltv"]).mean())
    assert row["n"]["rln"] == row["difference_n"]["rln"] == 4
    error = table.query("group == 'seen' and metric == 'nrmse' and variant == 'affine'")
    assert error.sort_values("rank")["mean"].is_monotonic_increasing


def test_conditions_are_means_per_recipe(tree: Path) -> None:
    metrics, table = (
        pd.read_csv(tree / f"results/demo/tables/{name}.csv") for name in ("metrics", "conditions")
    )
    what = "recipe == 'tubules' and metric == 'psnr' and variant == 'affine' and method == 'rln'"
    row, values = table.query(what), metrics.query(what)["value"]
    assert len(row) == 1 and row["photons"].isna().all() and row["group"].item() == "unseen"
    assert row["mean"].item() == pytest.approx(values.mean())
    assert row["sd"].item() == pytest.approx(values.std(ddof=1))
    assert row["n"].item() == len(values)


def test_cost_sums_the_parts(tree: Path) -> None:
    table = pd.read_csv(tree / "results/demo/tables/cost.csv").set_index(["method", "stage"])
    restoration = table.loc["rl", "restoration"]
    columns = ["seconds", "mvoxel", "mvoxel_per_s", "peak_memory_gb", "jobs"]
    assert restoration[columns].tolist() == [5.0, 2.0, 0.4, 1.5, 2]
    assert table.loc["rln", "training"]["seconds"] == pytest.approx(400)
    assert table.loc["rltv", "tuning"]["seconds"] == 61


def test_every_figure_is_drawn(tree: Path) -> None:
    index = json.loads((tree / "results/demo/figures/index.json").read_text())
    assert index["problems"] == []
    names = {f["name"] for f in index["figures"]}
    assert names == {
        "projections_cell_signal", "profile_cell_signal", "psf_signal", "phantom_signal_rln_mixed",
        "phantom_signal_tubules", "training_signal_rln", "tuning_signal_rltv", "metrics_signal",
        "sheet_signal_test",
    }  # fmt: skip
    for name in names:
        for ending in ("png", "svg"):
            assert (tree / f"results/demo/figures/{name}.{ending}").stat().st_size > 5000


def test_page_is_self_contained_and_safe(page: str) -> None:
    assert page.count("data:image/png;base64,") == 9
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "<script" not in page and "http://" not in page and "https://" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page and "<img src=x" not in page


def test_page_names_what_is_missing(page: str) -> None:
    text = " ".join(page.split())
    assert "<strong>broken</strong> lacks: 1 of 1 restored volume(s): cell" in text
    assert "logs/demo/restore_part/broken/0.log" in text


def test_page_holds_effective_settings_and_provenance(page: str) -> None:
    assert re.search(r"<dt>best_step</dt><dd class=\"value\">3200", page)
    assert re.search(r"<dt>iterations</dt><dd class=\"value\">40", page)
    assert "abababababababab" in page and "immersion_index: 1.333" in page
    assert '<a href="demo/report.html">demo</a>' not in page


def test_index_links_the_page(tree: Path) -> None:
    assert '<a href="demo/report.html">demo</a>' in (tree / "results/index.html").read_text()


def test_nothing_there_still_gives_a_page(tmp_path: Path) -> None:
    for name in ("cell.tif", "truth.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((12, 8, 8), np.uint8), photometric="minisblack")
    report_what_exists(tmp_path, make_settings(tmp_path))
    text = (tmp_path / "results/demo/report.html").read_text()
    assert "Nothing was measured against a truth" in text
    for method in ("RL", "RLTV", "RLN", "broken"):
        assert f"<strong>{method}</strong> lacks" in text


def test_broken_results_still_give_a_page(tree: Path, tmp_path: Path, monkeypatch) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tree, root)
    write_text(root / paths.evaluation("demo", "rl", "phantoms"), "[{")
    write_text(root / paths.restored("demo", "cell", "rl") / "zarr.json", "{}")
    monkeypatch.setattr("decon3d.report.figures._save", lambda figure, stem: None)
    report_what_exists(root, make_settings(tree))
    text = (root / "results/demo/report.html").read_text()
    assert "the metrics could not be read" in text
    assert "volume cell, signal could not be drawn" in text
    assert "Training of RLN" in text


def test_overview_of_a_large_volume_is_small(tmp_path: Path, monkeypatch) -> None:
    values = np.zeros((16, 160, 300), np.float32)
    values[8, 80, 200] = 1000
    write_volume(tmp_path / "a.zarr", values)
    tifffile.imwrite(tmp_path / "a.tif", values)
    monkeypatch.setattr("decon3d.report.views.MOST_VOXELS", 250_000)
    for name in ("a.zarr", "a.tif"):
        source = Source("raw", tmp_path / name, 0, 0)
        scene = overview(source, voxel_size_um=VOXEL)
        assert scene.counts.size <= 250_000
        assert scene.size_um == pytest.approx((3.2, 16, 30))
        assert scene.voxel_size_um == pytest.approx((0.2, 0.2, 0.2))
        assert brightest(scene) == pytest.approx((1.7, 8.1, 20.1))
        crop = detail(source, centre_um=brightest(scene), voxel_size_um=VOXEL)
        assert crop.counts.shape == (16, 128, 128)
        assert crop.corner_um == pytest.approx((0, 1.7, 13.7), abs=0.11)
        found = brightest(crop)
        assert found == pytest.approx((1.7, 8.05, 20.05))
        places, counts = line(crop, centre_um=found, axis=2)
        assert counts.max() == 1000 and places[counts.argmax()] == pytest.approx(0, abs=1e-9)


def test_panels_share_one_range_in_true_proportion() -> None:
    dim, bright = (np.full((10, 30, 40), v, np.float32) for v in (100, 900))
    bright[5] = 1000
    figure, shown = projections([("raw", Scene(dim, VOXEL)), ("RL", Scene(bright, VOXEL))])
    assert shown == pytest.approx((100, 1000))
    images = [axes for axes in figure.axes if axes.images and not axes.get_label()]
    for axes in images:
        assert axes.images[0].get_clim() == pytest.approx(shown)
        width, height = figure.get_size_inches() * axes.get_position().size
        left, right, bottom, top = axes.images[0].get_extent()
        assert width / height == pytest.approx((right - left) / (bottom - top), rel=1e-6)
