"""Blur, dose and noise against their known values."""

import numpy as np
import pytest

from decon3d import settings
from decon3d.errors import UserError
from decon3d.optics.psf import fwhm_um
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.imaging import (
    SimulatedCamera,
    blur,
    brightest_mean,
    form_image,
    margins,
    simulate,
)
from decon3d.phantoms.recipes import make_object
from decon3d.seeds import generator
from decon3d.volumes.camera import resolved_camera

NOISELESS = SimulatedCamera(offset=0, gain=1, read_noise=0)


def gaussian_psf(half=(3, 4, 5), sigma=(1.2, 1.4, 1.6)):
    z, y, x = (np.arange(-h, h + 1) / s for h, s in zip(half, sigma, strict=True))
    psf = np.exp(-0.5 * (z[:, None, None] ** 2 + y[:, None] ** 2 + x**2))
    return (psf / psf.sum()).astype(np.float32)


def test_a_point_becomes_the_psf_where_it_lies():
    psf = gaussian_psf()
    psf[0, 0, 0] = 0.01  # no symmetry to hide a mirrored or shifted kernel
    volume = np.zeros((20, 23, 29), np.float32)
    volume[9, 11, 13] = 1
    blurred = blur(volume, psf=psf)
    expected = np.zeros((14, 15, 19), np.float32)
    expected[3:10, 3:12, 3:14] = psf  # centre at (9, 11, 13) - margins
    np.testing.assert_allclose(blurred, expected, atol=1e-7)


def test_nothing_wraps():
    psf = gaussian_psf()
    volume = np.zeros((20, 23, 29), np.float32)
    volume[0, 0, 0] = 1e3
    blurred = blur(volume, psf=psf)
    assert blurred[0, 0, 0] == pytest.approx(1e3 * psf[0, 0, 0], rel=1e-3)  # its one true trace
    blurred[0, 0, 0] = 0
    assert blurred.max() < 1e-6


def test_a_flat_object_stays_flat():
    blurred = blur(np.full((30, 30, 30), 50, np.float32), psf=gaussian_psf())
    np.testing.assert_allclose(blurred, 50, rtol=1e-5)


def test_a_flat_field_has_the_variance_of_photons():
    rng, camera = generator(1, "flat"), SimulatedCamera(offset=100, gain=2, read_noise=0)
    draws = np.stack([camera.expose(np.full((16, 16, 16), 40.0), rng) for _ in range(100)])
    photons = (draws - 100) / 2
    assert photons.var(axis=0, ddof=1).mean() / photons.mean() == pytest.approx(1, abs=0.02)
    assert photons.mean() == pytest.approx(40, abs=0.1)


def test_read_noise_is_in_photons_before_the_gain():
    camera = SimulatedCamera(offset=100, gain=3, read_noise=2)
    dark = camera.expose(np.zeros((40, 40, 40)), generator(1))
    assert dark.mean() == pytest.approx(100, abs=0.02)
    assert dark.std() == pytest.approx(6, rel=0.004)


def test_a_camera_of_few_bits_counts_in_whole_numbers_and_saturates():
    camera = SimulatedCamera(offset=10, gain=2, read_noise=5, bits=8)
    counts = camera.expose(np.linspace(0, 200, 4096).reshape(16, 16, 16), generator(1))
    np.testing.assert_array_equal(counts, np.rint(counts))
    assert (counts.min(), counts.max()) == (0, 255)
    camera.check_range(122)
    with pytest.raises(
        UserError, match="300 photons give 610 counts, but a camera of 8 bits ends at 255"
    ):
        camera.check_range(300)


@pytest.mark.parametrize(("recipe", "sharper"), [("spheres_2x", 2), ("spheres_4x", 4)])
def test_the_image_is_so_many_times_as_blurred_as_the_truth(recipe, sharper, monkeypatch):
    def point(name, *, shape, **_):
        volume = np.zeros(shape, np.float32)
        volume[tuple(n // 2 for n in shape)] = 1
        return volume

    monkeypatch.setattr("decon3d.phantoms.imaging.make_object", point)
    voxel = (0.2, 0.1, 0.1)
    exposure = simulate(
        recipe,
        shape=(33, 33, 33),
        psf=gaussian_psf((9, 9, 9), (2.5, 3.0, 3.0)),
        voxel_size_um=voxel,
        photons=1e8,
        background_photons=0,
        camera=NOISELESS,
        rng=generator(1),
    )
    truth, image = (fwhm_um(a, voxel) for a in (exposure.object, exposure.images[0]))
    assert np.divide(image, truth) == pytest.approx([sharper] * 3, rel=0.04)


def test_an_object_that_misses_the_field_is_drawn_again(monkeypatch):
    drawn = []

    def beside(name, *, shape, **_):
        volume = np.zeros(shape, np.float32)
        volume[0] = 1
        volume[shape[0] // 2] = len(drawn) == 2
        drawn.append(name)
        return volume

    monkeypatch.setattr("decon3d.phantoms.imaging.make_object", beside)
    options = {
        "shape": (9, 9, 9),
        "psf": gaussian_psf(),
        "voxel_size_um": (0.1,) * 3,
        "photons": 100,
        "background_photons": 0,
        "camera": NOISELESS,
        "rng": generator(1),
    }
    assert simulate("spheres", **options).object[4].max() > 0
    assert len(drawn) == 3
    with pytest.raises(UserError, match="larger shape"):
        simulate("spheres", **options)


@pytest.mark.parametrize("seed", [1, 2])
def test_light_from_beyond_the_margin_of_a_widefield_image_is_an_even_haze(seed):
    # A PSF of twice the size brings in what the margin leaves out.
    optics = settings.Optics(modality="widefield", numerical_aperture=1.2, immersion_index=1.333)
    voxel = (0.3, 0.15, 0.15)
    psf = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=voxel)
    long = tuple(2 * n - 1 for n in psf.shape)
    full = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=voxel, shape=long)
    full *= psf.max() / full.max()  # both in the focal plane's units
    around = margins(full)
    shape = tuple(n + 2 * m for n, m in zip((16, 32, 32), around, strict=True))
    structure = make_object("rln_mixed", shape=shape, voxel_size_um=voxel, rng=generator(seed))
    image = blur(structure, psf=full.astype(np.float32))
    cut = tuple(slice(m - n // 2, -(m - n // 2)) for m, n in zip(around, psf.shape, strict=True))
    kept = blur(structure[cut], psf=psf.astype(np.float32))
    haze = image - kept
    assert 0.5 * kept.mean() < haze.mean() < 2 * kept.mean()  # much light is missing …
    assert haze.std() < 0.3 * kept.std()  # … but it has little structure: a background


@pytest.mark.parametrize("recipe", ["rln_mixed", "tubules"])
def test_the_dose_is_that_of_the_brightest_voxels_of_the_blurred_object(recipe):
    psf, shape = gaussian_psf(), (24, 40, 40)
    exposure = simulate(
        recipe,
        shape=shape,
        psf=psf,
        voxel_size_um=(0.2, 0.1, 0.1),
        photons=1e6,
        background_photons=0,
        camera=NOISELESS,
        rng=generator(2, recipe),
    )
    assert exposure.object.shape == exposure.images[0].shape == shape
    # At a million photons the noise is 0.1 %.
    assert brightest_mean(exposure.images[0]) == pytest.approx(1e6, rel=2e-3)
    inner = tuple(slice(m, n - m) for m, n in zip(margins(psf), shape, strict=True))
    again = blur(exposure.object, psf=psf)
    assert np.abs(again - exposure.images[0][inner]).max() < 6 * np.sqrt(again.max())


def test_counts_hold_gain_background_and_offset():
    structure = np.zeros((15, 17, 19), np.float32)
    structure[:, :, 9:] = 4
    exposure = form_image(
        structure,
        psf=gaussian_psf(),
        photons=300,
        background_photons=7,
        camera=SimulatedCamera(offset=50, gain=2, read_noise=0),
        rng=generator(1),
    )
    assert exposure.object.min() == 2 * 7 + 50
    assert exposure.object.max() == pytest.approx(2 * 307 + 50, rel=0.01)
    assert exposure.images[0].dtype == exposure.object.dtype == np.float32


def test_the_first_draw_does_not_depend_on_the_second():
    structure = np.ones((15, 17, 19), np.float32)

    def images(draws):
        return form_image(
            structure,
            psf=gaussian_psf(),
            photons=300,
            background_photons=7,
            camera=SimulatedCamera(),
            rng=generator(1),
            draws=draws,
        ).images

    one, two = images(1), images(2)
    np.testing.assert_array_equal(one[0], two[0])
    assert np.corrcoef(two[0].ravel(), two[1].ravel())[0, 1] == pytest.approx(0, abs=0.1)


def test_a_camera_takes_what_the_config_leaves_open():
    assert SimulatedCamera.of(resolved_camera({})) == SimulatedCamera(
        offset=100, gain=1, read_noise=1
    )
    given = SimulatedCamera.of(resolved_camera({"offset": 0, "gain": 0.5, "read_noise": 0}))
    assert given == SimulatedCamera(offset=0, gain=0.5, read_noise=0)


def test_what_cannot_be_imaged_is_refused():
    common = {
        "photons": 1,
        "background_photons": 0,
        "camera": SimulatedCamera(),
        "rng": generator(1),
    }
    flat = np.ones((15, 17, 19), np.float32)
    with pytest.raises(UserError, match="no light"):
        form_image(0 * flat, psf=gaussian_psf(), **common)
    with pytest.raises(ValueError, match="sum 1"):
        form_image(flat, psf=2 * gaussian_psf(), **common)
    with pytest.raises(ValueError, match="odd"):
        form_image(flat, psf=np.full((2, 2, 2), 1 / 8, np.float32), **common)
    with pytest.raises(ValueError, match="smaller than the PSF"):
        form_image(flat[:5], psf=gaussian_psf(), **common)
