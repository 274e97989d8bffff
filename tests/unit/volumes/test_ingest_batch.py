"""Many small volumes in one process: what survives a damaged file, a kill and a changed file."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.volumes import ingest_batch as module
from decon3d.volumes.ingest_batch import ingest_batch
from decon3d.volumes.volume import Reading
from decon3d.volumes.volume_record import load_record

NAMES = ("a", "b", "c")
OPTIONS = dict(channels={"gfp": 0}, voxel_size_um=(0.3, 0.1, 0.1), times=None, key="datasets.d")


@pytest.fixture
def ingested(tmp_path, monkeypatch):
    """The names of the volumes whose voxels are read, in order."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    for name in NAMES:
        write(name)
    found, ingest = [], module.ingest
    monkeypatch.setattr(
        module, "ingest", lambda path, **more: (found.append(more["name"]), ingest(path, **more))
    )
    return found


def write(name, value=100):
    image = np.full((4, 24, 20), value, np.uint16)
    image[1, 2, 3] += 5
    tifffile.imwrite(f"data/{name}.tif", image, photometric="minisblack")


def run(**options):
    ingest_batch(
        {name: f"data/{name}.tif" for name in NAMES},
        records={name: f"results/d/ingest/{name}.json" for name in NAMES},
        no_data=dict.fromkeys(NAMES, "auto"),
        reading=Reading(),
        **{**OPTIONS, **options},
    )


def files(pattern):
    return sorted(path.name for path in Path("results/d/ingest").glob(pattern))


def damage(name):
    path = Path(f"data/{name}.tif")
    path.write_bytes(path.read_bytes()[:-1000])  # the header is whole


def test_each_volume_has_the_record_and_the_view_that_it_has_alone(ingested):
    run()
    assert ingested == list(NAMES) and files("*.progress") == []
    for name in NAMES:
        record = load_record(f"results/d/ingest/{name}.json")
        assert record.name == name and record.shape == (1, 1, 4, 24, 20)
        assert record.open().read(0, 0, (slice(1, 2), slice(2, 3), slice(3, 4))) == 105
    module.ingest("data/a.tif", name="a", record_path="results/alone/ingest/a.json", **OPTIONS)
    alone = load_record("results/alone/ingest/a.json")
    assert alone.identity == load_record("results/d/ingest/a.json").identity


def test_damaged_files_name_themselves_and_the_others_are_not_repeated(ingested):
    damage("b")
    with pytest.raises(UserError, match=r"data/b\.tif") as one:
        run()
    assert "data/a.tif" not in str(one.value) and ingested == list(NAMES)
    assert files("*.json") == [] and len(files("*.progress")) == 2
    write("b")
    run()
    assert ingested[3:] == ["b"] and files("*.json") == [f"{name}.json" for name in NAMES]
    damage("a")
    damage("c")
    with pytest.raises(UserError, match="2 of 3 volumes") as two:
        run()
    assert "data/a.tif" in str(two.value) and "data/c.tif" in str(two.value)


def test_after_a_kill_the_first_unfinished_volume_is_next(ingested, monkeypatch):
    ingest = module.ingest

    def killed(path, **more):
        if more["name"] == "c":
            raise KeyboardInterrupt
        ingest(path, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, "ingest", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    next(Path("results/d/ingest").glob("a.*.progress")).write_text("{")  # a disk's fault
    run()
    assert ingested == ["a", "b", "a", "c"]


@pytest.mark.parametrize("options", [{}, {"camera_bits": 12}, {"times": [0]}])
def test_what_an_unfinished_batch_kept_counts_only_for_the_same_file_and_config(ingested, options):
    damage("c")
    with pytest.raises(UserError):
        run()
    write("c")
    if not options:
        write("a", 200)
    run(**options)
    assert ingested[3:] == (list(NAMES) if options else ["a", "c"])
    (voxel,) = load_record("results/d/ingest/a.json").open().read(0, 0, 3 * (slice(1),)).ravel()
    assert voxel == (100 if options else 200)
