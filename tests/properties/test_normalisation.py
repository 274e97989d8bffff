"""The normalisation law and its histograms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decon3d.volumes.normalisation import (
    Histogram,
    Normalisation,
    darkest_place,
    empty_level,
    level_error,
    normalisation_law,
)


@given(arrays(np.uint16, (50,)), st.floats(0, 1000), st.floats(1, 5000))
def test_counts_come_back(counts, offset, scale):
    law = Normalisation(offset, scale)
    assert np.allclose(law.invert(law.apply(counts)), counts, rtol=1e-6, atol=1e-2)


@given(arrays(np.uint16, (200,)), st.integers(1, 199))
def test_integer_percentiles_are_exact(counts, tenths):
    q = tenths / 2 + 0.01  # never just between two values, where rounding decides
    assert Histogram.of(counts).percentile(q) == np.sort(counts)[int(np.ceil(q * 2)) - 1]


def test_histograms_add_up():
    rng = np.random.default_rng(0)
    a, b = rng.normal(10, 2, 9000), rng.normal(40, 5, 5000)
    total = Histogram.of(a) + Histogram.of(b)
    assert total.counts.sum() == 14000
    both = np.concatenate([a, b])
    assert abs(total.percentile(70) - np.percentile(both, 70)) < 0.01
    assert total.mean() == pytest.approx(both.mean(), abs=0.01)


def in_darkness(specimen, times):
    """The specimen and so many times its voxels of darkness."""
    dark = np.random.default_rng(1).poisson(20, (times * len(specimen), *specimen.shape[1:]))
    return np.concatenate([specimen, 100 + dark]).astype(np.uint16)


def law_of(image, **options):
    return normalisation_law(Histogram.of(image), darkest=darkest_place(image), **options)


@pytest.mark.parametrize("bright", [1.0, 0.02])
@pytest.mark.parametrize("camera_offset", [None, 100.0])
def test_the_scale_does_not_depend_on_how_much_is_empty(bright, camera_offset):
    rng = np.random.default_rng(1)
    light = np.where(rng.uniform(size=10_000) < bright, np.linspace(180, 880, 10_000), 0)
    specimen = 120 + rng.poisson(light.reshape(4, 50, 50) + 20) - 20
    laws = [law_of(in_darkness(specimen, n), camera_offset=camera_offset) for n in (1, 8, 64)]
    offsets = [law.offset for law in laws]
    assert offsets == pytest.approx([offsets[0]] * 3, abs=0.4)
    assert offsets[0] == pytest.approx(camera_offset or 120, abs=1)
    top = np.percentile(specimen[specimen > 200], 99.5)
    assert laws[0].scale == pytest.approx(top - laws[0].offset, rel=0.02)
    assert [law.scale for law in laws] == pytest.approx([laws[0].scale] * 3, rel=0.005)


@pytest.mark.parametrize("photons", [0.05, 0.5, 2.0, 10.0, 100.0])
def test_noise_alone_is_not_stretched(photons):
    rng = np.random.default_rng(5)
    image = (100 + rng.poisson(photons, (32, 64, 64))).astype(np.uint16)
    for camera_offset in (None, 100.0):
        law = law_of(image, camera_offset=camera_offset)
        assert 5 * image.std() < law.scale < 12 * image.std() + 6 + photons


def test_a_full_image_is_normalised_from_its_darkest_place():
    rng = np.random.default_rng(6)
    mean = rng.uniform(200, 900, (16, 64, 64))
    mean[:4, :8, :8] = 105
    image = rng.poisson(mean).astype(np.uint16)
    law = law_of(image)
    assert law.offset == pytest.approx(105, abs=4)
    assert law.scale == pytest.approx(np.percentile(image, 99.5) - law.offset, rel=0.005)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_image_has_a_scale(dtype):
    law = law_of(np.full((8, 9, 10), 7, dtype))
    assert law.offset == pytest.approx(7, abs=1) and 1 <= law.scale < 10


def test_the_background_is_found():
    rng = np.random.default_rng(2)
    counts = rng.normal(100, 4, 100_000)
    counts[:5000] += rng.exponential(300, 5000)
    level, sigma = Histogram.of(counts).background()
    assert level == pytest.approx(100, abs=1)
    assert sigma == pytest.approx(4, rel=0.15)


def test_values_that_are_not_finite_do_not_count():
    assert Histogram.of(np.array([1.0, np.nan, np.inf, 3.0])).counts.sum() == 2


@pytest.mark.parametrize("shape", [(20, 40, 44), (3, 5, 6)])
def test_the_darkest_place_is_the_background_of_a_crowded_image(shape):
    rng = np.random.default_rng(0)
    mean = np.full(shape, 400.0)
    mean[:4, :8, :8] = 105
    image = rng.poisson(mean).astype(np.uint16)
    assert darkest_place(image) == pytest.approx(105, abs=4 if image.size > 1000 else 8)


def test_what_has_no_data_is_no_dark_place():
    image = np.random.default_rng(0).poisson(105.0, (20, 40, 40)).astype(np.float32)
    empty = darkest_place(image)
    image[:, :13] = np.nan  # some cells are partly fill
    assert empty <= darkest_place(image) < empty + 2
    assert darkest_place(np.full((8, 8, 8), np.nan)) == np.inf


def test_more_darkness_does_not_change_the_background():
    rng = np.random.default_rng(3)
    small = rng.poisson(10, (16, 64, 64)).astype(np.uint16)
    small[:8] += rng.poisson(np.linspace(0, 90, 64), (8, 64, 64)).astype(np.uint16)
    large = rng.poisson(10, (128, 64, 64)).astype(np.uint16)
    large[:16] = small
    levels = [empty_level(Histogram.of(i), darkest_place(i)) for i in (small, large)]
    assert levels == pytest.approx([10, 10], abs=0.25)
    assert levels[0] == pytest.approx(levels[1], abs=0.1)
    assert darkest_place(large) < darkest_place(small) < 9.6


def test_a_place_that_is_dark_by_chance_is_not_the_background():
    image = np.random.default_rng(5).poisson(10, (24, 64, 64)).astype(np.uint16)
    histogram, noise = Histogram.of(image), np.sqrt(10) / 16  # of a cell's mean
    level = empty_level(histogram, np.inf)
    # One of the 384 cells in one of a hundred such images; in none of ten thousand.
    assert empty_level(histogram, level - 4 * noise) == level
    assert empty_level(histogram, level - 6 * noise) == level - 6 * noise


def test_few_values_with_gaps_have_an_empty_level():
    # In these, the mean shift's window comes to lie where no value is.
    values = np.array(
        [
            3.2,
            11.1,
            12.1,
            22.1,
            22.7,
            25.8,
            28.5,
            34.4,
            236.3,
            242.8,
            249.3,
            267.0,
            272.2,
            400.3,
            519.8,
            564.5,
            595.2,
            914.5,
            992.5,
            1071.8,
            1118.2,
            1262.1,
        ]
    )
    level = empty_level(Histogram.of(values), np.inf)
    assert values.min() <= level <= np.median(values)


def test_the_background_of_a_crowded_image_is_its_darkest_place():
    rng = np.random.default_rng(4)
    image = rng.poisson(np.full((16, 64, 64), 400.0))
    image[:4, :8, :8] = rng.poisson(105, (4, 8, 8))
    level = empty_level(Histogram.of(image.astype(np.uint16)), darkest_place(image))
    assert level == pytest.approx(105, abs=4)


@pytest.mark.parametrize("photons", [0.1, 0.35, 1.0])
def test_the_background_of_few_counts_is_not_a_whole_count(photons):
    rng = np.random.default_rng(0)
    image = (1 + rng.poisson(photons, (32, 64, 64))).astype(np.uint8)
    image[:8] += rng.poisson(np.linspace(0, 90, 64), (8, 64, 64)).astype(np.uint8)
    histogram = Histogram.of(image)
    level = empty_level(histogram, darkest_place(image))
    # The mean of counts within a window around the mode is a little below that of all.
    assert 1 + 0.6 * photons < level < 1 + 1.1 * photons
    assert 0 < level_error(histogram, level, np.inf) < 0.01
