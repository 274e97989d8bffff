"""What a user is told about a wrong config."""

import copy
from dataclasses import asdict
from pathlib import Path

import pytest
import yaml
from helpers import ROOT

from decon3d import config_reference
from decon3d.errors import ConfigError
from decon3d.files import write_json
from decon3d.networks.description import BundleInfo, TrainedOn
from decon3d.settings import check_config_files, expand_path, load_settings
from decon3d.settings.duplicates import duplicate_keys
from decon3d.volumes.inputs import list_volumes

GOOD = {
    "datasets": {
        "worm": {
            "simulate": {"v": {"shape": [8, 16, 16]}},
            "voxel_size_um": [0.3, 0.1, 0.1],
            "optics": {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.333},
            "channels": {"gfp": {"emission_um": 0.525}},
        }
    },
    "methods": {"rl": {}},
}


def problems(change):
    config = copy.deepcopy(GOOD)
    change(config, config["datasets"]["worm"])
    with pytest.raises(ConfigError) as caught:
        load_settings(config)
    return caught.value.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c, d: d.update(voxel_size=1), "datasets.worm.voxel_size: unknown key; did you mean voxel_size_um?"),
        (lambda c, d: d.update(simulate=None, volumes="no/such.tif"), "datasets.worm.volumes: there is no file no/such.tif"),
        (lambda c, d: d.update(simulate=None, volumes="no/*.tif"), "datasets.worm.volumes: no file matches no/*.tif"),
        (lambda c, d: d.update(voxel_size_um=[100, 0.1, 0.1]), "datasets.worm.voxel_size_um[0]: 100 µm is no voxel size of a light microscope (100 nm is 0.1 µm)"),
        (lambda c, d: d["channels"]["gfp"].update(emission_um=525), "datasets.worm.channels.gfp.emission_um: 525 µm is no wavelength of visible light (525 nm is 0.525 µm)"),
        (lambda c, d: d["optics"].update(numerical_aperture=1.4), "datasets.worm.optics.immersion_index: 1.333 is not above numerical_aperture 1.4, and no lens collects beyond 90°: check both (water 1.333, glycerol 1.47, oil 1.515)"),
        (lambda c, d: c["methods"].update(magic={}), "methods.magic: 'magic' is no kind of method; known: rl, rltv, rln, neurodecon, care, rcan, rl_residual, bundle"),
        (lambda c, d: c["methods"].update(rl={"iteration": 5}), "methods.rl.iteration: unknown key; did you mean iterations?"),
        (lambda c, d: c["datasets"].update({"a/b": d}), "datasets.a/b: 'a/b' is no usable name; use letters, digits, _ and - only"),
        (lambda c, d: d["optics"].update(modality="light_sheet"), "datasets.worm.optics.sheet_thickness_um: is missing; a light sheet needs its FWHM in µm"),
        (lambda c, d: d["channels"]["gfp"].update(psf={"source": "beads", "path": str(ROOT), "bead_diameter_um": 0.1, "half_width": 1}), "datasets.worm.channels.gfp.psf.half_width: unknown key; did you mean half_width_um?"),
        (lambda c, d: d["channels"]["gfp"].update(psf={"source": "beads", "path": str(ROOT)}), "datasets.worm.channels.gfp.psf.bead_diameter_um: is missing; it has no default"),
        (lambda c, d: d.pop("optics"), "datasets.worm.optics: is missing; it has no default"),
        (lambda c, d: c.update(phantoms={"test": {"count": 1, "recipes": {"cell": 1}}, "objects": {"embryo": {"path": "config/demo.yaml"}}}), "phantoms.test.recipes: 'cell' is neither a recipe nor one of phantoms.objects; known: broad, embryo, er_network, membranes, neurodecon, nuclei, rln_mixed, spheres, spheres_2x, spheres_3x, spheres_4x, tubules"),
        (lambda c, d: c.update(phantoms={"objects": {"nuclei": {"path": "config/demo.yaml"}}}), "phantoms.objects.nuclei: this name is a recipe's; rename it"),
        (lambda c, d: c.update(phantoms={"objects": {"cell": {"path": "no/such.tif"}}}), "phantoms.objects.cell.path: there is no file no/such.tif"),
        (lambda c, d: (c.update(phantoms={"train": {"count": 1, "recipes": {"broad": 1}, "psf_variation": {"depth_um": [0, 5]}}}), d["channels"]["gfp"].update(psf={"source": "file", "path": "config/demo.yaml"})), "phantoms.train.psf_variation.depth_um: datasets.worm.channels.gfp.psf is measured, and how it would look at another depth is not known; vary its width"),
        (lambda c, d: c.update(phantoms={"train": {"count": 1, "recipes": {"broad": 1}, "psf_variation": {"width": [1.1, 0.9]}}}), "phantoms.train.psf_variation: width: the lower bound comes first"),
        (lambda c, d: c["methods"].update(rl={"iterations": "tune", "stopping": "rlgc"}), "methods.rl: iterations: tune and stopping: rlgc both decide the number of iterations; leave one of them out"),
        (lambda c, d: c["methods"].update(rl={"stopping": "rlgc", "acceleration": "heavy_ball"}), "methods.rl: stopping: rlgc goes with acceleration: none: momentum runs on into the noise"),
        (lambda c, d: c["methods"].update(rl={"back_projector": "wiener_butterworth"}), "methods.rl: back_projector: wiener_butterworth goes with acceleration: none and stopping: fixed (1 or 2 iterations): it diverges otherwise"),
        (lambda c, d: c["methods"].update(rltv={"tune_on": "test_truth"}), "methods.rltv: tune_on: test_truth (with iterations: tune) makes an oracle, and an oracle's name ends in _oracle; no other method's does"),
        (lambda c, d: c["methods"].update(rl_oracle={"kind": "rl"}), "methods.rl_oracle: tune_on: test_truth (with iterations: tune) makes an oracle, and an oracle's name ends in _oracle; no other method's does"),
        (lambda c, d: c["methods"].update(rl={"source": "dark"}, rltv={}), "methods.rl.source: there is no method 'dark'; known: rltv"),
        (lambda c, d: c["methods"].update(rl={"source": "b"}, b={"kind": "rln", "source": "rl"}), "methods.rl.source: rl → b → rl is a circle; one of them has to start from the raw volumes"),
        (lambda c, d: c["methods"].update(rl={"source": "rl"}), "methods.rl.source: rl → rl is a circle; one of them has to start from the raw volumes"),
        (lambda c, d: c["methods"].update(rl={"source": "rln", "stopping": "rlgc"}, rln={}), "methods.rl: tune_on: data, stopping: rlgc and tv_weight: snr judge by the noise of photons, which restored volumes (source: rln) no longer have"),
        (lambda c, d: c["methods"].update(night={"bundle": "no/such"}), "methods.night.bundle: there is no folder no/such"),
        (lambda c, d: c["methods"].update(night={"bundle": "config"}), "methods.night.bundle: config: no model bundle here (model.json is missing); give the folder that `train` wrote, with model.keras and model.json"),
        (lambda c, d: d.update(pairs={"raw": "no/*.tif", "truth": "config"}), "datasets.worm.pairs.raw: no file matches no/*.tif"),
        (lambda c, d: d.update(pairs={"raw": ["config"], "truth": "config", "specimen": "fish"}), "datasets.worm.pairs.specimen: needs one group in parentheses, which names the specimen: '(fish[0-9]+)_'"),
        (lambda c, d: d.update(pairs={"raw": "config", "truth": "config", "specimens": "(a)"}), "datasets.worm.pairs.specimens: unknown key; did you mean specimen?"),
        (lambda c, d: (d.update(pairs={"raw": "config", "truth": "config"}), c.update(phantoms={})), "phantoms: every dataset has measured pairs, so that none are made; leave this out"),
        (lambda c, d: c["methods"].update(rln={"training": {"start_from": "no/bundle"}}), "methods.rln.training.start_from: there is no file no/bundle"),
        (lambda c, d: c["methods"].update(rln={"training": {"start_from": "config"}}), "methods.rln.training.start_from: config: no model bundle here (model.json is missing); give the folder that `train` wrote, with model.keras and model.json"),
        (lambda c, d: c["methods"].update(rln={"training": {"intensity_scale": [2, 1]}}), "methods.rln.training.intensity_scale: the lower bound comes first"),
        (lambda c, d: c["methods"].update(input={"kind": "rl"}), "methods.input: this name is reserved for the report's own rows; rename it"),
    ],
)  # fmt: skip
def test_one_problem_is_one_clear_line(change, said, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert problems(change) == [said]


def test_a_training_starts_from_its_own_kind_only(tmp_path):
    bundle = BundleInfo(
        schema_version=1, kind="care", options={}, input_channels=1, halo=(2, 2, 2),
        stride=(1, 1, 1), bytes_per_voxel=1.0, global_means=False, target_kernel="object",
        voxel_size_um=(0.2, 0.1, 0.1), psf_fwhm_um=(0.6, 0.25, 0.25), psf_fingerprint="ab",
        trained_on=TrainedOn(2, (8, 8, 8), "law", (1.0, 1.0), (1.0, 1.0), (0.1, 0.2), {}),
        training={}, seed=1, stream=(), device="CPU", best_step=1, validation={}, versions={},
        model_sha256="a", weights_sha256="b",
    )  # fmt: skip
    write_json(tmp_path / "model.json", asdict(bundle))
    said = f"methods.rln.training.start_from: {tmp_path} holds a network of kind care, not rln"
    training = {"start_from": str(tmp_path)}
    assert problems(lambda c, d: c["methods"].update(rln={"training": training})) == [said]
    config = {**GOOD, "methods": {"care": {"training": training}}}
    assert load_settings(config).methods["care"].training.start_from == str(tmp_path)


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
    "path", ["config/config.yaml", "config/demo.yaml", "config/examples/recipes.yaml"]
)
def test_the_shipped_configs_are_valid(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    load_settings(yaml.safe_load(Path(path).read_text()))


def test_schema_and_reference_page_are_those_of_the_settings():
    assert (ROOT / config_reference.SCHEMA).read_text() == config_reference.schema_text()
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
    lost = "so the first one would be lost; rename or remove one of them"
    found = duplicate_keys(path)
    assert found == [
        f"{path}, lines {lines}: the key {key} stands twice, {lost}"
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
    assert "lines 1 and 2: the key a.b stands twice" in duplicate_keys(tmp_path / "c.json")[0]


@pytest.mark.parametrize("path", sorted((ROOT / "config").rglob("*.yaml")))
def test_the_shipped_configs_give_no_key_twice(path):
    assert duplicate_keys(path) == []
