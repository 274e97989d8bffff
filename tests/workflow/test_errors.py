"""What a user sees of a wrong config, wrong files and a wrong command line: plain lines, no job."""

import re

import numpy as np
import tifffile

from support.configs import simulated_dataset
from support.paths import ROOT

STACK = np.zeros((6, 16, 16), np.uint16)
METADATA = {"axes": "ZYX", "PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.15, "PhysicalSizeX": 0.15}


def files(workplace, **changes):
    """A dataset of the files in `data/`, without a voxel size of its own."""
    (workplace.folder / "data").mkdir(exist_ok=True)
    dataset = simulated_dataset(simulate=None, voxel_size_um=None, volumes="data/*", **changes)
    workplace.configure({"datasets": {"d": dataset}, "methods": {"rl": {}}})
    return workplace.folder / "data"


def refused(run, *said):
    assert run.code == 1
    for text in said:
        assert run.output.count(text) == 1, run.output
    assert not [word for word in ("Traceback", "Job stats", "Building DAG") if word in run.output]
    assert len(run.output.splitlines()) < 10 + len(said)


def test_all_wrong_files_are_named_once_before_any_job(workplace):
    data = files(workplace)
    for i in range(5):
        tifffile.imwrite(data / f"good{i}.ome.tif", STACK, ome=True, metadata=METADATA)
    tifffile.imwrite(data / "rgb.tif", np.zeros((16, 16, 3), np.uint8), photometric="rgb")
    (data / "text.tif").write_text("no TIFF")
    (data / "cut.tif").write_bytes((data / "good0.ome.tif").read_bytes()[:200])
    run = workplace.run()
    refused(run, "The config has 3 problems:", "data/rgb.tif", "data/text.tif", "data/cut.tif")
    for name in ("rgb", "text", "cut"):
        (data / f"{name}.tif").unlink()
    run = workplace.run("--dry-run")
    assert run.code == 0 and run.jobs["ingest"] == 5
    assert (workplace.folder / ".snakemake" / "decon3d" / "headers.json").is_file()


def test_a_damaged_file_of_many_names_itself_and_the_others_are_ingested_once(workplace):
    data = files(workplace)
    options = dict(ome=True, metadata=METADATA, compression="zlib")
    for i in range(9):
        tifffile.imwrite(data / f"v{i}.ome.tif", STACK, **options)
    whole = (data / "v3.ome.tif").read_bytes()
    with tifffile.TiffFile(data / "v3.ome.tif") as file:
        (start, *_), (count, *_) = file.pages[2].dataoffsets, file.pages[2].databytecounts
    (data / "v3.ome.tif").write_bytes(
        whole[:start] + count * b"x" + whole[start + count :]  # the header is whole
    )
    ingest = workplace.folder / "results" / "d" / "ingest"
    run = workplace.run()
    assert run.code == 1 and re.search(r" E .*data/v3\.ome\.tif", run.output), run.output[-3000:]
    assert "data/v4.ome.tif is" not in run.output and "Traceback" not in run.output
    stores = {path: path.stat().st_mtime_ns for path in ingest.glob("*.ome.zarr/zarr.json")}
    (data / "v3.ome.tif").write_bytes(whole)
    run = workplace.run("results/d/statistics/gfp.json")
    assert run.code == 0, run.output[-3000:]
    again = {path for path in stores if path.stat().st_mtime_ns != stores[path]}
    assert {path.parent.name for path in again} <= {"v3.ome.zarr"} and len(stores) >= 8
    assert "8 of 9 volumes were ingested before" in "".join(
        path.read_text() for path in (workplace.folder / "logs/d/ingest").glob("*.log")
    )
    assert not list(ingest.glob("*.progress")) and len(list(ingest.glob("*.json"))) == 9
    assert "Nothing to be done" in workplace.run("results/d/statistics/gfp.json").output
    tifffile.imwrite(data / "v10.ome.tif", STACK, ome=True, metadata=METADATA)
    run = workplace.run("results/d/statistics/gfp.json")
    assert run.code == 0 and (ingest / "v10.json").is_file(), run.output[-3000:]
    (workplace.folder / "results/d/statistics/gfp.json").unlink()
    run = workplace.run("results/d/statistics/gfp.json")
    assert run.jobs == {"measure": 1} and "jobs are done by earlier runs" in run.output


def test_jobs_do_not_read_the_headers_again(workplace):
    data = files(workplace)
    tifffile.imwrite(data / "a.ome.tif", STACK, ome=True, metadata=METADATA)
    assert workplace.run("--dry-run").code == 0
    (data / "b.tif").write_text("no TIFF")  # comes while the run goes on
    assert workplace.run("--dry-run", "--mode", "subprocess").code == 0
    refused(workplace.run("--dry-run"), "data/b.tif")


def test_a_key_that_stands_twice_a_wrong_target_and_another_directory(workplace):
    workplace.configure({"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}})
    clone = ("--snakefile", str(ROOT / "Snakefile"), "--cores", "1", "--dry-run")
    run = workplace.snakemake("results/worm/report.html", *clone, "--configfile", "config.yaml")
    refused(run, "results/worm/report.html: unknown dataset 'worm'; known: d")
    path = workplace.folder / "config.yaml"
    path.write_text(path.read_text() + "methods: {rl: {iterations: 3}}\n")
    refused(workplace.run("--dry-run"), "config.yaml, lines ", "the key methods is given twice")
    run = workplace.snakemake(*clone)
    refused(run, f"There is no config/config.yaml in the working directory {workplace.folder}.")
