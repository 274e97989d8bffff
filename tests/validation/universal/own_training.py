"""Configs of trainings to compare with: for one microscope, and at a tenth of the size."""

from typing import Any

import yaml

from decon3d.phantoms.sections import Microscopes
from support.paths import ROOT
from validation.universal.cells import Cell

EXAMPLE = ROOT / "config" / "examples" / "universal.yaml"


def config_of(microscope: int) -> str:
    """Return `config/examples/universal.yaml` for one microscope of the test (YAML).

    The same network, number of volumes, objects and doses; all volumes are of this microscope.
    """
    config = _example()
    found, name = Cell(microscope, 200.0).draw(), f"microscope_{microscope}"
    (dataset,) = config["datasets"].values()
    light = {"emission_um": found.emission_um, "excitation_um": found.excitation_um}
    dataset |= {
        "voxel_size_um": list(found.voxel_size_um),
        "optics": found.description["optics"],
        "channels": {"signal": {key: value for key, value in light.items() if value is not None}},
    }
    config["datasets"] = {name: dataset}
    phantoms = config["phantoms"]
    for split in ("train", "val"):
        phantoms[split].pop("microscopes")
    phantoms |= {
        "photons": list(Microscopes().photons),
        "background_photons": found.background_photons,
        "unit_um": found.unit_um,
    }
    return yaml.safe_dump(config, sort_keys=False)


def a_tenth() -> str:
    """Return `config/examples/universal.yaml` with a tenth of the volumes and of the steps (YAML)."""
    config = _example()
    training = config["methods"]["universal"]["training"]
    training["steps"] //= 10
    training["validate_every"] = training["steps"] // 4
    config["phantoms"]["train"]["count"] //= 10
    return yaml.safe_dump(config, sort_keys=False)


def _example() -> dict[str, Any]:
    return yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
