"""The bundle comes back as it was written, or says what is wrong."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from decon3d.errors import UserError
from decon3d.files import file_digest, read_json, write_json
from decon3d.networks.bundle import Predictor, load_bundle
from decon3d.networks.kinds import rln
from support.small_networks import write

BLOCK = np.random.default_rng(0).uniform(0, 1, (8, 10, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle")
    tf.keras.utils.set_random_seed(1)
    model = rln.build(epsilon=0.01)
    changes = {"options": {"epsilon": 0.01}, "validation": {"input": {"nrmse": 0.5}}}
    info = write(folder, model, "rln", **changes)
    expected = model(BLOCK[None, ..., None], training=False).numpy()[0, ..., 0]
    return folder, info, expected


def copy(folder, target):
    for name in ("model.keras", "model.json"):
        (target / name).write_bytes((folder / name).read_bytes())
    return target


def test_round_trip(written):
    folder, info, expected = written
    loaded, read = load_bundle(folder)
    assert read == info
    assert loaded.get_layer("ratio_1").epsilon == 0.01
    result = loaded(BLOCK[None, ..., None], training=False).numpy()[0, ..., 0]
    np.testing.assert_array_equal(result, expected)


def test_predictor_takes_any_even_shape(written):
    folder, _, _ = written
    restorer = Predictor(*load_bundle(folder))
    assert (restorer.halo, restorer.stride) == ((18, 18, 18), (2, 2, 2))
    padded = np.pad(BLOCK, 18)
    larger = restorer.predict(np.pad(padded, 2))
    assert np.abs(restorer.predict(padded) - larger[2:-2, 2:-2, 2:-2]).max() < 1e-5 * larger.max()
    assert restorer.predict(padded[:42, :40]).shape == (6, 4, 12)
    with pytest.raises(ValueError, match="multiple of"):
        restorer.predict(padded[:41])
    with pytest.raises(ValueError, match="all of them halo"):
        restorer.predict(padded[:36])


def test_damaged_network(written, tmp_path):
    folder = copy(written[0], tmp_path)
    content = bytearray((folder / "model.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "model.keras").write_bytes(content)
    with pytest.raises(UserError, match="hash differs"):
        load_bundle(folder)
    (folder / "model.keras").unlink()
    with pytest.raises(UserError, match=r"model\.keras is missing"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "schema_version is 99"),
        ({"halo": "wide"}, "halo"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_wrong_description(written, tmp_path, change, message):
    folder = copy(written[0], tmp_path)
    write_json(folder / "model.json", {**read_json(folder / "model.json"), **change})
    with pytest.raises(UserError, match=message):
        load_bundle(folder)


def test_no_bundle(tmp_path):
    with pytest.raises(UserError, match=r"model\.json is missing"):
        load_bundle(tmp_path)


def test_the_packages_import_without_tensorflow():
    code = (
        "import sys, decon3d.networks.registry, decon3d.training, decon3d.networks.devices; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    scripts = Path(rln.__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=scripts, check=False).returncode == 0


@pytest.mark.parametrize(
    "changes", [{"halo": [16, 18, 18]}, {"stride": [1, 2, 2]}, {"global_means": True}]
)
def test_the_geometry_in_model_json_is_compared_with_the_network(written, tmp_path, changes):
    folder = copy(written[0], tmp_path)
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(UserError, match="halo, stride or global_means do not match the network"):
        load_bundle(folder)


def test_a_network_that_cannot_be_loaded_is_one_line(written, tmp_path):
    folder = copy(written[0], tmp_path)
    with zipfile.ZipFile(folder / "model.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = parts["config.json"].replace(b'"Conv3D"', b'"Conv9D"')
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    path = folder / "model.json"
    known = {**json.loads(path.read_text()), "model_sha256": file_digest(folder / "model.keras")}
    path.write_text(json.dumps(known))
    with pytest.raises(UserError, match=r"model\.keras cannot be read: ") as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
