"""What is missing from a finished store is made again, and nothing else."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from decon3d import paths
from decon3d.files import write_json
from decon3d.pairs.stores import write_store
from decon3d.restoration.finish import finish
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import make_plan
from decon3d.restoration.remake import remake_missing
from decon3d.settings import Restoration
from decon3d.volumes.ingest import ingest
from decon3d.volumes.verify import verify
from decon3d.volumes.volume_record import load_record
from support.known_restorers import IDENTITY, Known

PARTS = 3
STORE = Path(paths.restored("d", "v", "m"))


def run():
    """Do what the workflow would: what is not there, and what follows from it."""
    Known.calls = 0
    record, plan_file = Path(paths.ingested("d", "v")), Path(paths.plan("d", "m"))
    if not record.exists():
        ingest(
            "v.tif",
            record_path=record,
            name="v",
            channels={"a": 0},
            times=None,
            key="d",
            voxel_size_um=(0.3, 0.1, 0.1),
        )
        plan_file.unlink(missing_ok=True)
    if not plan_file.exists():
        make_plan(
            method="m",
            states={"a": IDENTITY},
            records=[load_record(record)],
            stores=[str(STORE)],
            channels={"a": 0},
            times=None,
            path=plan_file,
            restoration=Restoration(parts=PARTS, memory_gb=1e-4),
        )
    markers = [Path(paths.part("d", "m", i)) for i in range(PARTS)]
    for number, marker in enumerate(markers):
        if not marker.exists():
            restore_part(plan_file, [IDENTITY], part=number, marker=marker, threads=1)
    found = finish(plan_file, [load_record(record)], provenance={}, progress=markers[0].parent)
    write_json(paths.finished("d", "m"), found)


def contents():
    files = (f for f in Path("results/d").glob("*/**/*.zarr/**/*") if f.is_file())
    return {str(f): f.read_bytes() for f in files}


@pytest.fixture
def finished(tmp_path, monkeypatch, known_restorer):
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(4).poisson(90, (12, 60, 150)).astype(np.uint16)
    tifffile.imwrite("v.tif", image, photometric="minisblack")
    run()
    assert Known.calls >= 4 and list(verify("results")) == []
    return contents()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def some_shard() -> Path:
    return sorted(f for f in (STORE / "0" / "c").rglob("*") if f.is_file())[1]


DAMAGE = {
    "a shard is missing": (lambda: some_shard().unlink(), 1),
    "a shard is cut": (lambda: cut(some_shard()), 1),
    "a chunk of the pyramid is missing": (lambda: (STORE / "1/c/0/0/0/0/0").unlink(), 0),
    "the metadata are cut": (lambda: cut(STORE / "zarr.json"), 0),
    "the manifest is missing": (lambda: (STORE / "manifest.json").unlink(), 0),
    "level 0 has no metadata": (lambda: (STORE / "0" / "zarr.json").unlink(), None),
    "the whole store is missing": (lambda: shutil.rmtree(STORE), None),
    "a chunk of the ingested volume is missing": (
        lambda: next(Path("results/d/ingest/v.ome.zarr/0").rglob("0/0/0/0/0")).unlink(),
        0,
    ),
    "the ingested volume is missing": (lambda: shutil.rmtree("results/d/ingest/v.ome.zarr"), 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_missing_is_made_again_to_the_same_bytes(finished, damage):
    do, blocks = DAMAGE[damage]
    do()
    before = contents()
    (told,) = remake_missing("d", dry_run=True)
    assert told.endswith("a run without a target makes it again") and contents() == before
    assert Path(paths.finished("d", "m")).exists()
    assert remake_missing("d", dry_run=False) == [told]
    run()
    assert contents() == finished
    if blocks is not None:
        assert Known.calls == blocks
    assert remake_missing("d", dry_run=False) == []


def test_pairs_and_phantoms_are_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Path(paths.phantoms("d", "a", "train"))
    values = np.ones((2, 3, 4, 5), np.float32)
    write_store(store, {"image": values, "object": values}, {})
    assert remake_missing("d", dry_run=False) == []
    (store / "image/c/1/0/0/0").unlink()
    (told,) = remake_missing("d", dry_run=False)
    assert told == f"{store}/image/c/1/0/0/0 is missing; a run without a target makes it again"
    assert not (store / "zarr.json").exists()


def test_verify_names_each_damage(finished, capsys):
    import verify as script

    assert script.main("results") == 0
    shard, arrays = some_shard(), Path("results/d/prepared/a/m.npz")
    changed = bytearray(shard.read_bytes())
    changed[7] ^= 4
    shard.write_bytes(changed)
    arrays.parent.mkdir(parents=True)
    np.savez(arrays, psf=np.ones(9))
    write_json("results/d/finished/other.json", {})
    cut(arrays)
    cut(Path(paths.finished("d", "m")))
    Path(paths.ingested("d", "v")).write_text(
        Path(paths.ingested("d", "v")).read_text().replace('"dtype": "uint16"', '"dtype": "uint32"')
    )
    found = {str(error.path) for error in verify("results")}
    assert found == {str(shard), str(arrays), paths.finished("d", "m"), paths.ingested("d", "v")}
    assert script.main("results") == 1
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("Error: results/d/")]) == 4


def test_a_user_sees_what_to_do_where_there_are_no_results(tmp_path, capsys):
    import verify as script

    assert script.main(str(tmp_path / "none")) == 2
    assert "is not a folder" in capsys.readouterr().err
