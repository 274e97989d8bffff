"""The installed wheel, in a folder of its own, with no source on `sys.path`."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from decon3d import __version__
from support.paths import ROOT
from support.workflow import Run

OPTICS = ["--modality", "confocal", "--na", "1.1", "--immersion-index", "1.333"]


class Installed:
    """A virtual environment that holds the wheel, and the folder that commands run in."""

    def __init__(self, environment: Path, folder: Path) -> None:
        self.bin = environment / "bin"
        self.folder = folder

    def __call__(self, *arguments: str, program: str = "decon3d") -> Run:
        done = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        return Run(done.returncode, done.stdout)


@pytest.fixture(scope="module")
def decon3d(tmp_path_factory):
    """The command, from a wheel that was built and installed without the network.

    The wheel is built from the source distribution, to show that this contains all it needs.
    """
    place = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(place), "-t"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (sources,) = place.glob("*.tar.gz")
    with tarfile.open(sources) as files:
        files.extractall(place / "source", filter="data")
    (source,) = (place / "source").iterdir()
    subprocess.run([*build, "wheel"], cwd=source, check=True, capture_output=True)
    venv.create(place / "env", with_pip=False)
    python = place / "env" / "bin" / "python"
    (wheel,) = place.glob("*.whl")
    install = ["--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    (packages,) = (place / "env" / "lib").glob("python*/site-packages")
    # What decon3d needs is there already; `.pth` files in that folder are not read from here.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    folder = place / "data of mine"
    folder.mkdir()
    counts = np.random.default_rng(0).poisson(20, (12, 32, 32)) + 100
    counts[4:8, 10:20, 10:20] += 200
    for name in ("a", "b"):
        tifffile.imwrite(
            folder / f"{name}.ome.tif",
            counts.astype(np.uint16),
            metadata={
                "axes": "ZYX",
                "PhysicalSizeZ": 0.3,
                "PhysicalSizeY": 0.15,
                "PhysicalSizeX": 0.15,
            },
        )
    command = Installed(place / "env", folder)
    run = command("init", "a.ome.tif", "b.ome.tif", *OPTICS, "--emission", "0.525")
    assert run.code == 0, run.output
    return command


def test_the_library_is_typed_and_has_the_version_of_the_source(decon3d):
    code = "import decon3d, pathlib; print(pathlib.Path(decon3d.__file__).parent)"
    package = Path(decon3d("-c", code, program="python").output.strip())
    assert package.is_relative_to(decon3d.bin.parent) and (package / "py.typed").is_file()
    assert decon3d("--version").output == f"decon3d {__version__}\n"


def test_every_script_of_a_rule_is_in_the_wheel(decon3d):
    (own,) = decon3d.bin.parent.glob("lib/python*/site-packages/decon3d/_workflow")
    scripts = {p.name for p in (ROOT / "scripts").glob("*.py")}
    assert {p.name for p in (own / "scripts").glob("*.py")} == scripts
    networks = "decon3d/networks/shipped"  # with weights
    assert {
        str(p.relative_to(own.parent.parent))
        for p in (own.parent.parent / networks).rglob("*")
        if p.suffix != ".pyc" and p.is_file()
    } == {
        str(p.relative_to(ROOT / "scripts"))
        for p in (ROOT / "scripts" / networks).rglob("*")
        if p.suffix != ".pyc" and p.is_file()
    }
    for name in ("workflow", "config/examples"):
        assert {p.name for p in (own / name).rglob("*")} == {
            p.name for p in (ROOT / name).rglob("*")
        }


def test_a_config_has_what_the_files_state(decon3d):
    config = yaml.safe_load((decon3d.folder / "config.yaml").read_text())
    dataset = config["datasets"]["data"]
    assert dataset["volumes"] == [str(decon3d.folder / f"{n}.ome.tif") for n in "ab"]
    assert "voxel_size_um" not in dataset and dataset["optics"]["numerical_aperture"] == 1.1
    assert dataset["channels"] == {"channel_0": {"index": 0, "emission_um": 0.525}}
    run = decon3d("init", "a.ome.tif", "--output", "other.yaml", "--na", "1.1")
    assert run.code == 1 and run.output.count("\n") == 1
    assert "--modality" in run.output and "--emission" in run.output and "--na" not in run.output
    assert "exists" in decon3d("init", "a.ome.tif", *OPTICS, "--emission", "0.5").output


def test_the_workflow_is_planned_with_profiles_by_name(decon3d):
    run = decon3d("run", "config.yaml", "-n")
    assert run.code == 0, run.output
    assert run.jobs["ingest"] == 2 and run.jobs["restore_part_cpu"] == 1
    run = decon3d("run", "config.yaml", "results/data/psf/channel_0/psf.tif", "--dry-run")
    assert run.jobs == {"psf": 1}, run.output
    assert decon3d("preview", "config.yaml", "-n").jobs["preview_dataset"] == 1
    assert decon3d("run", "config.yaml", "--profile", "slurm", "-n").jobs["ingest"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "none.yaml does not exist"),
        (["preview", "broken.yaml"], "broken.yaml, line 2: "),
        (["run", "text.yaml"], "text.yaml holds no keys"),
        (["run", "config.yaml", "--profile", "sulrm"], "unknown profile 'sulrm'"),
        (["run", "config.yaml", "--sdm", "conda"], "--sdm: environments of conda"),
        (["run", "-n", "config.yaml"], "give the config file before -n"),
        (["psf", "psf.tif", "--na", "1.1"], "give --modality, --emission, --voxel-size"),
        (
            ["deconvolve", "a.ome.tif", "o.tif", "--psf", "b.ome.tif"],
            "not written by `decon3d psf`",
        ),
        (["clean"], "results is not a folder"),
        (["verify", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_what_is_wrong_is_one_line(decon3d, arguments, message):
    (decon3d.folder / "broken.yaml").write_text("a: [1\nb: 2\n")
    (decon3d.folder / "text.yaml").write_text("words\n")
    run = decon3d(*arguments)
    assert run.code != 0 and message in run.output
    assert run.output.count("\n") == 1, run.output


def test_a_volume_is_deconvolved_with_a_psf_file(decon3d):
    size = ["--voxel-size", "0.3", "0.15", "0.15"]
    assert decon3d("psf", "psf.tif", *OPTICS, "--emission", "0.525", *size).code == 0
    options = ["--psf", "psf.tif", "--set", "iterations=4", "--offset", "100", "--gain", "1"]
    run = decon3d("deconvolve", "a.ome.tif", "a.tif", *options)
    assert run.code == 0, run.output
    run = decon3d("restore", "a.ome.tif", "a.ome.zarr", *options)
    assert run.code == 0, run.output
    restored = tifffile.imread(decon3d.folder / "a.tif")
    assert np.isclose(
        restored.sum(), tifffile.imread(decon3d.folder / "a.ome.tif").sum(), rtol=0.01
    )


COMPARE = """
import decon3d, numpy, tifffile, zarr
psf = decon3d.make_psf(modality="confocal", numerical_aperture=1.1, immersion_index=1.333,
                       emission_um=0.525, voxel_size_um=(0.3, 0.15, 0.15))
image = tifffile.imread("a.ome.tif")
store = zarr.open_array("results/one/restored/a/rl.ome.zarr/0")[0, 0]
assert store.max() > 1.2 * image.max()
assert numpy.array_equal(decon3d.deconvolve(image, psf=psf), store)
"""


def test_the_rules_run_and_python_gives_their_voxels(decon3d):
    named = ["--name", "one", "--output", "one.yaml"]
    assert decon3d("init", "a.ome.tif", *OPTICS, "--emission", "0.525", *named).code == 0
    run = decon3d("run", "one.yaml", "results/one/finished/rl.json", "--cores", "1")
    assert run.code == 0, run.output[-3000:]
    done = decon3d("-c", COMPARE, program="python")
    assert done.code == 0, done.output
