"""The ways to install the workflow say the same: locks, conda environments, the container."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from support.paths import ROOT

sys.path.insert(0, str(ROOT / "envs"))
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


def sections():
    """Header keys and sections of the container's definition."""
    text = re.sub(r"^\s*#.*\n", "", (ENVS / "decon3d.def").read_text(), flags=re.MULTILINE)
    header, *rest = re.split(r"^%", text, flags=re.MULTILINE)
    keys = dict(line.split(": ", 1) for line in header.split("\n") if line)
    return keys, {name: body for name, _, body in (section.partition("\n") for section in rest)}


def test_the_container_installs_the_lock_of_gpu_nodes():
    keys, parts = sections()
    assert keys["Bootstrap"] == "docker" and keys["From"].startswith("python:3.11")
    assert set(parts) == {"files", "post", "environment", "runscript", "test"}
    source, target = parts["files"].split()
    assert (ROOT / source) == ENVS / "gpu.lock.txt"
    assert f"--requirement {target}" in parts["post"]
    wanted = re.search(r"import ([\w, ]+);", parts["test"])[1].split(", ")
    assert {w.replace("cupy", "cupy-cuda12x") for w in wanted} <= set(pins("gpu"))


def test_the_catalog_is_told_what_there_is():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    deployment = catalog["software-stack-deployment"]
    assert deployment == {"conda": True, "singularity": True, "singularity+conda": False}
    assert catalog["report"] is True
    rules = "".join(f.read_text() for f in (ROOT / "workflow" / "rules").glob("*.smk"))
    used = set(re.findall(r'"\.\./\.\./(envs/\S+\.yaml)"', rules))
    assert used == {"envs/cpu.yaml", "envs/gpu.yaml"}
    assert all(Path(ROOT / name).is_file() for name in used)
