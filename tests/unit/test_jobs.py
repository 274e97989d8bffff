"""What follows from a config for its jobs."""

import inspect
import re
from pathlib import Path

import pytest

from decon3d import paths
from decon3d.files import write_record
from decon3d.jobs import FEWEST, Jobs
from decon3d.preflight import list_inputs
from decon3d.settings import Settings, load_settings
from decon3d.settings.decisive import decisive
from support.paths import ROOT

CHANNELS = {"a": {"index": 1, "emission_um": 0.5}, "b": {"index": 0, "emission_um": 0.6}}
CONFIG = {
    "datasets": {
        name: {
            "simulate": {"v": {"shape": [10, 20, 30]}},
            "voxel_size_um": [0.3, 0.1, 0.1],
            "optics": {"modality": "confocal", "numerical_aperture": 1.1},
            "channels": CHANNELS,
        }
        for name in ("d", "e")
    },
    "methods": {
        "rl": {},
        "net": {"kind": "rln", "source": "rl"},
        "last": {"kind": "rl", "source": "net"},
    },
}


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return jobs_of()


def jobs_of(in_job=False, **restoration):
    settings = load_settings({**CONFIG, "restoration": restoration})
    return Jobs(settings, list_inputs(settings), {}, in_job=in_job)


def test_a_chain_starts_from_the_data_and_needs_a_gpu_if_one_of_its_methods_does(jobs):
    assert jobs.chain("last") == ["rl", "net", "last"] and jobs.chain("input") == []
    assert [jobs.chain_may_use_gpu(name) for name in ("rl", "net", "last")] == [False, True, True]
    assert jobs.source_indices("d", "rl") == {"a": 1, "b": 0}  # of the raw volumes
    assert jobs.source_indices("d", "net") == {"a": 0, "b": 1}  # as restored
    files = jobs.restorers("d", "net")
    assert files["state_0"] == [f"results/d/prepared/{c}/rl.json" for c in "ab"]
    assert files["bundle_1"] == [f"results/d/models/{c}/net/model.json" for c in "ab"]


def test_the_work_is_that_of_all_channels(jobs):
    assert jobs.mvoxels("d", "v") == pytest.approx(2 * 6000 / 1e6)
    assert jobs.volume_mb("d", "v") == pytest.approx(2 * 2 * 6000 / 1e6)  # uint16


def plan(method, *, parts, block_mb, finished):
    path = Path(paths.plan("d", method))
    write_record(path, {"bounds": list(range(parts + 1)), "block_mb": block_mb})
    if finished:
        write_record(paths.finished("d", method), {})
    return path


def test_a_finished_restoration_keeps_its_parts_and_its_plan(jobs):
    made = plan("rl", parts=2, block_mb=2000, finished=True)
    other = jobs_of(parts=5, memory_gb=0.5)
    assert other.parts("d", "rl") == 2 and other.parts("d", "net") == 5
    assert other.forget_plans("d", dry_run=False) == [] and made.exists()


def test_the_rest_of_an_unfinished_one_is_planned_for_the_memory_of_now(jobs):
    made = plan("rl", parts=2, block_mb=2000, finished=False)
    assert jobs_of(parts=5).parts("d", "rl") == 5
    assert jobs_of(in_job=True, parts=5).parts("d", "rl") == 2  # as the main process planned it
    assert jobs.forget_plans("d", dry_run=False) == [] and made.exists()
    other = jobs_of(memory_gb=0.5)
    (line,) = other.forget_plans("d", dry_run=True)
    assert "results/d/plans/rl.json" in line and "500 MB" in line and made.exists()
    other.forget_plans("d", dry_run=False)
    assert not made.exists()


def test_a_page_depends_on_its_own_dataset_and_on_no_division_of_the_work():
    first = load_settings(CONFIG)
    changed = {**CONFIG, "require_gpu": False, "restoration": {"parts": 9, "memory_gb": 7}}
    changed["datasets"] = {"d": CONFIG["datasets"]["d"]}
    assert decisive(load_settings(changed), "d") == decisive(first, "d")
    other = load_settings({**CONFIG, "seed": 5})
    assert decisive(other, "d") != decisive(first, "d")
    assert decisive(Settings.model_validate(decisive(first, "d")), "d") == decisive(first, "d")


def test_the_paths_in_the_rules_are_those_of_the_contract():
    """The rules write their paths out; the library has a function for each."""
    rules = "".join(f.read_text() for f in sorted((ROOT / "workflow").rglob("*.smk")))
    written = set(re.findall(r'"(results/[^"]+)"', rules))
    assert len(written) > 30
    patterns = [re.escape(paths.INDEX)]
    for name, function in inspect.getmembers(paths, inspect.isfunction):
        parameters = inspect.signature(function).parameters
        if name == "store_marker":
            continue
        for source in ("{source}", None) if "source" in parameters else ("",):
            given = {p: source if p == "source" else f"{{{p}}}" for p in parameters}
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(function(**given)))
            patterns.append(pattern)
    # Beside a record its arrays; in a store or a bundle its files.
    ending = r"(/zarr\.json|/model\.(keras|json)|/history\.csv|/index\.json)?"
    for path in written:
        stem = path.removesuffix(".npz") + ".json" if path.endswith(".npz") else path
        stem = re.sub(r"psf\.json$", "psf.tif", stem)
        assert any(re.fullmatch(pattern + ending, stem) for pattern in patterns), path


def batches_of(sizes_mb, **methods):
    """The batches of a dataset whose volumes have these sizes, by their names."""
    volumes = {name: {"shape": [1, 1, int(mb * 5e5)]} for name, mb in sizes_mb.items()}
    dataset = {**CONFIG["datasets"]["d"], "simulate": volumes, "channels": {"a": CHANNELS["b"]}}
    settings = load_settings({"datasets": {"d": dataset}, "methods": {"rl": {}, **methods}})
    return list(Jobs(settings, list_inputs(settings), {}).batches())


def named(count, mb=1.0):
    return {f"v{i:03}": mb for i in range(count)}


def test_small_volumes_share_a_job_and_large_ones_have_their_own():
    assert batches_of(named(FEWEST - 1)) == []  # side by side
    found = batches_of({**named(300), **{f"large{i}": 300.0 for i in range(9)}})
    assert 3 <= len(found) <= 12
    assert [v for batch in found for v in batch.volumes] == list(named(300))
    assert [r for b in found for r in b.records] == [paths.ingested("d", v) for v in named(300)]
    assert found[0].rule == f"ingest.d.1_to_{len(found[0].volumes)}"
    assert max(len(b.volumes) for b in batches_of(named(30, mb=60.0))) == 3  # 200 MB
    assert max(len(b.volumes) for b in batches_of(named(900, mb=0.1))) <= 100


def test_a_new_volume_changes_the_batch_that_it_falls_into():
    before = {batch.volumes for batch in batches_of(named(600))}
    after = {batch.volumes for batch in batches_of({"u": 1.0, **named(600)})}
    assert len(before) >= 6 and len(after - before) <= 2


def test_the_volumes_of_a_source_are_batches_of_their_own():
    found = batches_of(named(20), last={"kind": "rl", "source": "rl"})
    raw, restored = found[:2]
    assert raw.volumes == restored.volumes and (raw.source, restored.source) == (None, "rl")
    assert restored.rule == f"ingest_restored.d.rl.{restored.name}" and restored.log != raw.log
    assert restored.records[0] == paths.ingested("d", "v000", "rl")
