"""The rival that is trained for one microscope: its config."""

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
    config: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
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
