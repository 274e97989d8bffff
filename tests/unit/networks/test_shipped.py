"""The network that comes with decon3d: how it is made, and which methods restore with it."""

import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest

import decon3d
from decon3d import paths
from decon3d.classical.kind import RICHARDSON_LUCY
from decon3d.errors import ConfigError, UserError
from decon3d.files import file_digest, read_json, write_json
from decon3d.jobs import Jobs
from decon3d.networks import ship, shipped
from decon3d.networks.bundle import load_bundle
from decon3d.networks.description import MicroscopeRange
from decon3d.networks.kind import Estimate
from decon3d.networks.kinds import rl_residual, rln
from decon3d.preflight import list_inputs
from decon3d.report.labels import seen_recipes
from decon3d.report.methods_text import methods_paragraph
from decon3d.settings import Phantoms, is_trained, load_settings, needs_sample
from support.records import bundle_info
from support.small_networks import write

MANY = MicroscopeRange({"confocal": 2, "widefield": 2}, (1.0, 8.0), (1.0, 5.0), (1.0, 6.0))
TRAINED_ON = replace(bundle_info().trained_on, microscopes=MANY)
VOXEL = (0.3, 0.15, 0.15)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A bundle as a training over many microscopes writes it: it corrects its last estimate."""
    folder = tmp_path_factory.mktemp("trained")
    keras.utils.set_random_seed(1)
    model = rl_residual.build(inputs=3)
    kernel = np.random.default_rng(0).normal(0, 0.01, model.get_layer("residual").kernel.shape)
    model.get_layer("residual").set_weights([kernel])
    about = {"input_channels": 3, "estimates": (Estimate((0.3, 1.0)),), "trained_on": TRAINED_ON}
    write(folder, model, "rl_residual", **about)
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An installation without any shipped network."""
    place = tmp_path / "installed"
    place.mkdir()
    monkeypatch.setattr(shipped, "FOLDER", place)
    return place


def config(method):
    dataset = {
        "simulate": {"small": {"shape": [12, 32, 32]}},
        "voxel_size_um": list(VOXEL),
        "optics": {"modality": "confocal", "numerical_aperture": 1.1, "immersion_index": 1.333},
        "channels": {"gfp": {"emission_um": 0.525}},
    }
    return load_settings({"datasets": {"d": dataset}, "methods": {"rl": {}, "rl_residual": method}})


def on_another_day(bundle, target):
    """A copy of a bundle as Keras would have written it on another day."""
    target.mkdir()
    place = target / "model.keras"
    with zipfile.ZipFile(bundle / "model.keras") as old, zipfile.ZipFile(place, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "another day"})
            new.writestr(zipfile.ZipInfo(name, (2001, 2, 3, 4, 5, 6)), content)
    digest = file_digest(target / "model.keras")
    known = read_json(bundle / "model.json")
    assert digest != known["model_sha256"]
    write_json(target / "model.json", known | {"model_sha256": digest})
    return target


def test_the_same_weights_give_the_same_file_at_any_time(trained, tmp_path):
    first, info = ship.ship(trained, into=tmp_path / "a")
    second, _ = ship.ship(on_another_day(trained, tmp_path / "again"), into=tmp_path / "b")
    assert file_digest(first / "model.keras") == file_digest(second / "model.keras")
    assert first == tmp_path / "a" / "rl_residual"
    assert sorted(p.name for p in first.iterdir()) == ["model.json", "model.keras"]
    model, read = load_bundle(first)
    assert read == info and info.model_sha256 == file_digest(first / "model.keras")
    known, _ = load_bundle(trained)
    for one, two in zip(model.get_weights(), known.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trained_on": bundle_info().trained_on}, "for one microscope and has no range"),
        ({"target_kernel": "measured"}, "measured or restored images"),
        (
            {"trained_on": replace(TRAINED_ON, made_as={"source": "rl"})},
            "measured or restored images",
        ),
    ],
)
def test_a_network_without_its_range_is_not_shipped(tmp_path, changes, said):
    about = {"input_channels": 3, "trained_on": TRAINED_ON, **changes}
    write(tmp_path / "t", rl_residual.build(inputs=3, channels=2), "rl_residual", **about)
    with pytest.raises(UserError, match=said):
        ship.ship(tmp_path / "t", into=tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_damaged_weights_and_large_files_are_not_shipped(trained, tmp_path, monkeypatch, capsys):
    model = rl_residual.build(inputs=3, channels=2)
    model.get_layer("residual").set_weights([np.full((3, 3, 3, 2, 1), np.nan)])
    write(tmp_path / "nan", model, "rl_residual", input_channels=3, trained_on=TRAINED_ON)
    with pytest.raises(UserError, match="not finite"):
        ship.ship(tmp_path / "nan", into=tmp_path / "s")
    write(tmp_path / "rln", rln.build(), "rln", trained_on=TRAINED_ON)
    with pytest.raises(SystemExit, match="always trained"):
        ship.main([str(tmp_path / "rln")])
    monkeypatch.setattr(ship, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"more than 0\.001 MB"):
        ship.ship(trained, into=tmp_path / "s")
    assert not list((tmp_path / "s").rglob("model*"))


def test_an_installation_without_weights_says_what_to_do(folder):
    with pytest.raises(ConfigError) as caught:
        config({})
    (line,) = caught.value.problems
    assert line.startswith("methods.rl_residual: no weights of rl_residual come with this version")
    assert "`training: {}`" in line
    with pytest.raises(UserError, match="no weights of rl_residual"):
        image = np.full((8, 16, 16), 100, np.uint16)
        optics = {"modality": "confocal", "numerical_aperture": 1.1, "emission_um": 0.525}
        decon3d.deconvolve(image, optics=optics, voxel_size_um=VOXEL, method="rl_residual")


@pytest.mark.parametrize("method", [{}, None, {"source": "rl"}])
def test_a_method_without_training_restores_with_the_shipped_weights(trained, folder, method):
    ship.ship(trained, into=folder)
    settings = config(method)
    (own,) = [m for n, m in settings.methods.items() if n == "rl_residual"]
    assert own.kind == "rl_residual" and not is_trained(own) and not needs_sample(own)
    assert settings.simulated_pairs is None  # nothing is trained, so nothing is simulated for it
    jobs = Jobs(settings, list_inputs(settings), {})
    place = folder / "rl_residual" / "model.json"
    assert jobs.restorer("d", "gfp", "rl_residual")["bundle"] == str(place)
    assert not [p for p in jobs.records("d") if "models" in p or "training" in p]
    before = jobs.bundles_seen("d", channel="gfp", method="rl_residual")
    assert before == jobs.bundles_seen("d", channel=None, method=None)
    assert before != jobs.bundles_seen("d", channel="gfp", method="rl")


def test_a_training_starts_from_nothing_or_from_the_shipped_weights(trained, folder):
    ship.ship(trained, into=folder)
    settings = config({"training": {}})
    assert settings.methods["rl_residual"].training.start_from is None
    assert settings.simulated_pairs is not None
    jobs = Jobs(settings, list_inputs(settings), {})
    assert jobs.bundle("d", "gfp", "rl_residual") == paths.model("d", "gfp", "rl_residual")
    fine = config({"training": {"start_from": "shipped", "steps": 5}}).methods["rl_residual"]
    assert is_trained(fine)
    place = shipped.bundle_folder(fine.training.start_from, kind=fine.kind)
    assert Path(place) == folder / "rl_residual"
    (folder / "rl_residual" / "model.json").write_text("{")
    with pytest.raises(ConfigError, match=r"training\.start_from: .*is damaged"):
        config({"training": {"start_from": "shipped"}})


def test_structures_that_the_shipped_weights_know_are_seen(trained, folder):
    known = replace(TRAINED_ON, made_as={"recipes": {"membranes": 3}})
    ship.ship(trained, into=folder)
    path = folder / "rl_residual" / "model.json"
    write_json(path, read_json(path) | {"trained_on": asdict(known)})
    settings = config({})
    test = {"test": {"count": 1, "recipes": {"membranes": 1}}}
    settings = settings.model_copy(update={"phantoms": Phantoms.model_validate(test)})
    assert "membranes" in seen_recipes(settings)
    path.unlink()  # moved after the run
    assert "membranes" not in seen_recipes(settings)


def test_the_methods_paragraph_names_the_version_of_the_weights(trained, folder, tmp_path):
    _, info = ship.ship(trained, into=folder)
    settings = config({})
    path = tmp_path / paths.prepared("d", "gfp", "rl_residual")
    path.parent.mkdir(parents=True)
    write_json(path, {"values": {"bundle_digest": info.model_sha256}})
    text = methods_paragraph(tmp_path, dataset="d", settings=settings, splits=())
    (sentence,) = [s for s in text.sentences if "residual network" in s]
    assert sentence.endswith(
        f"with the weights that come with decon3d, version {info.model_sha256[:12]}."
    )
    assert RICHARDSON_LUCY[0] in text.references


def test_python_restores_with_the_shipped_weights(trained, folder):
    ship.ship(trained, into=folder)
    rng = np.random.default_rng(3)
    image = rng.poisson(20, (12, 32, 32)) + 100
    image[4:8, 10:20, 10:20] += 200
    optics = {"modality": "confocal", "numerical_aperture": 1.1, "emission_um": 0.525}
    options = {"voxel_size_um": VOXEL, "camera": {"offset": 100, "gain": 1, "read_noise": 1}}
    own, named = (
        decon3d.deconvolve(image.astype(np.uint16), optics=optics, method=method, **options)
        for method in ("rl_residual", {"bundle": str(trained)})
    )
    np.testing.assert_array_equal(own, named)
    assert own.max() > 1.2 * image.max()


@pytest.mark.skipif(
    not (shipped.FOLDER / "rl_residual").is_dir(), reason="no weights in this version"
)
def test_the_weights_in_the_package_are_as_ship_writes_them(tmp_path):
    place = shipped.FOLDER / "rl_residual"
    again, info = ship.ship(place, into=tmp_path)
    assert sorted(p.name for p in place.iterdir()) == ["model.json", "model.keras"]
    for name in ("model.json", "model.keras"):
        assert (again / name).read_bytes() == (place / name).read_bytes()
    kind = rl_residual.METHOD
    usual = kind.settings(kind="rl_residual")  # with which `start_from: shipped` fits
    assert (info.options, info.estimates) == (kind.options(usual), kind.estimates(usual))
