"""The ways to install the workflow agree: locks, conda environments, containers, the catalog."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from snakemake.cli import get_argument_parser

from support.paths import ROOT

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "envs"))
import hatch_build
import lock

ENVS = ROOT / "envs"


def pins(name):
    """Names and requirements of a lock."""
    lines = (ENVS / f"{name}.lock.txt").read_text().splitlines()
    return {Requirement(line).name: Requirement(line) for line in lines if line[:1] != "#"}


@pytest.mark.parametrize("name", lock.EXTRAS)
def test_a_lock_pins_every_package(name):
    assert all(str(r.specifier).startswith("==") for r in pins(name).values())


def test_tensorflow_has_cuda_in_the_lock_of_gpu_nodes_only():
    assert "tensorflow" in pins("gpu") and "tensorflow-cpu" not in pins("gpu")
    assert "nvidia-cudnn-cu12" in pins("gpu")
    assert "nvidia-cudnn-cu12" not in pins("cpu")


@pytest.mark.parametrize(
    ("platform", "machine", "name"),
    [
        ("linux", "x86_64", "tensorflow-cpu"),
        ("win32", "AMD64", "tensorflow-cpu"),
        ("linux", "aarch64", "tensorflow"),
        ("darwin", "arm64", "tensorflow"),
    ],
)
def test_each_platform_gets_the_tensorflow_that_has_a_wheel_for_it(platform, machine, name):
    place = {"sys_platform": platform, "platform_machine": machine}
    found = [
        n
        for n, pin in pins("cpu").items()
        if n.startswith("tensorflow") and (pin.marker is None or pin.marker.evaluate(place))
    ]
    assert found == [name]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_a_conda_environment_installs_its_lock(name):
    text = (ENVS / f"{name}.yaml").read_text()
    assert text == lock.conda_environment(name)
    environment = yaml.safe_load(text)
    *conda, with_pip = environment["dependencies"]
    assert conda == ["python =3.11", "pip"]
    assert {Requirement(r).name for r in with_pip["pip"]} == set(pins(name))


CONTAINER = ENVS / "container"
IN_IMAGE = re.compile(r"/(?:opt/)?source/")
"""Where the definitions put the files of the clone."""


def sections():
    """Header keys and sections of Apptainer's definition."""
    text = re.sub(r"^\s*#.*\n", "", (CONTAINER / "decon3d.def").read_text(), flags=re.MULTILINE)
    header, *rest = re.split(r"^%", text, flags=re.MULTILINE)
    keys = dict(line.split(": ", 1) for line in header.split("\n") if line)
    return keys, {name: body for name, _, body in (section.partition("\n") for section in rest)}


def instructions():
    """Words of every instruction of the Dockerfile; lines that end with a backslash go on."""
    text = re.sub(r"^#.*\n", "", (CONTAINER / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [line.split() for line in lines if line]


def copied_by_apptainer():
    """Sources in the clone and targets in the image."""
    return [line.split() for line in sections()[1]["files"].strip().splitlines()]


def copied_by_docker():
    """The same of the stage that builds the wheel; all its sources keep their place."""
    words = [i[1:] for i in instructions() if i[0] == "COPY" and i[-1].startswith("/source")]
    pairs = []
    for *sources, target in words:
        for source in sources:
            inside = f"{target}{Path(source).name}" if target.endswith("/") else target
            pairs.append([source, inside])
    return pairs


def test_both_images_start_from_the_python_of_the_locks():
    images = {i[1] for i in instructions() if i[0] == "FROM"}
    keys, _ = sections()
    assert keys["Bootstrap"] == "docker" and images == {keys["From"]}
    (version,) = re.findall(r"python:(\d+\.\d+)", keys["From"])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert version in SpecifierSet(project["requires-python"])
    assert f'  - python ={version}"' in lock.conda_environment("cpu").replace("\n", '"\n')


@pytest.mark.parametrize("copied", [copied_by_apptainer, copied_by_docker])
def test_an_image_gets_the_files_of_the_wheel_and_no_others(copied):
    pairs = copied()
    for source, target in pairs:
        assert (ROOT / source).exists() and IN_IMAGE.sub("", target) == source
    # What hatchling reads, and each file that hatch_build.py adds.
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "hatch_build.py", "LICENSE", project["project"]["readme"]}
    needed |= set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    for pattern in hatch_build.PATTERNS:
        needed |= {str(path.relative_to(ROOT)) for path in ROOT.glob(pattern)}
    given = [Path(source) for source, _ in pairs]
    missing = [n for n in needed if not any(Path(n).is_relative_to(g) for g in given)]
    assert not missing
    # A folder may contain gigabytes: an image that was built, a virtual environment.
    assert not {"envs", ".", ".venv", "docs", "tests"} & {str(g) for g in given}


def test_both_images_run_the_recipe_with_the_lock_of_choice():
    _, parts = sections()
    (argument,) = parts["arguments"].split()
    docker = instructions()
    assert argument == "LOCK=cpu" and ["ARG", argument] in docker
    assert "sh envs/container/install.sh envs/{{ LOCK }}.lock.txt ." in parts["post"]
    run = [" ".join(i) for i in docker if i[0] == "RUN"]
    assert any("install.sh /opt/install/${LOCK}.lock.txt /opt/install/decon3d-" in r for r in run)
    sources = {word for i in docker if i[0] == "COPY" for word in i[1:-1]}
    assert {"envs/container/install.sh", "envs/${LOCK}.lock.txt"} <= sources
    for name in ("cpu", "gpu"):
        assert (ENVS / f"{name}.lock.txt").is_file()
        assert [f"envs/{name}.lock.txt", f"/opt/source/envs/{name}.lock.txt"] in (
            copied_by_apptainer()
        )


def test_an_image_starts_the_command_and_not_as_root():
    docker = instructions()
    assert docker[-1] == ["ENTRYPOINT", '["decon3d"]']
    # `docker run --user` gives a number: no home folder, and no name in /etc/passwd.
    (variables,) = [dict(w.split("=") for w in i[1:]) for i in docker if i[0] == "ENV"]
    assert variables["HOME"] == "/tmp" and variables["USER"] == "decon3d"
    (user,) = [i[1] for i in docker if i[0] == "USER"]
    assert any(i[0] == "RUN" and i[1] == "useradd" and i[-1] == user for i in docker)
    _, parts = sections()
    assert parts["runscript"].strip() == 'exec decon3d "$@"'
    wanted = re.search(r"import ([\w, ]+);", parts["test"])[1].split(", ")
    assert set(wanted) <= set(pins("gpu"))


def test_jobs_of_a_clone_do_not_import_the_image_s_decon3d():
    """Only an environment of its own has it; `--sdm apptainer` calls the image's `python`."""
    recipe = (CONTAINER / "install.sh").read_text()
    calls = [line for line in recipe.splitlines() if "pip" in line and " install " in line]
    assert [call.split("pip ", 1)[1].split()[0] for call in calls] == ["install", "--python"]
    assert '"$source"' in calls[1] and '"$source"' not in calls[0]
    assert subprocess.run(["sh", "-n", CONTAINER / "install.sh"]).returncode == 0


def test_the_catalog_is_told_what_there_is():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    deployment = catalog["software-stack-deployment"]
    assert deployment == {"conda": True, "apptainer": False, "apptainer+conda": False}
    assert catalog["report"] is True
    flags = get_argument_parser().parse_args(catalog["mandatory-flags"]["flags"].split())
    profile = yaml.safe_load((ROOT / "profiles" / "local" / "config.yaml").read_text())
    triggers = {str(t).lower() for t in flags.rerun_triggers}
    assert triggers == set(profile["rerun-triggers"])
    assert flags.conda_not_block_search_path_envvars
    rules = "".join(f.read_text() for f in (ROOT / "workflow" / "rules").glob("*.smk"))
    used = set(re.findall(r'"\.\./\.\./(envs/\S+\.yaml)"', rules))
    assert used == {"envs/cpu.yaml", "envs/gpu.yaml"}
    assert all(Path(ROOT / name).is_file() for name in used)


def test_the_catalog_finds_what_it_requires():
    """Its criteria for workflows of standardized usage."""
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert list((ROOT / "workflow" / "rules").glob("*.smk"))
    assert (ROOT / "config" / "README.md").is_file() and (ROOT / "LICENSE").is_file()
