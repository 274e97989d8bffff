import numpy as np
import pytest

from decon3d import paths, settings
from decon3d.classical.channel import base_recipe
from decon3d.classical.kinds.rl import Rl
from decon3d.evaluation.noise import load_noise, noise_of
from decon3d.report.run_warnings import data_warnings
from decon3d.volumes.camera import Camera, CameraRecord, dose_of, load_camera, resolve_camera
from decon3d.volumes.photon_transfer import fit_line, measure_camera
from decon3d.volumes.statistics import ChannelStatistics
from support.configs import simulated_dataset
from support.simulated_cameras import Device, expected_photons, long_psf
from validation.validate_camera import measure

PSF = long_psf(1.5)
SCMOS = Device(gain=2.17, offset=100.0, read_noise=1.6)


def image_of(device, *, kind="broad", photons=200.0, background=3.0, seed=1, **options):
    rng = np.random.default_rng(seed)
    expected = expected_photons(
        kind, psf=PSF, photons=photons, background=background, rng=rng, **options
    )
    return device.expose(expected, rng), expected


@pytest.mark.parametrize(
    ("device", "kind", "photons"),
    [
        (SCMOS, "broad", 200.0),
        (Device(0.4, 600.0, 4.0, bits=16), "nuclei", 500.0),
        (Device(8.0, 300.0, 1.0, bits=16), "tubules", 1500.0),
        (Device(1.0, 20.0, 1.0, bits=8), "smooth", 150.0),
        (Device(2.0, 100.0, 1.5, correlation=0.3), "broad", 300.0),
    ],
)
def test_the_noise_tells_gain_and_dark_level(device, kind, photons):
    image, _ = image_of(device, kind=kind, photons=photons)
    full = None if device.bits is None else 2.0**device.bits - 1
    found = measure_camera([image], saturation=full)
    print(found.gain, found.gain_interval, found.dark_level, found.dark_level_interval)
    assert found.gain == pytest.approx(device.slope, rel=0.12)
    half = (found.gain_interval[1] - found.gain_interval[0]) / 2
    assert abs(found.gain - device.slope) < 1.5 * half < 0.5 * device.slope
    half = (found.dark_level_interval[1] - found.dark_level_interval[0]) / 2
    assert abs(found.dark_level - device.dark_level) < 1.5 * half
    x = found.correlation[2][0]
    assert x == pytest.approx(0.21 / 0.58 if device.correlation else 0, abs=0.03)


def test_saturated_voxels_are_left_out():
    device = Device(2.0, 100.0, 1.5, bits=9)  # full at 205 photons
    image, _ = image_of(device, photons=400.0, kind="nuclei")
    assert (image == 511).mean() > 0.001
    found = measure_camera([image], saturation=511.0)
    assert found.gain == pytest.approx(2, rel=0.15)
    assert found.bits == 9


def test_two_frames_of_one_place_tell_the_noise_of_any_structure():
    rng = np.random.default_rng(0)
    sharp = np.where(rng.random((24, 64, 96)) > 0.7, 5.0, 1.0) * np.geomspace(5, 300, 96)
    one, other = (SCMOS.expose(sharp.astype(np.float32), rng) for _ in range(2))
    found = measure_camera([one], pairs=[(one, other)])
    assert found.gain == pytest.approx(2.17, rel=0.01)
    assert not np.any(found.correlation)


def test_a_bend_is_structure():
    mean = np.geomspace(110, 3000, 20)
    plain = 2 * (mean - 95)
    bent = plain + 0.01 * (mean - 110) ** 2
    for variance in (plain, bent):
        line = fit_line([(m, v, 0.03 * v) for m, v in zip(mean, variance, strict=True)], 110.0)
        assert line.gain == pytest.approx(2, rel=1e-9)
        assert line.dark_level == pytest.approx(95, rel=1e-9)


def test_data_without_structure_do_not_tell_and_it_is_said():
    rng = np.random.default_rng(0)
    found = measure_camera([rng.normal(500, 7, (24, 64, 64)).astype(np.float32)])
    assert found.gain is None and found.dark_level is None and found.bright is None
    used = resolve_camera(settings.CameraSection(), found)
    assert used.gain == 1 and used.gain_from == "assumed"
    assert "camera.gain is not known from these data; assumed 1 count per photon" in used.assumed
    assert used.dark_level == pytest.approx(500 - 49, abs=3)  # the variance there is right
    nothing = resolve_camera(settings.CameraSection(), measure_camera([]))
    assert (nothing.offset, nothing.gain, nothing.read_noise) == (100, 1, 1)


def test_what_the_config_gives_stays_and_the_rest_is_filled():
    image, _ = image_of(SCMOS)
    found = measure_camera([image])
    three = resolve_camera(settings.CameraSection(offset=90, gain=3, read_noise=2, bits=12), found)
    assert three == Camera(90, 3, 2, 12) and not three.assumed
    offset = resolve_camera(settings.CameraSection(offset=100), found)
    assert offset.offset == 100 and not offset.assumed
    assert offset.read_noise == pytest.approx(1.6, rel=0.15)
    gain = resolve_camera(settings.CameraSection(gain=2.17), found)
    assert gain.dark_level == pytest.approx(SCMOS.dark_level, abs=0.6)
    assert "cannot be separated without dark frames" in gain.assumed[0]
    both = resolve_camera(settings.CameraSection(offset=100, read_noise=1.6), found)
    assert both.gain == pytest.approx(2.17, rel=0.01)
    wrong = resolve_camera(settings.CameraSection(offset=70), found)
    assert wrong.read_noise == 0 and "check the offset" in wrong.assumed[0]


def test_the_light_of_the_data_in_photons():
    image, expected = image_of(SCMOS, photons=150.0, background=4.0)
    found = measure_camera([image])
    dose = dose_of(found, resolve_camera(settings.CameraSection(offset=100), found))
    assert dose.photons[0] == pytest.approx(150, rel=0.05)
    assert dose.background_photons == pytest.approx(expected.min(), abs=1)


@pytest.mark.parametrize("configured", [{"offset": 100}, {}])
def test_the_dark_noise_does_not_become_light(configured):
    """The estimate had 1.7 times the light, where only the offset was known."""
    image, expected = image_of(
        SCMOS, kind="tubules", photons=20.0, background=0.0, inside=True, shape=(24, 64, 64)
    )
    light = 2.17 * expected.sum(dtype=np.float64)

    def restored(camera, given):
        statistics = ChannelStatistics.of_image(image, camera_offset=given.get("offset"))
        recipe = base_recipe(Rl(kind="rl"), statistics=statistics, psf=PSF, camera=camera)
        model = recipe.model(image.shape, psf=PSF.data, threads=1)
        for k, estimate in recipe.iterate(image, model=model):
            if k == 15:
                whole = recipe.restored(image, estimate, model=model) - 100
                return estimate.sum(dtype=np.float64), whole.sum(dtype=np.float64)

    known = restored(Camera(100, 2.17, 1.6), {"offset": 100})
    found = restored(
        resolve_camera(settings.CameraSection(**configured), measure_camera([image])), configured
    )
    noise = 3 * 2.17 * ((expected.mean() + 1.6**2) * expected.size) ** 0.5
    print(light, known, found, noise)
    assert found[1] == pytest.approx(light, abs=0.01 * light + noise)
    assert found[1] == pytest.approx(known[1], rel=0.002)
    if configured:
        assert found[0] == pytest.approx(known[0], rel=0.03)


def test_counts_below_zero_average_out_without_an_offset():
    device = Device(gain=5.0, offset=0.0, read_noise=3.0)
    image, expected = image_of(device, kind="nuclei", inside=True, shape=(24, 64, 64))
    statistics = ChannelStatistics.of_image(image)
    camera = resolve_camera(settings.CameraSection(), measure_camera([image]))
    recipe = base_recipe(Rl(kind="rl"), statistics=statistics, psf=PSF, camera=camera)
    model = recipe.model(image.shape, psf=PSF.data, threads=1)
    for k, estimate in recipe.iterate(image, model=model):
        if k == 10:
            whole = recipe.restored(image, estimate, model=model)
            break
    assert whole.sum(dtype=np.float64) == pytest.approx(5 * expected.sum(), rel=0.01)


def test_a_record_survives_its_file(tmp_path):
    found = measure_camera([image_of(SCMOS, shape=(16, 64, 64))[0]])
    noise_of(found).save(tmp_path / "n.json", camera=found, resolved=Camera())
    assert load_camera(tmp_path / "n.json") == found
    assert load_noise(tmp_path / "n.json") == noise_of(found)
    assert load_camera(None) is None and CameraRecord().gain is None


def test_a_simulated_camera_as_the_validation_judges_it():
    found = measure("float", "smooth", np.random.default_rng(3))
    assert found.known and abs(found.gain) < 0.2
    assert found.gain_held and found.dark_held
    assert all(abs(ratio - 1) < 0.03 for ratio in found.light.values())


def test_what_was_assumed_is_among_the_page_s_warnings(tmp_path):
    used = resolve_camera(settings.CameraSection(), None)
    noise_of(CameraRecord()).save(tmp_path / paths.noise("d", "gfp"), resolved=used)
    config = settings.load_settings(
        {"datasets": {"d": simulated_dataset(camera={})}, "methods": {"rl": {}}}
    )
    found = data_warnings(tmp_path, dataset="d", settings=config)
    assert found[0].startswith("gfp: camera.gain is not known from these data; assumed 1 count per")
    assert "set `camera: {dark: …}`" in found[0]
