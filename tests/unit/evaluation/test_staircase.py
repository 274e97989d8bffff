"""Flat patches of a restoration, told from smooth objects, from noise and from flat objects."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.evaluation.staircase import (
    LEAST_VOXELS,
    Staircase,
    staircase,
    staircase_records,
    steepness,
)
from decon3d.optics.psf import normalised_psf
from decon3d.restoration.prepare import prepare_classical
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics
from support.gaussians import gaussian_psf

VOXEL = (0.2, 0.1, 0.1)
SHAPE = (20, 48, 48)
BACKGROUND = 10.0
PSF = normalised_psf(gaussian_psf((9, 11, 11), (1.5, 1.5, 1.5)), VOXEL, {})


def body(shape=SHAPE):
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    return (sum(a**2 for a in axes) < 0.8).astype(np.float32)


def textured(seed=0):
    """A nucleus with a 1/f texture (Z Y X), 0 … about 3."""
    frequencies = np.meshgrid(
        *(np.fft.fftfreq(n, v) for n, v in zip(SHAPE, VOXEL, strict=True)), indexing="ij"
    )
    radius = np.sqrt(sum(f**2 for f in frequencies))
    radius[0, 0, 0] = np.inf
    white = np.fft.fftn(np.random.default_rng(seed).standard_normal(SHAPE))
    field = np.fft.ifftn(white * radius**-1.8).real
    return (body() * np.exp(0.5 * field / field.std())).astype(np.float32)


def imaged(structure, photons=1000.0, seed=0):
    light = photons * gaussian_filter(structure, 1.5) + BACKGROUND
    return np.random.default_rng(seed).poisson(light).astype(np.float32)


def restored(image, **options):
    model = Blur(SHAPE, psf=PSF.data, threads=1)
    estimate = richardson_lucy(
        image,
        model=model,
        background=BACKGROUND,
        initial=100.0,
        start="data",
        voxel_size_um=VOXEL,
        **options,
    )
    return estimate + BACKGROUND


def measure(image, result, rl=None):
    rl = restored(image, iterations=15) if rl is None else rl
    return staircase(image, rl, result, psf=PSF, background=BACKGROUND)


def test_steepness_is_the_change_per_resolution_length():
    ramp = 3.0 * np.arange(5, dtype=np.float32)[:, None, None] + np.zeros((5, 4, 4), np.float32)
    np.testing.assert_allclose(steepness(ramp, [2.0, 7.0, 7.0]), 6.0)
    diagonal = ramp + 4.0 * np.arange(4, dtype=np.float32)
    np.testing.assert_allclose(steepness(diagonal, [1.0, 1.0, 1.0]), 5.0)


def test_rltv_with_many_iterations_paints_a_textured_nucleus():
    image = imaged(textured())
    painted = measure(image, restored(image, iterations=150, tv_weight=0.002))
    assert painted.warns and not painted.flat_object
    assert painted.restored > 5 * painted.rl


@pytest.mark.parametrize("photons", [100, 1000])
def test_smooth_restorations_and_noise_are_no_staircase(photons):
    structure = textured()
    image = imaged(structure, photons)
    rl = restored(image, iterations=15)
    truth = photons * structure + BACKGROUND
    for result in (
        image,
        rl,
        restored(image, iterations=60),
        truth,
        gaussian_filter(truth, 0.7),
        gaussian_filter(image, 1.0),
    ):
        found = measure(image, result, rl)
        assert found.measured and not found.warns and not found.flat_object


def test_a_flat_object_may_be_flat():
    structure = body()
    image = imaged(structure, 300)
    found = measure(image, restored(image, iterations=60, tv_weight=0.006))
    assert found.flat_object and not found.warns
    assert found.rl > 0.03


def test_a_posterised_restoration_is_a_staircase():
    # What any method may do, a network too: whole levels in place of a smooth course.
    truth = 1000 * gaussian_filter(textured(), 1.0) + BACKGROUND
    levels = np.round(truth / 150) * 150
    levels += np.random.default_rng(1).normal(0, 0.1, SHAPE)
    image = imaged(textured())
    assert measure(image, levels.astype(np.float32)).warns
    assert not measure(image, truth).warns


def test_brightness_and_places_without_data_change_nothing():
    image = imaged(textured())
    rl, result = restored(image, iterations=15), restored(image, iterations=60, tv_weight=0.002)
    plain = staircase(image, rl, result, psf=PSF, background=BACKGROUND)
    scaled = staircase(
        4 * image + 96, 4 * rl + 96, 4 * result + 96, psf=PSF, background=4 * BACKGROUND + 96
    )
    assert scaled.restored == pytest.approx(plain.restored, rel=0.05)
    hole = image.copy()
    hole[:, :8] = np.nan
    holed = staircase(
        hole,
        np.where(np.isnan(hole), np.nan, rl),
        np.where(np.isnan(hole), np.nan, result),
        psf=PSF,
        background=BACKGROUND,
    )
    assert holed.voxels < plain.voxels
    assert holed.warns == plain.warns


def test_too_little_foreground_is_not_measured():
    image = np.full(SHAPE, BACKGROUND, np.float32)
    image[8:12, 20:24, 20:24] += 1000
    found = measure(image, image, image)
    assert found.voxels < LEAST_VOXELS
    assert not found.measured and not found.warns and not found.flat_object
    nothing = np.full(SHAPE, np.nan, np.float32)
    assert not staircase(nothing, nothing, nothing, psf=PSF, background=0.0).measured


def test_shapes_must_agree():
    image = imaged(textured())
    with pytest.raises(ValueError, match="shapes differ"):
        staircase(image, image, image[1:], psf=PSF, background=0.0)


def test_records_of_a_sample_tell_rltv_from_the_raw_image():
    image = imaged(textured())
    camera = Camera(offset=0.0)
    statistics = ChannelStatistics.of_image(image, camera_offset=0.0)
    method = Rltv(kind="rltv", iterations=60, tv_weight=0.002)
    state = prepare_classical(method, statistics=statistics, psf=PSF, tuned={}, camera=camera)
    for states, paints in (([], False), ([state], True)):
        records = staircase_records(
            states,
            sample=[image],
            psf=PSF,
            statistics=statistics,
            camera=camera,
            dataset="d",
            channel="c",
            method="m",
            threads=1,
        )
        values = {r.metric: r.value for r in records}
        found = Staircase(values["staircase"], values["staircase_rl"])
        assert found.warns == paints
        assert {(r.subject, r.split) for r in records} == {("sample/0000", "data")}
