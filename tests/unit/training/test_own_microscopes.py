"""A training in which every volume has its own microscope."""

import numpy as np
import pytest
import yaml
import zarr

from decon3d.classical.estimates import Estimator
from decon3d.networks.bundle import load_bundle
from decon3d.networks.devices import configure
from decon3d.networks.estimates import network_runs
from decon3d.networks.kinds.rl_residual import RlEstimate, RlResidual, RlResidualTraining
from decon3d.optics.psf import fingerprint
from decon3d.settings import Microscopes, Phantoms, Split, load_settings
from decon3d.training import loop
from decon3d.training.augmentation import MOVES
from decon3d.training.crops import load_pairs
from decon3d.training.kept_estimates import KeptEstimates
from decon3d.training.own_microscopes import OwnMicroscopes
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.paths import ROOT
from support.phantom_stores import PSF, make

METHOD = RlResidual(
    kind="rl_residual",
    estimates=(RlEstimate(iteration_factors=(0.2, 0.4)),),
    channels=2,
    training=RlResidualTraining(steps=2, batch=2, crop=(8, 8, 8), validate_every=1, save_every=1),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(
        tmp_path_factory.mktemp("pairs") / "train.zarr",
        phantoms=Phantoms(shape=(8, 16, 16)),
        split=Split(
            count=3, recipes={"spheres": 1}, microscopes=Microscopes(modalities={"light_sheet": 1})
        ),
        name="val",
    )


def estimator_of(statistics, psf, camera):
    runs = network_runs(
        METHOD_ESTIMATES, statistics=statistics, psf=psf or PSF, camera=camera or Camera()
    )
    return Estimator(runs, psf=(psf or PSF).data, threads=1)


METHOD_ESTIMATES = loop.network("rl_residual").estimates(METHOD)


def train(store, folder, method=METHOD):
    loop.train(
        train_store=store,
        val_store=store,
        method=method,
        psf=PSF,
        camera=Camera(),
        seed=1,
        stream=("d", "c", "universal"),
        folder=folder,
        device=configure(gpus=0, threads=1),
    )


def test_each_volume_has_its_own_psf_camera_and_estimates(store):
    group = zarr.open_group(str(store), mode="r")
    own = OwnMicroscopes(group)
    pairs = load_pairs(store, camera_offset=7.0, estimator=estimator_of)
    known = set()
    for index, about in enumerate(group.attrs["microscopes"]):
        psf = own.psf(index)
        assert psf.voxel_size_um == tuple(about["voxel_size_um"])
        assert psf.data.sum() == pytest.approx(1, abs=1e-5) and psf.data[0].any()
        offset = about["camera"]["offset"] if about["camera_known"] else None
        assert own.known_offset(index) == offset
        known.add(about["camera_known"])
        image = group["image"][index]
        statistics = ChannelStatistics.of_image(image, camera_offset=offset)
        law = pairs.normalisations[index]
        assert law == statistics.normalisation  # not by the offset 7
        made = estimator_of(statistics, psf, own.camera(index, image))(image)
        np.testing.assert_array_equal(pairs.estimates[index], law.apply(made))
    assert len({fingerprint(own.psf(i)) for i in range(3)}) == 3
    assert pairs.microscopes.modalities == {"light_sheet": 3}
    low, high = pairs.microscopes.lateral_fwhm_voxels
    assert 0.8 < low < high < 6


def test_a_known_camera_is_the_stated_one(store):
    group = zarr.open_group(str(store), mode="r")
    own = OwnMicroscopes(group)
    sources = set()
    for index, about in enumerate(group.attrs["microscopes"]):
        camera = own.camera(index, group["image"][index])
        sources.add(camera.offset_from)
        if about["camera_known"]:
            values = [about["camera"][key] for key in ("offset", "gain", "read_noise")]
            assert [camera.offset, camera.gain, camera.read_noise] == values
            assert camera.offset_from == camera.gain_from == "config"
        else:
            assert camera.known_offset is None


def test_kept_estimates_are_read_and_damaged_ones_made_again(tmp_path):
    calls = []

    class Counting:
        runs = ("two iterations",)
        count = 2

        def __call__(self, block, *, origin=(0, 0, 0), out=None):
            calls.append(origin)
            out = np.empty((2, *block.shape), np.float32) if out is None else out
            out[:] = block, 2 * block
            return out

    kept = KeptEstimates(tmp_path / "kept")
    block = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    first = kept.of(Counting(), psf_fingerprint="a")(block)
    again = np.empty((2, 2, 2, 2), np.float32)
    assert kept.of(Counting(), psf_fingerprint="a")(block, out=again) is again
    np.testing.assert_array_equal(first, again)
    assert len(calls) == 1
    kept.of(Counting(), psf_fingerprint="b")(block)  # another PSF
    kept.of(Counting(), psf_fingerprint="a")(block + 1)  # another image
    assert len(calls) == len(list((tmp_path / "kept").iterdir())) == 3
    for path in (tmp_path / "kept").iterdir():
        path.write_bytes(path.read_bytes()[:40])
    resumed = KeptEstimates(tmp_path / "kept")
    np.testing.assert_array_equal(resumed.of(Counting(), psf_fingerprint="a")(block), first)
    assert len(calls) == 4
    resumed.remove_others()
    assert len(list((tmp_path / "kept").iterdir())) == 1
    resumed.remove()
    assert not (tmp_path / "kept").exists()


def test_a_stopped_training_does_not_estimate_again(store, tmp_path, monkeypatch):
    class KilledError(Exception):
        pass

    class Stopping(loop.Step):
        def __call__(self, images, objects):
            raise KilledError

    made = []
    original = Estimator.__call__

    def counted(self, block, **options):
        made.append(block.shape)
        return original(self, block, **options)

    monkeypatch.setattr(Estimator, "__call__", counted)
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(loop, "Step", Stopping)
        train(store, tmp_path)
    assert len(made) == 3  # the stores are one: its images are estimated once
    train(store, tmp_path)
    assert len(made) == 3 and not (tmp_path / "estimates").exists()
    _, info = load_bundle(tmp_path)
    assert info.trained_on.microscopes.modalities == {"light_sheet": 3}
    assert info.training["moves"] == list(MOVES)


@pytest.mark.parametrize("name", ["universal", "universal_full"])
def test_the_examples_take_their_first_steps(name, store, tmp_path):
    config = yaml.safe_load((ROOT / "config" / "examples" / f"{name}.yaml").read_text())
    method = load_settings(config).methods["universal"]
    for split in ("train", "val"):
        assert config["phantoms"][split]["microscopes"] == {}
    few = {"steps": 2, "batch": 1, "validate_every": 1}
    short = method.model_copy(update={"training": method.training.model_copy(update=few)})
    train(store, tmp_path, short)
    _, info = load_bundle(tmp_path)
    assert (info.options["channels"], info.training["steps_done"]) == (method.channels, 2)
    assert np.isfinite(info.validation["model"]["nrmse"])
