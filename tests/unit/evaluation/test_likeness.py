"""How alike phantoms and data are: alike where they are, and what differs where they are not."""

from functools import cache

import numpy as np
import pytest

from decon3d.evaluation.likeness import appearance_of, compare
from decon3d.phantoms.imaging import SimulatedCamera, simulate
from decon3d.seeds import generator
from decon3d.volumes import camera as cameras
from support.gaussians import gaussian_psf

VOXEL = (0.3, 0.13, 0.13)
PLAIN = SimulatedCamera(100, 1, 1)


@cache
def images(recipe, seed, *, dose=1.0, unit_um=None, camera=PLAIN):
    doses = np.geomspace(50, 500, 3) * dose
    return [
        simulate(
            recipe,
            shape=(20, 72, 72),
            psf=gaussian_psf((11, 9, 9)),
            voxel_size_um=VOXEL,
            photons=photons,
            background_photons=5,
            camera=camera,
            rng=generator(seed, "likeness", i),
            unit_um=unit_um,
        ).images[0]
        for i, photons in enumerate(doses)
    ]


def compared(data, phantoms, camera=PLAIN):
    return compare(look(data, camera), look(phantoms, PLAIN), recipe="r")


def look(images, camera):
    known = cameras.Camera(camera.offset, camera.gain, camera.read_noise)
    return appearance_of(images, camera=known, voxel_size_um=VOXEL)


@pytest.mark.parametrize("recipe", ["mixture", "tubules", "textured_nuclei"])
def test_phantoms_of_one_recipe_and_dose_are_alike(recipe):
    found = compared(images(recipe, 1), images(recipe, 2))
    assert found.differences == [] and found.unlikeness < 1
    assert found.histogram < 0.3 and found.noise == pytest.approx(1, abs=0.04)


@pytest.mark.parametrize(("dose", "said"), [(10, "brighter"), (0.1, "dimmer")])
def test_another_dose_is_said(dose, said):
    found = compared(images("mixture", 1, dose=dose), images("mixture", 2))
    assert found.brightness == pytest.approx(dose, rel=0.6)
    assert found.unlikeness > 1
    assert said in found.differences[0] and len(found.differences) == 1


def test_another_scale_is_said():
    larger = images("tubules", 1, unit_um=4 * 0.13)
    found = compared(larger, images("tubules", 2))
    assert found.coarser > 1.4
    assert any("coarser" in line for line in found.differences)
    found = compared(images("tubules", 2), larger)
    assert any("finer" in line for line in found.differences)


def test_another_noise_is_said():
    # Correlated or wrongly measured noise: the same photons, the noise twice as strong.
    noisy = [
        i + np.random.default_rng(1).normal(0, np.sqrt(3 * np.maximum(i - 99, 1)))
        for i in images("textured_nuclei", 1)
    ]
    found = compared(noisy, images("textured_nuclei", 2))
    assert found.noise == pytest.approx(2, rel=0.05)
    assert any("noise in your data is 2" in line for line in found.differences)


def test_another_camera_makes_no_difference():
    other = SimulatedCamera(660, 8, 0.5)
    found = compared(images("mixture", 1, camera=other), images("mixture", 2), other)
    assert found.differences == []
    assert found.brightness == pytest.approx(1, rel=0.1)


def test_a_dark_image_has_no_structure_and_missing_voxels_count_as_nothing():
    dark = [np.random.default_rng(1).normal(105, 6**0.5, (12, 40, 40)).astype(np.float32)]
    assert "no structure" in " ".join(compared(dark, images("tubules", 2)).differences)
    holed = [image.copy() for image in images("tubules", 1)]
    for image in holed:
        image[:, :, :10] = np.nan
    assert compared(holed, images("tubules", 2)).differences == []
