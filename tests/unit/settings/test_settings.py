"""What a user is told about a wrong config."""

import copy
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from decon3d import config_reference
from decon3d.errors import ConfigError
from decon3d.files import write_json
from decon3d.networks.registry import NETWORKS
from decon3d.settings import (
    METHOD_KINDS,
    check_config_files,
    expand_path,
    list_volumes,
    load_settings,
)
from decon3d.settings.duplicates import duplicate_keys
from support.configs import GOOD
from support.paths import ROOT
from support.records import bundle_info

MICROSCOPES = {"count": 1, "recipes": {"broad": 1}, "microscopes": {}}


def problems(change):
    config = copy.deepcopy(GOOD)
    change(config, config["datasets"]["worm"])
    with pytest.raises(ConfigError) as caught:
        load_settings(config)
    return caught.value.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c, d: d.update(voxel_size=1),
            "datasets.worm.voxel_size: unknown key; did you mean voxel_size_um?",
        ),
        (
            lambda c, d: d.update(simulate=None, volumes="no/such.tif"),
            "datasets.worm.volumes: no/such.tif does not exist; check the path",
        ),
        (
            lambda c, d: d.update(simulate=None, volumes="no/*.tif"),
            "datasets.worm.volumes: no file matches no/*.tif; check the pattern",
        ),
        (
            lambda c, d: d.update(voxel_size_um=[100, 0.1, 0.1]),
            "datasets.worm.voxel_size_um[0]: 100 µm is outside 0.001–20 µm; did you mean 0.1?",
        ),
        (
            lambda c, d: d["channels"]["gfp"].update(emission_um=525),
            "datasets.worm.channels.gfp.emission_um: 525 µm is outside 0.2–2 µm; did you mean 0.525?",
        ),
        (
            lambda c, d: d["optics"].update(numerical_aperture=1.4),
            "datasets.worm.optics.immersion_index: 1.333 must be greater than numerical_aperture 1.4; check both (water 1.333, glycerol 1.47, oil 1.515)",
        ),
        (
            lambda c, d: c["methods"].update(magic={}),
            "methods.magic: unknown method kind 'magic'; known: " + ", ".join(METHOD_KINDS),
        ),
        (
            lambda c, d: c["methods"].update(rl={"iteration": 5}),
            "methods.rl.iteration: unknown key; did you mean iterations?",
        ),
        (
            lambda c, d: c["datasets"].update({"a/b": d}),
            "datasets.a/b: 'a/b' cannot be a name; use letters, digits, _ and - only",
        ),
        (
            lambda c, d: d["optics"].update(modality="light_sheet"),
            "datasets.worm.optics.sheet_thickness_um: is missing; a light sheet needs its thickness (FWHM) in µm",
        ),
        (
            lambda c, d: d["channels"]["gfp"].update(
                psf={"source": "beads", "path": str(ROOT), "bead_diameter_um": 0.1, "half_width": 1}
            ),
            "datasets.worm.channels.gfp.psf.half_width: unknown key; did you mean half_width_um?",
        ),
        (
            lambda c, d: d["channels"]["gfp"].update(psf={"source": "beads", "path": str(ROOT)}),
            "datasets.worm.channels.gfp.psf.bead_diameter_um: is missing; it has no default",
        ),
        (lambda c, d: d.pop("optics"), "datasets.worm.optics: is missing; it has no default"),
        (
            lambda c, d: c.update(
                phantoms={
                    "test": {"count": 1, "recipes": {"cell": 1}},
                    "objects": {"embryo": {"path": "config/demo.yaml"}},
                }
            ),
            "phantoms.test.recipes: unknown recipe 'cell'; known, with phantoms.objects: broad, embryo, er_network, haze, membranes, mixture, neurodecon, nuclei, rln_mixed, spheres, spheres_2x, spheres_3x, spheres_4x, textured_nuclei, tubules",
        ),
        (
            lambda c, d: c.update(phantoms={"objects": {"nuclei": {"path": "config/demo.yaml"}}}),
            "phantoms.objects.nuclei: a recipe has this name; rename the object",
        ),
        (
            lambda c, d: c.update(phantoms={"objects": {"cell": {"path": "no/such.tif"}}}),
            "phantoms.objects.cell.path: no/such.tif does not exist; check the path",
        ),
        (
            lambda c, d: (
                c.update(
                    phantoms={
                        "train": {
                            "count": 1,
                            "recipes": {"broad": 1},
                            "psf_variation": {"depth_um": [0, 5]},
                        }
                    }
                ),
                d["channels"]["gfp"].update(psf={"source": "file", "path": "config/demo.yaml"}),
            ),
            "phantoms.train.psf_variation.depth_um: datasets.worm.channels.gfp.psf is measured, so the PSF at other depths is unknown; vary `width` instead",
        ),
        (
            lambda c, d: c.update(
                phantoms={
                    "train": {
                        "count": 1,
                        "recipes": {"broad": 1},
                        "psf_variation": {"width": [1.1, 0.9]},
                    }
                }
            ),
            "phantoms.train.psf_variation: width: give the lower bound first",
        ),
        (
            lambda c, d: c.update(phantoms={"test": {**MICROSCOPES, "count": 1}}),
            "phantoms.test.microscopes: the test phantoms have the dataset's microscope; remove this key, or move it to `train` and `val`",
        ),
        (
            lambda c, d: c.update(
                phantoms={"train": {**MICROSCOPES, "psf_variation": {"width": [0.9, 1.1]}}}
            ),
            "phantoms.train: psf_variation and microscopes both vary the PSF; remove one of them",
        ),
        (
            lambda c, d: (
                c.update(phantoms={"val": MICROSCOPES}),
                c["methods"].update(rl={"iterations": "tune"}),
            ),
            "methods.rl: cannot be tuned on phantoms.val, where every volume has its own microscope; set methods.rl.tune_on: data, or remove phantoms.val.microscopes",
        ),
        (
            lambda c, d: (
                c.update(phantoms={"train": MICROSCOPES}),
                c["methods"].update(rl={}, second={"kind": "rln", "source": "rl"}),
            ),
            "methods.second.source: rl restores with the dataset's PSF, but every volume of phantoms.train has its own microscope; remove `source`, or phantoms.train.microscopes",
        ),
        (
            lambda c, d: c["methods"].update(rl={"iterations": "tune", "stopping": "rlgc"}),
            "methods.rl: iterations: tune and stopping: rlgc both choose the number of iterations; remove one of them",
        ),
        (
            lambda c, d: c["methods"].update(rl={"stopping": "rlgc", "acceleration": "heavy_ball"}),
            "methods.rl: stopping: rlgc needs acceleration: none, since momentum amplifies noise",
        ),
        (
            lambda c, d: c["methods"].update(rl={"back_projector": "wiener_butterworth"}),
            "methods.rl: back_projector: wiener_butterworth needs acceleration: none and stopping: fixed (1 or 2 iterations); otherwise it diverges",
        ),
        (
            lambda c, d: c["methods"].update(rltv={"tune_on": "test_truth"}),
            "methods.rltv: the name of a method with tune_on: test_truth and iterations: tune must end in _oracle; rename it",
        ),
        (
            lambda c, d: c["methods"].update(rl_oracle={"kind": "rl"}),
            "methods.rl_oracle: only a method with tune_on: test_truth and iterations: tune may have a name that ends in _oracle; rename it",
        ),
        (
            lambda c, d: c["methods"].update(rl={"source": "dark"}, rltv={}),
            "methods.rl.source: unknown method 'dark'; known: rltv",
        ),
        (
            lambda c, d: c["methods"].update(rl={"source": "b"}, b={"kind": "rln", "source": "rl"}),
            "methods.rl.source: rl → b → rl is a cycle; one of these methods must start from the raw volumes (source: null)",
        ),
        (
            lambda c, d: c["methods"].update(rl={"source": "rl"}),
            "methods.rl.source: rl → rl is a cycle; one of these methods must start from the raw volumes (source: null)",
        ),
        (
            lambda c, d: c["methods"].update(rl={"source": "rln", "stopping": "rlgc"}, rln={}),
            "methods.rl: tune_on: data, stopping: rlgc and tv_weight: snr need photon noise, which restored volumes (source: rln) no longer have; remove these options or `source`",
        ),
        (
            lambda c, d: c["methods"].update(night={"bundle": "no/such"}),
            "methods.night.bundle: the folder no/such does not exist; check the path",
        ),
        (
            lambda c, d: c["methods"].update(night={"bundle": "config"}),
            "methods.night.bundle: config is not a model bundle (model.json is missing); give the "
            "folder that `train` wrote, with model.keras and model.json",
        ),
        (
            lambda c, d: d.update(pairs={"raw": "no/*.tif", "truth": "config"}),
            "datasets.worm.pairs.raw: no file matches no/*.tif; check the pattern",
        ),
        (
            lambda c, d: d.update(pairs={"raw": ["config"], "truth": "config", "specimen": "fish"}),
            "datasets.worm.pairs.specimen: needs exactly one group in parentheses, which holds the specimen's name, e.g. '(fish[0-9]+)_'",
        ),
        (
            lambda c, d: d.update(pairs={"raw": "config", "truth": "config", "specimens": "(a)"}),
            "datasets.worm.pairs.specimens: unknown key; did you mean specimen?",
        ),
        (
            lambda c, d: (
                d.update(pairs={"raw": "config", "truth": "config"}),
                c.update(phantoms={}),
            ),
            "phantoms: every dataset has measured pairs, so no phantoms are made; remove this section",
        ),
        (
            lambda c, d: c["methods"].update(rln={"training": {"start_from": "no/bundle"}}),
            "methods.rln.training.start_from: no/bundle does not exist; check the path",
        ),
        (
            lambda c, d: c["methods"].update(rln={"training": {"start_from": "config"}}),
            "methods.rln.training.start_from: config is not a model bundle (model.json is "
            "missing); give the folder that `train` wrote, with model.keras and model.json",
        ),
        (
            lambda c, d: c["methods"].update(rln={"training": {"start_from": "shipped"}}),
            "methods.rln.training.start_from: no weights of rln come with this version of decon3d; name a folder, or remove this key",
        ),
        (
            lambda c, d: c["methods"].update(mine={"kind": "rl_residual", "channels": 16}),
            "methods.mine.channels: the network that comes with decon3d has fixed options; add `training: {}` to train another one, or remove this key",
        ),
        (
            lambda c, d: c["methods"].update(rln={"training": {"intensity_scale": [2, 1]}}),
            "methods.rln.training.intensity_scale: give the lower bound first",
        ),
        (
            lambda c, d: c["methods"].update(input={"kind": "rl"}),
            "methods.input: the report uses this name for its own rows; rename the method",
        ),
    ],
)
def test_one_problem_is_one_clear_line(change, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert problems(change) == [said]


def bundle(folder, name="care", channels=1, **changes):
    """Write a bundle without weights: model.json, and of model.keras its description."""
    write_json(folder / "model.json", {**asdict(bundle_info(kind="care")), **changes})
    layers = [{"config": {"batch_shape": [None, None, None, None, channels]}}]
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"name": name, "layers": layers}}))


def test_a_training_starts_from_its_own_kind_only(tmp_path):
    bundle(tmp_path)
    said = f"methods.rln.training.start_from: {tmp_path} holds a network of kind care, not rln; give a bundle of kind rln"
    training = {"start_from": str(tmp_path)}
    assert problems(lambda c, d: c["methods"].update(rln={"training": training})) == [said]
    config = {**GOOD, "methods": {"care": {"training": training}}}
    assert load_settings(config).methods["care"].training.start_from == str(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "rln"}, "model.keras holds a network of kind rln, but model.json says care"),
        ({"channels": 3}, "model.keras takes 3 channel(s), but model.json says 1"),
        (
            {"kind": "rl", "name": "mine"},
            "holds a network of unknown kind 'rl'; known: care",
        ),
        ({"kind": "bundle", "name": "mine"}, "holds a network of unknown kind 'bundle'; known:"),
        ({"halo": (-1, 2, 2)}, "model.json: halo.0: should be greater than or equal to 0"),
        ({"stride": (0, 1, 1)}, "model.json: stride.0: should be greater than or equal to 1"),
        ({"bytes_per_voxel": 0.0}, "model.json: bytes_per_voxel: should be greater than 0"),
        ({"schema_version": 7}, "schema_version is 7, but this version of decon3d reads 1"),
    ],
)
def test_a_bundle_is_what_its_model_json_says(tmp_path, changes, said):
    bundle(tmp_path, **changes)
    (found,) = problems(lambda c, d: c["methods"].update(night={"bundle": str(tmp_path)}))
    assert found.startswith("methods.night.bundle: ") and said in found


@pytest.mark.parametrize("name", ["model.json", "model.keras"])
@pytest.mark.parametrize("content", [b"", b"[]", b"\0\xff", b"[" * 100_000, b"PK\3\4"])
def test_damaged_files_of_a_bundle_are_named(tmp_path, name, content):
    bundle(tmp_path)
    (tmp_path / name).write_bytes(content)
    (found,) = problems(lambda c, d: c["methods"].update(night={"bundle": str(tmp_path)}))
    assert f"{tmp_path / name}" in found and "\n" not in found
    (tmp_path / name).unlink()
    (found,) = problems(lambda c, d: c["methods"].update(night={"bundle": str(tmp_path)}))
    assert f"{name} is missing" in found


def test_the_known_networks_are_those_that_the_config_trains():
    assert set(NETWORKS) == {k for k, m in METHOD_KINDS.items() if "training" in m.model_fields}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c, d: d.update(voxel_size_um=0.13),
            "datasets.worm.voxel_size_um: must be [Z, Y, X], not 0.13",
        ),
        (
            lambda c, d: d.update(voxel_size_um=[0.1]),
            "datasets.worm.voxel_size_um: must be [Z, Y, X], not [0.1]",
        ),
        (
            lambda c, d: d.update(voxel_size_um=[0.1] * 4),
            "datasets.worm.voxel_size_um: must be [Z, Y, X], not [0.1, 0.1, 0.1, 0.1]",
        ),
        (
            lambda c, d: d.update(voxel_size_um=["a", 0.1, 0.1]),
            "datasets.worm.voxel_size_um[0]: must be a number, not 'a'",
        ),
        (lambda c, d: d.update(times=[]), "datasets.worm.times: is empty; give at least one entry"),
        (
            lambda c, d: d.update(simulate=None, volumes=[]),
            "datasets.worm.volumes: is empty; give at least one entry",
        ),
        (
            lambda c, d: d.update(pairs={"raw": [], "truth": "config"}),
            "datasets.worm.pairs.raw: is empty; give at least one entry",
        ),
        (
            lambda c, d: d.update(simulate=None, volumes=3),
            "datasets.worm.volumes: must be text or a list, not 3",
        ),
        (
            lambda c, d: d.update(simulate=None, volumes=["config", 3]),
            "datasets.worm.volumes[1]: must be text or a section with keys, not 3",
        ),
        (
            lambda c, d: d.update(no_data="automatic"),
            "datasets.worm.no_data: must be auto or none or a number, not 'automatic'; did you mean auto?",
        ),
        (
            lambda c, d: d.update(optics=None),
            "datasets.worm.optics: has no value; it must be a section with keys",
        ),
        (
            lambda c, d: d["optics"].update(modality="wide_field"),
            "datasets.worm.optics.modality: must be widefield, confocal, two_photon, light_sheet or sted, not 'wide_field'; did you mean widefield?",
        ),
        (
            lambda c, d: d.update(preview={"roi": [[0, 5]]}),
            "datasets.worm.preview.roi: must be [[from, to], [from, to], [from, to]] along Z, Y, X, not [[0, 5]]",
        ),
        (
            lambda c, d: d.update(preview={"roi": [[0, 5], [0], [0, 1]]}),
            "datasets.worm.preview.roi[1]: must be [from, to], not [0]",
        ),
        (
            lambda c, d: d.update(preview={"roi": [[0, 5], [4, 4], [0, 1]]}),
            "datasets.worm.preview.roi: along Y, 4 is not greater than 4; give [start, stop]",
        ),
        (
            lambda c, d: d["channels"].update(gfp={"emission_um": 0.5, "psf": {"source": "bead"}}),
            "datasets.worm.channels.gfp.psf: unknown source 'bead'; known: theory, file, beads; did you mean beads?",
        ),
        (
            lambda c, d: d["channels"].update(gfp={"emission_um": 0.5, "psf": {}}),
            "datasets.worm.channels.gfp.psf: needs the key source",
        ),
        (
            lambda c, d: d["channels"]["gfp"].update(index=-1),
            "datasets.worm.channels.gfp.index: must be at least 0, not -1",
        ),
        (
            lambda c, d: d["channels"]["gfp"].update(index=0.5),
            "datasets.worm.channels.gfp.index: must be a whole number, not 0.5",
        ),
        (
            lambda c, d: c["methods"].update(rl={"iterations": "few"}),
            "methods.rl.iterations: must be a whole number or auto or tune, not 'few'",
        ),
        (
            lambda c, d: c["methods"].update(rl=[1]),
            "methods.rl: must be a section with keys, not [1]",
        ),
        (lambda c, d: c.update(methods={}), "methods: is empty; give at least one entry"),
        (
            lambda c, d: c.update(require_gpu="maybe"),
            "require_gpu: must be true or false, not 'maybe'",
        ),
        (
            lambda c, d: c.update(restoration={"memory_gb": float("inf")}),
            "restoration.memory_gb: must be a finite number, not inf",
        ),
        (
            lambda c, d: c["datasets"].update(rl=3),
            "datasets.rl: must be a section with keys, not 3",
        ),
        (
            lambda c, d: c["datasets"].update(int={**d, "x": 1}),
            "datasets.int.x: unknown key; known here: volumes, ",
        ),
        (
            lambda c, d: d.update(simulate=None, volumes=["$NOWHERE/a.tif"]),
            "datasets.worm.volumes[0]: the environment variable NOWHERE is not set (in '$NOWHERE/a.tif'); set it, or give a default: ${NOWHERE:-…}",
        ),
        (
            lambda c, d: d["channels"]["gfp"].update(psf={"source": "file", "path": "${NOWHERE}"}),
            "datasets.worm.channels.gfp.psf.path: the environment variable NOWHERE is not set (in '${NOWHERE}'); set it, or give a default: ${NOWHERE:-…}",
        ),
        (
            lambda c, d: c["methods"].update(night={"bundle": "$NOWHERE"}),
            "methods.night.bundle: the environment variable NOWHERE is not set (in '$NOWHERE'); set it, or give a default: ${NOWHERE:-…}",
        ),
    ],
)
def test_a_value_of_the_wrong_form_is_one_plain_line(change, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("NOWHERE", raising=False)
    (found,) = problems(change)
    assert found.startswith(said) if said.endswith(", ") else found == said


def test_a_config_that_holds_no_keys_is_refused():
    for config in (None, [], "a", 3):
        with pytest.raises(ConfigError, match="holds no keys"):
            load_settings(config)


def test_a_stopping_rule_has_a_limit_and_data_need_no_phantoms():
    config = copy.deepcopy(GOOD)
    config["methods"] = {"rl": {"stopping": "rlgc"}, "rltv": {"tune_on": "data"}}
    settings = load_settings(config)
    assert settings.methods["rl"].iterations == 500
    assert settings.simulated_pairs is None
    again = type(settings.methods["rl"]).model_validate(settings.methods["rl"].model_dump())
    assert again == settings.methods["rl"]


def test_all_problems_are_told_at_once():
    def change(config, dataset):
        dataset["voxel_size_um"] = [0.3, 100, 0.1]
        dataset["optics"].update(numerical_aperture=1.5, imersion_index=1.5)
        config["methods"]["foo"] = {}
        config["sede"] = 1

    found = problems(change)
    for word in ("voxel_size_um[1]", "immersion_index: 1.333", "imersion_index", "foo", "sede"):
        assert any(word in line for line in found), word
    assert len(found) == 5


def test_a_volume_of_every_kind_of_list_has_a_name(tmp_path):
    for name in ("a.ome.tif", "b c.tif"):
        (tmp_path / name).touch()
    (tmp_path / "sheet.tsv").write_text("name\tpath\treference\nx\ta.ome.tif\tb c.tif\n")
    names = {}
    for volumes in (str(tmp_path / "*.tif"), str(tmp_path / "sheet.tsv")):
        config = copy.deepcopy(GOOD)
        config["datasets"]["worm"].update(simulate=None, volumes=volumes)
        settings = load_settings(config)
        names[volumes] = list_volumes("worm", settings.datasets["worm"])
    globbed, listed = names.values()
    assert list(globbed) == ["a", "b_c"]
    assert listed["x"].reference == str(tmp_path / "b c.tif")


def test_two_volumes_of_one_name_are_refused(tmp_path):
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.tif").touch()
    config = copy.deepcopy(GOOD)
    config["datasets"]["worm"].update(simulate=None, volumes=str(tmp_path / "*" / "a.tif"))
    settings = load_settings(config)
    with pytest.raises(ConfigError, match="would both be called 'a'"):
        list_volumes("worm", settings.datasets["worm"])


def test_paths_expand_like_a_shell(monkeypatch):
    monkeypatch.setenv("DATA", "here")
    monkeypatch.delenv("OTHER", raising=False)
    assert expand_path("${OTHER:-there}/$DATA/${DATA}.tif") == "there/here/here.tif"


@pytest.mark.parametrize(
    "path",
    [
        "config/config.yaml",
        "config/demo.yaml",
        "config/demo_train.yaml",
        "config/examples/recipes.yaml",
        "config/examples/universal.yaml",
        "config/examples/universal_full.yaml",
    ],
)
def test_the_shipped_configs_are_valid(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    load_settings(yaml.safe_load(Path(path).read_text()))


def test_the_reference_page_is_that_of_the_settings():
    assert (ROOT / config_reference.PAGE).read_text() == config_reference.page_text()


def test_every_key_of_the_reference_page_has_a_meaning():
    rows = [r for r in config_reference.page_text().splitlines() if r.startswith("| `")]
    assert len(rows) > 60
    assert not [r for r in rows if not r.split("|")[2].strip()]


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path):
    text = """\
datasets:
  worm: &a
    optics: {modality: confocal}
    channels:
      gfp: {index: 0, index: 1}
  fish: *a
  worm:
    <<: *a
    volumes: [{name: a, name: b}]
methods: {rl: {}}
methods: {}
"""
    path = tmp_path / "config.yaml"
    path.write_text(text)
    lost = "so YAML would ignore the first one; rename or remove one of them"
    found = duplicate_keys(path)
    assert found == [
        f"{path}, lines {lines}: the key {key} is given twice, {lost}"
        for lines, key in (
            ("5 and 5", "datasets.worm.channels.gfp.index"),
            ("2 and 7", "datasets.worm"),
            ("9 and 9", "datasets.worm.volumes[0].name"),
            ("10 and 11", "methods"),
        )
    ]
    (tmp_path / "good.yaml").write_text(text.splitlines()[0])
    with pytest.raises(ConfigError, match="has 4 problems"):
        check_config_files([tmp_path / "good.yaml", path])
    (tmp_path / "c.json").write_text('{"a": {"b": 1,\n\t"b": 2}}')
    assert "lines 1 and 2: the key a.b is given twice" in duplicate_keys(tmp_path / "c.json")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")))
def test_the_shipped_configs_give_no_key_twice(path):
    assert duplicate_keys(path) == []
