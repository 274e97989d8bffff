"""Light and camera of phantoms: the config's, else the data's, else assumed and said."""

import numpy as np
import pytest

from decon3d.phantoms.conditions import ASSUMED_PHOTONS, resolve_conditions
from decon3d.phantoms.imaging import SimulatedCamera, correlated
from decon3d.seeds import generator
from decon3d.settings import CameraSection, Phantoms
from decon3d.volumes.camera import Camera, CameraRecord, resolve_camera

MEASURED = CameraRecord(
    gain=8.0,
    dark_level=652.0,
    plateau=740.0,
    bright=(1600.0, 16000.0),
    blocks=12,
    bits=14,
    saturation=65535.0,
)
KNOWN = {"offset": 100, "gain": 1, "read_noise": 1}


def test_what_the_config_leaves_open_comes_from_the_data():
    found = resolve_conditions(
        Phantoms(), camera=resolve_camera(CameraSection(), MEASURED), measured=MEASURED
    )
    assert found.photons == (200, 2000)
    assert found.camera.gain == 8
    # Variance and dark level are the data's, however offset and read noise share it.
    assert found.camera.offset - 8 * found.camera.read_noise**2 == pytest.approx(652)
    assert found.camera.offset + 8 * found.background_photons == pytest.approx(740, abs=0.1)
    assert found.camera.bits == 16


def test_what_the_config_gives_is_kept():
    phantoms = Phantoms(photons=(5, 7), background_photons=3)
    found = resolve_conditions(phantoms, camera=Camera(**KNOWN), measured=MEASURED)
    assert (found.photons, found.background_photons, found.assumed) == ((5, 7), 3, ())
    assert found.camera.bits is None  # a dose of the config is not cut by the converter
    assert (found.camera.offset, found.camera.gain, found.camera.read_noise) == (100, 1, 1)


def test_only_what_is_open_needs_the_data():
    given = Phantoms(photons=(5, 7), background_photons=3)
    assert not given.needs_data(CameraSection(**KNOWN))
    assert Phantoms().needs_data(CameraSection(**KNOWN))
    assert Phantoms(photons=(5, 7)).needs_data(CameraSection(**KNOWN))
    assert given.needs_data(CameraSection(offset=100, gain=1))


@pytest.mark.parametrize("measured", [None, CameraRecord(plateau=105.0, blocks=3)])
def test_without_signal_doses_are_assumed_and_said(measured):
    found = resolve_conditions(Phantoms(), camera=Camera(**KNOWN), measured=measured)
    assert found.photons == ASSUMED_PHOTONS and found.background_photons == 5
    assert any("assumed 50 to 500 photons" in line for line in found.assumed)


def test_a_narrow_range_is_widened_and_fits_the_converter():
    narrow = CameraRecord(
        gain=1.0, dark_level=0.0, plateau=1.0, bright=(200.0, 200.0), bits=8, saturation=255.0
    )
    found = resolve_conditions(
        Phantoms(), camera=resolve_camera(CameraSection(offset=0), narrow), measured=narrow
    )
    low, high = found.photons
    assert low == pytest.approx(200 / 1.5, rel=0.01)
    assert found.camera.bits == 8 and 250 < high <= 254
    found.camera.check_range(high + found.background_photons)


def test_correlated_noise_keeps_its_variance_and_has_its_correlation():
    curves = ((0.0, 0.0), (0.4, 0.1), (0.2, 0.0))
    white = generator(1).standard_normal((24, 64, 65), dtype=np.float32)
    noise = correlated(white, curves)
    assert noise.var() == pytest.approx(1, abs=0.02)
    for axis, (first, second) in enumerate(curves):
        for lag, rho in ((1, first), (2, second)):
            product = (noise * np.roll(noise, lag, axis)).mean()
            assert product == pytest.approx(rho, abs=0.02)


def test_a_camera_with_correlated_noise_keeps_mean_and_variance():
    camera = SimulatedCamera(100, 2, 1, correlation=((0, 0), (0.3, 0), (0.3, 0)))
    counts = camera.expose(np.full((16, 64, 64), 50.0), generator(2))
    assert counts.mean() == pytest.approx(200, abs=0.1)
    assert counts.var() == pytest.approx(4 * 51, rel=0.03)
    assert np.corrcoef(counts[:, 1:].ravel(), counts[:, :-1].ravel())[0, 1] > 0.25
