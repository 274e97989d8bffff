"""The command's own work: configs from files, Snakemake's command line, what can be removed."""

import errno
import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml
from typer.testing import CliRunner

from decon3d import cli, paths
from decon3d.cli import app
from decon3d.command import clean, launch
from decon3d.command.init import METHOD_HINTS, Given, new_config
from decon3d.command.prices import price_lines
from decon3d.errors import UserError
from decon3d.files import write_record
from decon3d.optics.psf import Psf, fingerprint, load_psf, save_psf
from decon3d.volumes.metadata import voxel_in_um
from support.paths import ROOT

OPTICS = {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333}
PSF_OPTIONS = [
    "--modality",
    "confocal",
    "--na",
    "1",
    "--emission",
    "0.5",
    "--voxel-size",
    "0.3",
    "0.1",
    "0.1",
]


def tiff(path, *, axes="CZYX", size=0.3, **metadata):
    shape = {"C": 2, "Z": 6, "Y": 16, "X": 16}
    counts = np.random.default_rng(0).poisson(50, [shape[a] for a in axes]).astype(np.uint16)
    voxel = {"PhysicalSizeZ": size, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    tifffile.imwrite(path, counts, metadata={"axes": axes, **voxel, **metadata})
    return str(path)


def answers(**known):
    def ask(option, question):
        asked.append(option)
        return known[option.strip("-").replace("-", "_")]

    asked = []
    return ask, asked


def test_only_what_the_file_does_not_state_is_asked_for(tmp_path):
    channels = {"Name": ["DAPI stain", "gfp"], "EmissionWavelength": [461, 525]}
    units = {"EmissionWavelengthUnit": ["nm", "nm"]}
    file = tiff(tmp_path / "a.ome.tif", Channel={**channels, **units})
    ask, asked = answers(
        modality="light_sheet", na="1.1", immersion_index="1.333", sheet_thickness="2.5"
    )
    text = new_config([file], name="worm", given=Given(), ask=ask, path="c.yaml")
    assert asked == ["--modality", "--na", "--immersion-index", "--sheet-thickness"]
    dataset = yaml.safe_load(text)["datasets"]["worm"]
    assert dataset["channels"] == {
        "DAPI_stain": {"index": 0, "emission_um": 0.461},
        "gfp": {"index": 1, "emission_um": 0.525},
    }
    assert dataset["optics"]["sheet_thickness_um"] == 2.5 and "voxel_size_um" not in dataset


def test_channels_of_one_name_are_all_in_the_config(tmp_path):
    names = {"Name": ["a_2", "a", "a"], "EmissionWavelength": [461, 525, 600]}
    units = {"EmissionWavelengthUnit": ["nm"] * 3}
    voxel = {"PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    metadata = {"axes": "CZYX", "Channel": {**names, **units}, **voxel}
    file = tmp_path / "a.ome.tif"
    tifffile.imwrite(file, np.ones((3, 4, 16, 16), np.uint16), metadata=metadata)
    text = new_config([str(file)], name="d", given=Given(optics=OPTICS), ask=None, path="c.yaml")
    channels = yaml.safe_load(text)["datasets"]["d"]["channels"]
    assert [channel["index"] for channel in channels.values()] == [0, 1, 2]


def test_options_take_the_place_of_answers_and_of_metadata(tmp_path):
    file = tiff(tmp_path / "a.ome.tif", axes="ZYX")
    given = Given(
        optics=OPTICS,
        emission_um=[0.6],
        voxel_size_um=(0.3, 0.1, 0.1),
        camera={"offset": 100.0},
        methods=["rl", "rltv"],
    )
    text = new_config([file], name="d", given=given, ask=None, path="c.yaml")
    config = yaml.safe_load(text)
    dataset = config["datasets"]["d"]
    assert dataset["voxel_size_um"] == [0.3, 0.1, 0.1]
    assert dataset["camera"] == {"offset": 100.0, "gain": None, "read_noise": None}
    assert "      gain: null  # counts per photon\n" in text
    assert "methods:  # to compare methods, remove a #" in text
    assert dataset["optics"] == OPTICS and set(config["methods"]) == {"rl", "rltv"}


def test_files_of_two_kinds_and_wrong_values_are_refused_by_name(tmp_path):
    one, two = tiff(tmp_path / "a.ome.tif"), tiff(tmp_path / "b.ome.tif", axes="ZYX")
    coarse = tiff(tmp_path / "c.ome.tif", size=0.5)
    given = Given(optics=OPTICS, emission_um=[0.5, 0.6])
    with pytest.raises(UserError, match=r"b\.ome\.tif has 1 channel"):
        new_config([one, two], name="d", given=given, ask=None, path="c.yaml")
    with pytest.raises(UserError, match=r"c\.ome\.tif"):
        new_config([one, coarse], name="d", given=given, ask=None, path="c.yaml")
    with pytest.raises(UserError, match=r"did you mean 0\.525"):
        wrong = Given(optics=OPTICS, emission_um=[525, 0.6])
        new_config([one], name="d", given=wrong, ask=None, path="c.yaml")
    with pytest.raises(UserError, match="--emission: got 3 wavelengths"):
        many = Given(optics=OPTICS, emission_um=[0.5, 0.6, 0.7])
        new_config([one], name="d", given=many, ask=None, path="c.yaml")
    with pytest.raises(UserError, match="2 channels, each with its own PSF"):
        measured = Given(optics=OPTICS, emission_um=[0.5, 0.6], psf={"source": "file", "path": two})
        new_config([one], name="d", given=measured, ask=None, path="c.yaml")
    with pytest.raises(UserError, match=r"none\.tif cannot be read: No such file"):
        new_config([str(tmp_path / "none.tif")], name="d", given=given, ask=None, path="c.yaml")


def test_targets_come_first_and_options_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = launch.snakemake_arguments(
        "c.yaml", profile="local", arguments=["results/a", "-n", "--cores", "2"]
    )
    assert command[0] == "results/a"
    assert command[-3:] == ["-n", "--cores", "2"]
    assert command[command.index("--profile") + 1] == str(ROOT / "profiles" / "local")
    assert command[command.index("--snakefile") + 1] == str(ROOT / "Snakefile")


def test_a_profile_of_the_working_directory_comes_before_the_own_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slurm").mkdir()  # a folder of that name is no profile
    assert launch.find_profile("slurm") == str(ROOT / "profiles" / "slurm")
    for folder in ("profiles/slurm", "slurm"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "config.yaml").write_text("cores: 1\n")
        assert launch.find_profile("slurm") == folder


@pytest.mark.parametrize("option", [["--directory", "far/away"], ["--directory=far/away"]])
def test_a_run_elsewhere_works_there_with_this_config_and_profile(tmp_path, monkeypatch, option):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("datasets: {}")
    Path("mine").mkdir()
    Path("mine/config.yaml").write_text("cores: 1\n")
    given = []
    monkeypatch.setattr(launch.os, "execv", lambda program, command: given.extend(command))
    monkeypatch.setattr("decon3d.command.supervise.run_shown", lambda *a, **k: 0)
    with pytest.raises(SystemExit):
        launch.run_workflow("c.yaml", profile="mine", arguments=["all", *option], verbose=True)
    assert Path.cwd() == tmp_path / "far" / "away"
    assert given[given.index("--configfile") + 1] == str(tmp_path / "c.yaml")
    assert given[given.index("--profile") + 1] == str(tmp_path / "mine")
    assert not any("--directory" in argument for argument in given) and "all" in given
    with pytest.raises(UserError, match="--directory: no folder follows"):
        launch.run_workflow(
            given[given.index("--configfile") + 1], profile="local", arguments=["--directory"]
        )


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Results of a dataset, with a file of the user's in between."""
    monkeypatch.chdir(tmp_path)
    for name in ("training/gfp/train.zarr/c", "models/gfp/rln/model.keras", "notes.txt"):
        path = tmp_path / "results" / "d" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1500))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "a.tif").write_bytes(bytes(10))
    os.symlink(tmp_path / "raw", tmp_path / "results" / "d" / "simulated")
    return tmp_path / "results" / "d"


def test_clean_lists_first_and_never_follows_a_link(results):
    assert [p.path.name for p in clean.removable()] == ["simulated", "training"]
    listed = CliRunner().invoke(app, ["clean"])
    assert "1.5 kB  results/d/training" in listed.output and (results / "training").exists()
    assert CliRunner().invoke(app, ["clean", "--yes"]).exit_code == 0
    assert not (results / "training").exists() and not (results / "simulated").is_symlink()
    assert (results / "../../raw/a.tif").exists() and (results / "models").exists()
    CliRunner().invoke(app, ["clean", "--all", "--yes"])
    assert [p.name for p in results.iterdir()] == ["notes.txt"]


def test_clean_keeps_away_from_a_run(results):
    (results / "../../.snakemake/locks").mkdir(parents=True)
    (results / "../../.snakemake/locks/0.input.lock").touch()
    with pytest.raises(UserError, match="Snakemake runs in"):
        clean.remove(clean.removable())
    assert (results / "training").exists()


def test_every_folder_of_the_contract_is_known_to_clean(monkeypatch):
    names = {
        "dataset": "D",
        "channel": "c",
        "method": "m",
        "volume": "v",
        "split": "train",
        "part": "0",
        "kind": "k",
        "name": "t.csv",
        "instrument": "i",
        "objective": "o",
        "day": "2020-01-01",
        "store": "s",
        "source": None,
    }
    places = set()
    for function in vars(paths).values():
        if callable(function) and function.__module__ == paths.__name__:
            code = function.__code__
            arguments = code.co_varnames[: code.co_argcount]
            place = function(**{a: names[a] for a in arguments}).split("/")
            if place[:2] == ["results", "D"]:
                places.add(place[2])
    assert places - {*clean.INTERMEDIATE, *clean.FINAL, *clean.PAGES} == set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "pedestal=98"], "--set pedestal=98 applies to a measured PSF only"),
        (["--bead", "b.tif", "--set", "pedestal"], "--set pedestal: the = is missing"),
        (["--bead", "b.tif", "--set", "axes=[Z"], r"--set axes=\[Z: the value is not valid YAML"),
        (["--bead", "b.tif", "--set", "pedestla=98"], "b.tif does not exist"),
        (["--bead", "a.tif", "--beads", "b.tif"], "give one of --bead and --beads"),
        (["--bead", "b.tif", "--bead-diameter", "0.1"], "b.tif does not exist"),
        (["--bead-diameter", "0.1"], "--bead-diameter applies to a measured PSF only"),
        (["--beads", "b.tif"], "bead_diameter_um: is missing"),
        (["--sheet-thickness", "-1"], "sheet_thickness_um: must be greater than 0"),
    ],
)
def test_wrong_options_are_named(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    values = ["--modality", "confocal", "--na", "1.1", "--immersion-index", "1.333"]
    values += ["--emission", "0.525", "--voxel-size", "0.3", "0.1", "0.1"]
    result = CliRunner().invoke(app, ["psf", "psf.tif", *values, *options])
    assert result.exit_code == 1 and isinstance(result.exception, UserError)
    assert re.search(message, str(result.exception)), result.exception
    assert not (tmp_path / "psf.tif").exists()


WRONG_OUTPUT = {
    "psf.json: the name must end in .tif": ["psf", "psf.json"],
    "psf.json exists": ["psf", "psf.tif"],
    "out.ome.zarr: the name must end in .tif or .tiff": ["deconvolve", "a.tif", "out.ome.zarr"],
    r"0\.0 GB do not fit .* `decon3d restore a.tif out.ome.tif`": [
        "deconvolve",
        "a.tif",
        "out.tif",
    ],
    "a.tif exists": ["deconvolve", "a.tif", "a.tif"],
}


@pytest.mark.parametrize("message", WRONG_OUTPUT)
def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    tmp_path, monkeypatch, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "LARGEST_GB", 1e-6)
    tiff("a.tif", axes="ZYX")
    save_psf(Psf(np.full((3, 3, 3), 1 / 27, np.float32), (0.3, 0.1, 0.1)), "bead.tif")
    (tmp_path / "psf.json").write_text("{}")
    options = PSF_OPTIONS
    if WRONG_OUTPUT[message][0] == "deconvolve":
        options = ["--psf", "bead.tif"]
        monkeypatch.setattr("decon3d.api.deconvolve", None)
    before = sorted(os.listdir())
    result = CliRunner().invoke(app, [*WRONG_OUTPUT[message], *options])
    assert isinstance(result.exception, UserError), result.exception
    assert re.search(message, str(result.exception)), result.exception
    assert sorted(os.listdir()) == before


def test_a_psf_is_two_files_and_leaves_all_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mine = [Path("bead_measured.tif"), Path("bead_ideal.tif"), Path("digests.json")]
    for path in mine:
        path.write_text("mine")
    for name in ("a.tif", "b.tif"):
        result = CliRunner().invoke(app, ["psf", name, *PSF_OPTIONS])
        assert result.exit_code == 0, result.output
    assert {path.read_text() for path in mine} == {"mine"}
    made = {"a.tif", "a.json", "b.tif", "b.json"}
    assert set(os.listdir()) - {path.name for path in mine} == made
    assert fingerprint(load_psf("a.tif")) == fingerprint(load_psf("b.tif"))


def test_all_missing_options_of_a_psf_are_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["psf", "psf.tif", "--na", "1.1"])
    message = "give --modality, --emission, --voxel-size; a PSF needs these options"
    assert isinstance(result.exception, UserError) and str(result.exception) == message


def test_an_existing_config_is_refused_before_any_question(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiff("a.tif", axes="ZYX")
    Path("config.yaml").write_text("mine")
    result = CliRunner().invoke(app, ["init", "a.tif"])
    assert "config.yaml exists; give another name with --output" in str(result.exception)


def test_many_files_are_one_pattern_if_it_names_no_other(tmp_path):
    files = [tiff(tmp_path / f"{i:02}.1.ome.tif", axes="ZYX") for i in range(21)]
    given = Given(optics=OPTICS, emission_um=[0.6])

    def volumes(files):
        text = new_config(files, name="d", given=given, ask=None, path="c.yaml")
        return yaml.safe_load(text)["datasets"]["d"]["volumes"], text

    found, text = volumes(files)
    assert found == [f"{tmp_path}/*.tif"] and "21 files; files that are added later" in text
    assert volumes(files[:20])[0] == files[:20]
    (tmp_path / "overview.tif").touch()
    assert volumes(files)[0] == [f"{tmp_path}/*.ome.tif"]
    (tmp_path / "psf.ome.tif").touch()
    assert volumes(files)[0] == files


def test_a_config_suggests_the_methods_that_it_lacks(tmp_path):
    file = tiff(tmp_path / "a.ome.tif", axes="ZYX")
    given = Given(optics=OPTICS, emission_um=[0.6], methods=["rl", "rltv"])
    text = new_config([file], name="d", given=given, ask=None, path="c.yaml")
    (reference,) = re.findall("^# All keys: (.*)$", text, re.MULTILINE)
    assert Path(reference).is_file()
    assert "# rltv" not in text and "  # rln: {}          # a network" in text
    assert "  # rl_residual: {}  # experimental" in text


def test_a_hint_of_a_config_becomes_a_key_when_its_mark_is_removed(tmp_path):
    file = tiff(tmp_path / "a.ome.tif", axes="ZYX")
    given = Given(optics=OPTICS, emission_um=[0.6])
    text = new_config([file], name="d", given=given, ask=None, path="c.yaml")
    config = yaml.safe_load(re.sub(r"^( +)# (\w+: \{)", r"\1\2", text, flags=re.MULTILINE))
    assert list(config["methods"]) == ["rl", *METHOD_HINTS]
    (channel,) = config["datasets"]["d"]["channels"].values()
    assert channel["psf"] == {"source": "file", "path": "bead.tif"}
    psf = {"source": "file", "path": file}
    given = Given(optics=OPTICS, emission_um=[0.6], psf=psf)
    assert "# psf" not in new_config([file], name="d", given=given, ask=None, path="c.yaml")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "full", "out.tif"), "the disk is full.*run the same command again"),
        (PermissionError(errno.EACCES, "denied", "a/out.tif"), "a/out.tif: denied; make the fold"),
        (UserError("give --psf"), "^Error: give --psf$"),
        (FileNotFoundError(errno.ENOENT, "none", "a"), None),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_line(monkeypatch, error, message):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(type(error) if message is None else SystemExit) as found:
        cli.main()
    if message is not None:
        assert re.search(message, found.value.code) and "\n" not in found.value.code


def test_a_preview_ends_with_the_prices_and_the_command_that_runs_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("datasets: {worm: {}, fish: {}}")
    times = {"training_s": 8100.0, "search_s": 0.0, "predicted_s": 18.648576000000002}
    priced = {"method": "rln", **times, "evaluation_s": 60.0}
    priced |= {"memory_gb": 3.5000000001, "disk_gb": 0.25, "notes": ["not trained yet"]}
    priced |= {"cluster": ["train: 1 job, each 8 cores, 1 GPU, 8 GB, at most 12.0 h"]}
    unknown = dict.fromkeys(priced, None) | {"method": "rl", "notes": [], "cluster": []}
    record = {"methods": [priced, unknown], "threads": 2, "not_included": ["the page"]}
    write_record(paths.preview_costs("worm"), record | {"phantoms_s": 9.0, "total_s": 130.0})
    lines = price_lines("c.yaml")
    assert [line.split() for line in lines[:4]] == [
        ["worm:"],
        ["method", "training", "restoring", "evaluation", "memory", "disk"],
        ["rln", "2.2", "h", "19", "s", "60", "s", "3.5", "GB", "0.25", "GB"],
        ["rl", "–", "–", "–", "–", "–"],
    ]
    assert lines[-5:-2] == [
        "  phantoms for all methods: 9 s",
        "  computing together, with 2 threads of this machine: 2.2 min",
        "  not included: the page",
    ]
    assert "  rln: not trained yet" in lines and "1 GPU" in str(lines)
    assert lines[-2:] == [
        "Run it: decon3d run c.yaml",
        "On a cluster: decon3d run c.yaml --profile NAME (`decon3d doctor --write NAME` writes the "
        "profile)",
    ]


def test_numbers_of_a_file_are_short_in_the_config_and_in_messages(tmp_path):
    file = tiff(tmp_path / "a.ome.tif", axes="ZYX", size=0.30000000000000004)
    given = Given(optics=OPTICS, emission_um=[0.6])
    text = new_config([file], name="d", given=given, ask=None, path="c.yaml")
    assert "voxel size from the files: [0.3, 0.1, 0.1] µm (Z, Y, X)" in text
    _, problem = voxel_in_um([(18648576.000000002, "µm"), (0.1, "µm"), (0.1, "µm")])
    assert "1.86486e+07 µm along Z is outside" in problem
