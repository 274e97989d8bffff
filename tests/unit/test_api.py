"""The Python interface: known sums, files like arrays, one line for a wrong argument."""

import doctest
import pydoc
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr
from scipy.signal import fftconvolve

import decon3d
from decon3d import UserError, api, one_volume
from decon3d.networks import backend
from decon3d.settings import Phantoms
from decon3d.volumes.reader import open_volume
from support.paths import ROOT

OPTICS = {"modality": "confocal", "numerical_aperture": 1.2, "immersion_index": 1.333}
SIZE = (0.3, 0.1, 0.1)
CAMERA = {"offset": 100, "gain": 2.0, "read_noise": 1.0}
FEW = {"kind": "rl", "iterations": 5}


@pytest.fixture(scope="module")
def psf():
    return decon3d.make_psf(**OPTICS, emission_um=0.525, voxel_size_um=SIZE)


@pytest.fixture(scope="module")
def image(psf):
    light = np.full((12, 40, 36), 5.0)
    light[5:8, 15:25, 15:22] += 400
    light = fftconvolve(np.pad(light, 20, mode="edge"), psf.data, mode="same")[
        20:-20, 20:-20, 20:-20
    ]
    return (100 + 2 * np.random.default_rng(1).poisson(light)).astype(np.uint16)


@pytest.fixture(scope="module")
def restored(psf, image):
    return decon3d.deconvolve(image, psf=psf, method=FEW, camera=CAMERA, threads=1)


def test_the_examples_in_the_docstrings_run():
    for module in (decon3d, api):
        failed, tried = doctest.testmod(module)
        assert failed == 0 and tried


def test_the_import_is_cheap_and_changes_nothing():
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import decon3d; "
        "assert not {'numpy', 'zarr', 'pydantic', 'decon3d.api'} & set(sys.modules); "
        "decon3d.make_psf; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_light_is_kept_and_gathered(image, restored):
    assert restored.sum() == pytest.approx(image.sum(), rel=0.01)
    assert restored.max() > 1.3 * image.max()


@pytest.mark.parametrize(("dtype", "error"), [("int32", 1e-6), (">u2", 1e-6), ("float64", 0.02)])
def test_the_type_of_the_counts_matters_little(psf, image, restored, dtype, error):
    counts = image.astype(dtype)  # of floating point numbers, the background is known less well
    again = decon3d.deconvolve(counts, psf=psf, method=FEW, camera=CAMERA, threads=1)
    assert np.abs(again - restored).max() <= error * restored.max()


def test_masked_voxels_have_no_data(psf, image):
    hot = image.copy()
    hot[:, 2:12, 2:12] = 60000
    masked = np.ma.masked_greater(hot, 50000)
    blank = np.where(hot > 50000, np.nan, hot.astype(np.float32))
    options = {"psf": psf, "method": FEW, "camera": CAMERA, "threads": 1}
    one, two = (decon3d.deconvolve(counts, **options) for counts in (masked, blank))
    assert np.array_equal(one, two, equal_nan=True) and np.nanmax(one) < 10000


def test_an_array_is_a_psf_and_optics_are_one(psf, image, restored):
    for given in ({"psf": 3 * psf.data}, {"optics": {**OPTICS, "emission_um": 0.525}}):
        again = decon3d.deconvolve(
            image, **given, voxel_size_um=SIZE, method=FEW, camera=CAMERA, threads=1
        )
        assert np.allclose(again, restored, rtol=1e-5)


def test_a_file_is_restored_as_its_channels_are(tmp_path, psf, image, restored):
    both = np.stack([image, image[:, ::-1]])
    meta = {"axes": "CZYX", "PhysicalSizeZ": 0.3, "PhysicalSizeY": 0.1, "PhysicalSizeX": 0.1}
    tifffile.imwrite(tmp_path / "in.ome.tif", both, metadata=meta)
    options = {"psf": [psf, psf], "method": FEW, "camera": CAMERA, "threads": 1}
    out = decon3d.restore(tmp_path / "in.ome.tif", tmp_path / "out.ome.zarr", **options)
    assert np.array_equal(zarr.open_array(out / "0")[0, 0], restored)
    assert open_volume(out).shape == (1, 2, 12, 40, 36)
    assert open_volume(out).voxel_size_um == pytest.approx(SIZE)
    one = decon3d.restore(
        tmp_path / "in.ome.tif",
        tmp_path / "one.ome.tif",
        psf=psf,
        channels=np.array([0]),
        times=range(1),
        output_dtype="input",
        **{k: options[k] for k in ("method", "camera", "threads")},
    )
    assert np.array_equal(np.squeeze(tifffile.imread(one)), np.rint(restored).astype(np.uint16))
    with pytest.raises(UserError, match="exists; remove it"):
        decon3d.restore(tmp_path / "in.ome.tif", out, **options)
    for wrong in ([2], [-1], [], [1.0], 0, 1):
        with pytest.raises(
            UserError,
            match=rf"^channels: {re.escape(str(wrong))} cannot be chosen, since .*in.ome.tif has 2",
        ):
            decon3d.restore(
                tmp_path / "in.ome.tif", tmp_path / "no.ome.tif", psf=psf, channels=wrong
            )
    with pytest.raises(UserError, match="got 1 for 2 channels"):
        decon3d.restore(tmp_path / "in.ome.tif", tmp_path / "no.ome.tif", psf=psf)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "in.ome.tif",
        "one.ome.tif",
        "out.ome.zarr",
    ]


def test_what_is_not_given_is_tuned_on_simulated_volumes_like_the_image(
    psf, image, restored, monkeypatch
):
    few = {"shape": (12, 24, 24), "val": {"count": 1, "recipes": {"mixture": 1}}}
    monkeypatch.setattr(one_volume, "Phantoms", lambda: Phantoms.model_validate(few))
    smooth = decon3d.deconvolve(image, psf=psf, method="rltv", camera=CAMERA, threads=1)
    assert smooth.sum() == pytest.approx(image.sum(), rel=0.01)
    dark = (slice(None), slice(0, 8), slice(25, None))
    assert smooth[dark].std() < image[dark].std() and smooth.max() > image.max()


WRONG = {
    "exactly one of `psf` and `optics`": {"psf": None},
    "method.iterations: must be": {"method": {"kind": "rl", "iterations": 0}},
    "unknown method kind 'magic'": {"method": "magic"},
    "unknown method kind 'total variation'": {"method": "total variation"},
    "unknown method kind 'RL'.*did you mean rl": {"method": "RL"},
    "method rln: this network is not trained": {"method": "rln"},
    "camera.gain: must be greater than 0": {"camera": {"gain": -1}},
    "method.bundle: the folder nowhere does not exist": {"method": {"bundle": "nowhere"}},
    "camera.gian: unknown key; did you mean gain": {"camera": {"gian": 1}},
    "psf: the PSF has voxels of": {"voxel_size_um": (0.3, 0.2, 0.2)},
    "^voxel_size_um: ": {"voxel_size_um": (0.3, 0.1)},
    "^voxel_size_um: must be .* not 0.3": {"voxel_size_um": 0.3},
    "^memory_gb: must be greater than 0": {"memory_gb": -1},
    "^threads: must be at least 1": {"threads": 0},
    "^method: must be a section with keys, not 5": {"method": 5},
    "^optics: missing a required argument: 'numerical_aperture'": {
        "psf": None,
        "optics": {"modality": "widefield", "emission_um": 0.5},
        "voxel_size_um": SIZE,
    },
    "^optics: got an unexpected keyword argument 'na'": {
        "psf": None,
        "optics": {**OPTICS, "emission_um": 0.5, "na": 1.2},
        "voxel_size_um": SIZE,
    },
    "^method: .* has no `kind`; give e.g. {'kind': 'rl', 'iterations': 3}": {
        "method": {"rl": {"iterations": 3}}
    },
    "has no `kind`; give e.g. {'kind': 'rl', 'iterations': 4}": {"method": {"iterations": 4}},
    "^psf: a.tif is a path; give an array, or let": {"psf": "a.tif"},
    "^psf: b.tif is a path; give an array, or let": {"psf": ["b.tif"], "voxel_size_um": SIZE},
    "^optics: a.yaml is a path; give the arguments of make_psf": {
        "psf": None,
        "optics": "a.yaml",
        "voxel_size_um": SIZE,
    },
    "^image: a.tif is a path; use decon3d.restore": {"image": "a.tif"},
    r"give one, e.g. image\[:, 0\]": {"image": np.ones((12, 2, 40, 40))},
    "^image holds one plane": {"image": np.ones((1, 12, 12))},
    "^image: no volume holds data": {"image": np.full((4, 12, 12), np.nan)},
    "voxel_size_um is missing": {"psf": np.ones((3, 3, 3))},
    "not in the middle": {"psf": np.eye(9)[None] * np.arange(9), "voxel_size_um": SIZE},
    "of odd sizes": {"psf": np.ones((4, 4, 4)), "voxel_size_um": SIZE},
    r"^image: the array has the shape \(12, 40\)": {"image": np.zeros((12, 40))},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_argument_is_one_line_that_names_it(psf, image, message):
    given = {"image": image, "psf": psf, "method": FEW, "camera": CAMERA, **WRONG[message]}
    with pytest.raises(UserError, match=message) as found:
        decon3d.deconvolve(given.pop("image"), **given)
    assert "\n" not in str(found.value) and "datasets." not in str(found.value)


def test_a_volume_deeper_than_wide_may_have_other_axes(psf, image, caplog):
    for volume, said in ((image, False), (np.moveaxis(image, 0, -1), True)):
        caplog.clear()
        decon3d.deconvolve(volume, psf=psf, method=FEW, camera=CAMERA)
        assert ("np.moveaxis" in caplog.text) == said


def test_a_psf_may_have_axes_of_one_voxel(image):
    for shape in ((1, 1, 1), (1, 3, 3)):
        same = decon3d.deconvolve(
            image, psf=np.ones(shape), voxel_size_um=SIZE, method=FEW, camera=CAMERA
        )
        assert same.shape == image.shape


def test_a_psf_for_other_voxels_than_those_of_the_file_is_refused(tmp_path, psf, image):
    sizes = {f"PhysicalSize{a}": s for a, s in zip("ZYX", (0.3, 0.2, 0.2), strict=True)}
    tifffile.imwrite(tmp_path / "a.ome.tif", image, metadata={"axes": "ZYX", **sizes})
    with pytest.raises(UserError, match=r"voxels of .*, but the image of .*; make the PSF for"):
        decon3d.restore(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif", psf=psf, method=FEW)


def test_without_tensorflow_a_network_is_refused_in_one_line(psf, image, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(vars(backend.keras), "saving", raising=False)
    with pytest.raises(UserError, match="cannot import keras"):
        assert backend.keras.saving


def test_help_begins_with_what_a_function_does_and_an_example():
    for function in (decon3d.deconvolve, decon3d.restore):
        text = pydoc.plain(pydoc.render_doc(function))
        assert "Union" not in text and "SupportsArray" not in text
        assert f"decon3d.{function.__name__}(" in text.split("Parameters")[0]


def test_wrong_optics_are_named():
    with pytest.raises(UserError, match=r"^optics\.immersion_index: 1\.333 must be greater"):
        decon3d.make_psf(
            **{**OPTICS, "numerical_aperture": 1.4}, emission_um=0.525, voxel_size_um=SIZE
        )
    with pytest.raises(UserError, match=r"^emission_um: .*did you mean 0\.525"):
        decon3d.make_psf(**OPTICS, emission_um=525, voxel_size_um=SIZE)
