"""Tables, figures and page from a small results tree that a run might have left behind."""

import base64
import contextlib
import datetime
import errno
import hashlib
import html
import itertools
import json
import re
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import tifffile
from matplotlib.text import Text

from decon3d import paths
from decon3d.errors import DamagedError, needs_traceback
from decon3d.evaluation.records import COLUMNS
from decon3d.files import write_json, write_text
from decon3d.report import figures
from decon3d.report.methods_text import methods_paragraph
from decon3d.report.page import build_report, report_what_exists
from decon3d.report.plots import STYLE, projections
from decon3d.report.run_status import effective_settings
from decon3d.report.run_warnings import result_warnings
from decon3d.report.tables import write_tables
from decon3d.report.views import Scene, Source, brightest, detail, line, overview
from support.report_tree import VOXEL, make_settings, make_tree, write_volume


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
    assert len(table) == 4 * (8 + 1) * 7


def test_summary_ranks_and_pairs(tree: Path) -> None:
    table = pd.read_csv(tree / "results/demo/tables/summary.csv")
    metrics = pd.read_csv(tree / "results/demo/tables/metrics.csv")
    assert set(table["group"]) == {"seen", "unseen", "volume"}
    row = table.query("group == 'unseen' and metric == 'psnr' and variant == 'affine'").set_index(
        "method"
    )
    assert row["rank"].to_dict() == {"rltv": 1, "rln": 2, "rl": 3, "input": 4}
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
    assert row["voxel_anisotropy"].item() == pytest.approx(VOXEL[0] / VOXEL[2])


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
        "projections_cell_signal",
        "profile_cell_signal",
        "minus_rl_cell_signal",
        "psf_signal",
        "phantom_signal_rln_mixed",
        "phantom_signal_tubules",
        "training_signal_rln",
        "tuning_signal_rltv",
        "metrics_signal",
        "sheet_signal_test",
    }
    for name in names:
        for ending in ("png", "svg"):
            assert (tree / f"results/demo/figures/{name}.{ending}").stat().st_size > 5000


def test_a_full_disk_ends_the_drawing(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(figure: object, stem: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", f"{stem}.png")

    monkeypatch.setattr(figures, "_save", full)
    with pytest.raises(OSError, match="No space left"):
        figures.make_figures(tree, dataset="demo", settings=make_settings(tree))
    assert not needs_traceback(OSError(errno.ENOSPC, "full")) and needs_traceback(
        OSError(errno.EIO, "bad")
    )


def test_page_is_self_contained_and_safe(page: str) -> None:
    assert page.count('<img src="data:image/webp;base64,') == 9 + 3
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)
    assert "http://" not in page and "https://" not in page
    program = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(program[0].encode()).digest()).decode()
    assert len(program) == 1 and f"script-src 'sha256-{digest}'" in page
    assert page.count("<script") == 2  # the other one is data, with every < escaped
    assert "&lt;img src=x onerror=alert(1)&gt;" in page and "<img src=x" not in page


def test_page_shows_code_and_no_backticks(page: str) -> None:
    shown = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert "<code>probe/beads</code>" in shown and "`" not in shown


def test_page_names_what_is_missing(page: str) -> None:
    text = " ".join(page.split())
    assert "<strong>broken</strong>: missing 1 of 1 restored volume: cell" in text
    assert "logs/demo/restore_part/broken/0.log" in text


def test_page_holds_effective_settings_and_provenance(page: str) -> None:
    assert re.search(r"<dt>best_step</dt><dd class=\"value\">3200", page)
    assert re.search(r"<dt>iterations</dt><dd class=\"value\">40", page)
    assert "abababababababab" in page and "immersion_index: 1.333" in page
    assert '<a href="demo/report.html">demo</a>' not in page


def test_page_recommends_and_keeps_data_and_simulation_apart(tree: Path, page: str) -> None:
    text = " ".join(page.split())
    card = json.loads((tree / "results/demo/report.json").read_text())
    (advice,) = card["recommendations"]
    assert advice["method"] == "rltv" and " ".join(html.escape(advice["sentence"]).split()) in text
    assert "Comparison on simulated objects" in text
    assert "These differences come from one run; another seed may give others." in text
    assert "is best" not in text.partition('id="headline"')[0]
    table = pd.read_csv(tree / "results/demo/tables/recommendation.csv")
    assert set(table.query("recommended")["method"]) == {"rltv"}


def test_the_first_screen_answers_both_questions(page: str) -> None:
    first = page[page.index('id="result"') : page.index('class="parts"')]
    text = " ".join(re.sub(r"<[^>]+>", "", first).split())
    assert "Is it better? Yes: compared with the raw volume, RLTV has a" in text
    assert "Can I trust it? RLTV has not been compared with your data yet; run again." in text
    for target in re.findall(r'<p><a href="#(\w+)"', first):
        assert f'id="{target}"' in page


def test_warnings_about_the_results_come_before_those_about_the_data(tree: Path, tmp_path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(tree, root)
    ingested = root / paths.ingested("demo", "cell")
    record = {k: v for k, v in json.loads(ingested.read_text()).items() if k != "written"}
    changes = {"voxel_size_um": [0.9, 0.1, 0.1], "saturated": {"0": 7}}
    write_json(ingested, record | changes)
    choice = {"iterations": 21, "from_data": False, "reason": "why", "curve": []}
    write_json(
        root / paths.prepared("demo", "signal", "rl"),
        {"values": {"iterations": 21, "choice": choice}},
    )
    text = build_report(root, dataset="demo", settings=make_settings(tree)).read_text()
    order = [
        text.index(word) for word in ("RL: 21 iterations", "are saturated", "Nyquist sampling")
    ]
    assert order == sorted(order)


def test_the_card_has_the_time_and_what_is_missing(tree: Path) -> None:
    card = json.loads((tree / "results/demo/report.json").read_text())
    age = datetime.datetime.now().astimezone() - datetime.datetime.fromisoformat(card["made"])
    assert abs(age) < datetime.timedelta(hours=1)
    methods = ["RL", "RLTV", "RLN", "broken"]
    assert all(line.partition(": ")[0] in methods for line in card["missing"])


def test_index_links_the_page(tree: Path) -> None:
    assert '<a href="demo/report.html">demo</a>' in (tree / "results/index.html").read_text()


def test_nothing_there_still_gives_a_page(tmp_path: Path) -> None:
    for name in ("cell.tif", "truth.tif"):
        tifffile.imwrite(tmp_path / name, np.zeros((12, 8, 8), np.uint8), photometric="minisblack")
    report_what_exists(tmp_path, make_settings(tmp_path))
    text = (tmp_path / "results/demo/report.html").read_text()
    assert "No recommendation: nothing has been measured yet." in text
    for method in ("RL", "RLTV", "RLN", "broken"):
        assert f"<strong>{method}</strong>: missing" in text


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


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("decon3d.evaluation.statistics.RESAMPLES", 99)


@pytest.mark.usefixtures("few_resamples")
def test_the_numbers_of_the_tables_make_the_same_page(tree: Path, tmp_path: Path, monkeypatch):
    root, named = tmp_path / "copy", {"dataset": "demo", "settings": make_settings(tree)}
    shutil.copytree(tree, root)
    numbers = write_tables(root, **named)
    pages = [build_report(root, **named).read_text()]
    monkeypatch.delattr("decon3d.report.page.collect_numbers")
    pages.append(build_report(root, **named, numbers=numbers).read_text())
    first, second = (re.sub(r"Report of [^.]+\.", "", page) for page in pages)
    assert first == second and "could not be read" not in first


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("seed", range(6))
def test_any_subset_of_the_results_gives_a_page(tree: Path, tmp_path: Path, caplog, seed) -> None:
    rng = np.random.default_rng(seed)
    root = tmp_path / "copy"
    shutil.copytree(tree, root)
    results = root / "results"
    single = [f for f in results.rglob("*") if f.is_file() and ".zarr" not in str(f)]
    every = sorted([*single, *results.rglob("*.zarr")])
    share = (0.05, 0.3, 0.6)[seed % 3]
    gone = [path for path in every if rng.random() < share]
    for path in gone:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    settings = make_settings(tree)
    with caplog.at_level("WARNING", logger="decon3d"):
        write_tables(root, dataset="demo", settings=settings)
        build_report(root, dataset="demo", settings=settings)
    text = (results / "demo/report.html").read_text()
    assert "could not be read" not in text and not caplog.messages, gone


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("seed", range(4))
def test_damaged_results_are_named_on_the_page(tree: Path, tmp_path: Path, caplog, seed) -> None:
    rng = np.random.default_rng(seed)
    root = tmp_path / "copy"
    shutil.copytree(tree, root)
    files = sorted(f for f in (root / "results").rglob("*.json") if "figures" not in f.parts)
    for path in rng.permutation(files)[:6]:
        path.write_bytes(path.read_bytes()[: int(rng.integers(path.stat().st_size - 3))])
    settings = make_settings(tree)
    with caplog.at_level("WARNING", logger="decon3d"):
        with contextlib.suppress(DamagedError):
            write_tables(root, dataset="demo", settings=settings)
        build_report(root, dataset="demo", settings=settings)
    assert not [record for record in caplog.records if record.exc_info]
    assert len((root / "results/demo/report.html").read_text()) > 10_000


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
    assert len(images) == 4
    for axes in images:
        assert axes.images[0].get_clim() == pytest.approx(shown)
        width, height = figure.get_size_inches() * axes.get_position().size
        left, right, bottom, top = axes.images[0].get_extent()
        assert width / height == pytest.approx((right - left) / (bottom - top), rel=1e-6)


@pytest.mark.parametrize("shape", [(200, 24, 20), (20, 400, 20), (20, 20, 600), (1, 60, 60)])
@pytest.mark.parametrize("top", [1, 60_000, 3e6])
def test_no_label_of_an_overview_is_clipped(shape: tuple[int, int, int], top: float) -> None:
    """Tall, long, wide and flat volumes; counts of few and of many digits; long names."""
    counts = np.linspace(0, top, np.prod(shape), dtype=np.float32).reshape(shape)
    names = ("raw", "RLTV (oracle: tuned on the test truth)", "RLN")
    with matplotlib.rc_context(STYLE):
        figure, _ = projections([(name, Scene(counts, VOXEL)) for name in names])
    width, height = figure.get_size_inches()
    drawn = figure.get_tightbbox()
    assert drawn.x0 >= 0 and drawn.y0 >= 0 and drawn.x1 <= width and drawn.y1 <= height
    assert height < 12
    images = [axes for axes in figure.axes if axes.images and not axes.get_label()]
    sizes = [width / a.get_images()[0].get_extent()[1] * a.get_position().width for a in images]
    assert sizes == pytest.approx([sizes[0]] * 6)  # one length scale
    named = [t for a in images for t in a.findobj(Text) if t.get_text()[:2] in ("ra", "RL")]
    assert [" ".join(title.get_text().split()) for title in named] == list(names)
    boxes = [title.get_window_extent() for title in named]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_how_the_iterations_were_chosen_is_said(tmp_path: Path) -> None:
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    settings = make_settings(tmp_path)
    path = tmp_path / paths.prepared("demo", "signal", "rl")
    path.parent.mkdir(parents=True)
    options = {"dataset": "demo", "settings": settings}
    for from_data, said in ((True, "(21 iterations, chosen from the data ["), (False, "since why")):
        choice = {"iterations": 21, "from_data": from_data, "reason": "why", "curve": []}
        write_json(path, {"values": {"iterations": 21, "choice": choice}})
        paragraph = methods_paragraph(tmp_path, splits=[], **options)
        assert any(said in sentence for sentence in paragraph.sentences)
        warned = [w for w in result_warnings(tmp_path, **options) if "21 iterations" in w]
        assert bool(warned) is not from_data


def test_the_background_stands_with_its_interval_and_unit(tmp_path: Path) -> None:
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    settings = make_settings(tmp_path)
    path = tmp_path / paths.prepared("demo", "signal", "rl")
    path.parent.mkdir(parents=True)
    write_json(path, {"values": {"background": 105.54687, "background_error": 0.0153}})
    listed = effective_settings(tmp_path, dataset="demo", settings=settings)
    rows = dict(next(item["rows"] for item in listed if item["method"] == "rl"))
    assert rows["background"] == "105.55 ± 0.03 counts (95 %)" and "background_error" not in rows


def test_a_tuning_that_was_cut_short_is_a_warning(tmp_path: Path) -> None:
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    settings = make_settings(tmp_path)
    path = tmp_path / paths.tuning("demo", "signal", "rltv")
    path.parent.mkdir(parents=True)
    for bound in ("500 iterations", None):
        write_json(path, {"on": "phantoms", "to_gain": 0.234, "ended_by": bound})
        warned = [
            w for w in result_warnings(tmp_path, dataset="demo", settings=settings) if "tuning" in w
        ]
        assert len(warned) == (bound is not None)
        assert all("500 iterations" in w and "0.23 dB on the simulated" in w for w in warned)
