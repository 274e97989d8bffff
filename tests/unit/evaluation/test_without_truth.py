"""Metrics without truth: known cut-offs, blur and noise; worse images score worse."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from decon3d.evaluation.decorrelation import decorrelate
from decon3d.evaluation.fsc import fsc_resolution_um, shells
from decon3d.evaluation.squirrel import squirrel
from decon3d.evaluation.texture import angular_second_moment

VOXEL = (0.3, 0.1, 0.1)


def band_limited(shape: tuple[int, ...], cutoffs, rng: np.random.Generator) -> np.ndarray:
    """White noise without the frequencies beyond `cutoffs` (1 = Nyquist) of each axis; mean 0."""
    axes = np.meshgrid(*(np.fft.fftfreq(n) * 2 for n in shape), indexing="ij", sparse=True)
    radius = sum((k / c) ** 2 for k, c in zip(axes, cutoffs, strict=True))
    spectrum = np.fft.fftn(rng.standard_normal(shape))
    image = np.fft.ifftn(np.where(radius <= 1, spectrum, 0)).real
    return image / image.std()


def slanted(shape: tuple[int, int, int]) -> np.ndarray:
    """About 40 % of a volume, as deskewing leaves it without data."""
    z, _, x = np.indices(shape)
    return (x < 0.3 * shape[2] - z // 2) | (x > shape[2] - 1 - z)


@pytest.mark.parametrize("cutoff", [0.25, 0.4, 0.6])
@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_decorrelation_finds_a_known_cutoff(cutoff: float, noise: float) -> None:
    rng = np.random.default_rng(1)
    image = band_limited((255, 301), (cutoff, cutoff), rng)
    found = decorrelate(1000 + image + noise * rng.standard_normal(image.shape))
    assert found.cutoff == pytest.approx(cutoff, rel=0.05)
    assert found.resolution_um(0.1) == pytest.approx(0.2 / cutoff, rel=0.05)


def test_decorrelation_along_the_rows_alone() -> None:
    rng = np.random.default_rng(2)
    image = band_limited((201, 301), (0.3, 0.7), rng)
    image += 0.1 * rng.standard_normal(image.shape)
    assert decorrelate(image, along_rows=True).cutoff == pytest.approx(0.3, rel=0.05)
    assert decorrelate(image).cutoff == pytest.approx(0.7, rel=0.05)


def test_decorrelation_along_few_rows_reads_too_high() -> None:
    """As its docstring says: a plane of 64 rows has few frequencies along them."""
    rng = np.random.default_rng(2)
    image = band_limited((64, 256), (0.3, 0.7), rng)
    image += 0.1 * rng.standard_normal(image.shape)
    assert 0.3 < decorrelate(image, along_rows=True).cutoff < 1.35 * 0.3


def test_decorrelation_falls_with_blur_and_its_amplitude_with_noise() -> None:
    rng = np.random.default_rng(3)
    image = gaussian_filter((rng.random((200, 200)) > 0.99).astype(float), 1) * 100
    noise = rng.standard_normal(image.shape)
    blurred = [decorrelate(gaussian_filter(image, s) + 0.02 * noise).cutoff for s in (0, 1, 2, 4)]
    assert np.all(np.diff(blurred) < 0)
    noisy = [decorrelate(image + s * noise).amplitude for s in (0.1, 0.5, 1)]
    assert np.all(np.diff(noisy) < 0)


@pytest.mark.parametrize("mean", [2000, 8000])
def test_a0_includes_the_mean_as_published(mean: int) -> None:
    """A point of 1 on a level: |F| is 1 everywhere, but `mean` at frequency 0.

    Within r = 1/49 (1.02 steps of frequency) lie 5 of N frequencies, so there
    d = (mean + 4) / (√(mean² + N - 1) √5), the largest until the last ones.
    """
    image = np.full((101, 101), (mean - 1) / 101**2)
    image[50, 50] += 1
    v = np.linspace(-1, 1, 101)
    inside = np.count_nonzero(np.hypot(*np.meshgrid(v, v)) < 1)
    expected = (mean + 4) / np.sqrt(5 * (mean**2 + inside - 1))
    assert decorrelate(image).amplitude == pytest.approx(expected, rel=1e-3)


def direct_d0(image: np.ndarray) -> np.ndarray:
    """d at 50 radii by its definition, on the whole plane; the edges of the image are even."""
    spectrum = np.fft.fftshift(np.fft.fft2(image))
    v, u = (np.linspace(-1, 1, n) for n in image.shape)
    radius = np.hypot(v[:, None], u)
    spectrum = np.where(radius < 1, spectrum, 0)
    unit = np.where(radius < 1, spectrum / np.abs(spectrum).clip(1e-300), 0)
    norm = np.sqrt(np.sum(np.abs(spectrum) ** 2))
    return np.array(
        [
            np.sum((spectrum * unit.conj()).real[radius < r])
            / (norm * max(np.sqrt(np.sum(np.abs(unit[radius < r]) ** 2)), 1e-300))
            for r in np.linspace(0, 1, 50)
        ]
    )


@pytest.mark.parametrize("mean", [0.0, 0.02, 2.0])
def test_a0_is_the_maximum_of_the_published_curve(mean: float) -> None:
    """At a mean of 2 that is the first radius, else the one where the signal ends."""
    rng = np.random.default_rng(8)
    shape = (151, 171)
    inner = np.zeros(shape)
    inner[22:-22, 22:-22] = np.outer(*(np.hanning(n - 44) for n in shape))
    image = inner * (band_limited(shape, (0.3, 0.3), rng) + 0.3 * rng.normal(size=shape))
    image += mean - inner * (image.sum() / inner.sum())  # the edges, which fade, are the mean
    curve = direct_d0(image)
    place = int(curve[:40].argmax())
    assert place == 1 if mean == 2 else 5 < place < 35
    assert decorrelate(image).amplitude == pytest.approx(curve[place], rel=1e-6)


def test_decorrelation_knows_its_limits() -> None:
    assert np.isnan(decorrelate(np.ones((50, 50))).resolution_um(0.1))
    assert decorrelate(np.ones((5, 50))).cutoff == 0
    noise = np.random.default_rng(4).standard_normal((200, 200))
    assert decorrelate(noise).cutoff == 0


def test_missing_voxels_do_not_sharpen() -> None:
    rng = np.random.default_rng(5)
    image = 100 + band_limited((255, 255), (0.3, 0.3), rng)
    image += 0.1 * rng.standard_normal(image.shape)
    image[:, :80] = np.nan
    assert decorrelate(image).cutoff == pytest.approx(0.3, rel=0.07)


@pytest.mark.parametrize("sigma", [(1.5, 0.8), (0.7, 2.0)])
def test_squirrel_finds_a_known_blur_scale_and_noise(sigma: tuple[float, float]) -> None:
    rng = np.random.default_rng(6)
    sharp = gaussian_filter((rng.random((24, 64, 64)) > 0.995).astype(float), 0.6) * 500
    raw = 0.5 * gaussian_filter(sharp, (sigma[0], sigma[1], sigma[1])) + 100
    raw += rng.normal(0, 0.2, raw.shape)
    found = squirrel(sharp, raw, start=(1, 1))
    assert found.sigma == pytest.approx(sigma, rel=0.05)
    assert (found.slope, found.offset) == pytest.approx((0.5, 100), rel=0.02)
    assert found.rse == pytest.approx(0.2, rel=0.05)
    assert 0.97 < found.rsp < 1


def test_squirrel_of_the_raw_image_itself_is_perfect() -> None:
    raw = np.random.default_rng(7).random((8, 32, 32))
    found = squirrel(raw, raw, start=(0, 0))
    assert (found.rsp, found.rse) == pytest.approx((1, 0), abs=1e-6)
    assert np.isnan(squirrel(np.ones((8, 16, 16)), raw[:, :16, :16]).rsp)


def test_squirrel_of_an_invented_object_is_worse() -> None:
    rng = np.random.default_rng(8)
    sharp = gaussian_filter((rng.random((16, 48, 48)) > 0.995).astype(float), 0.6) * 500
    raw = gaussian_filter(sharp, 1.5) + rng.normal(0, 0.5, sharp.shape)
    fits = []
    for height in (0, 1, 3, 10):
        wrong = sharp.copy()
        wrong[8, 20:24, 20:24] += 100 * height
        fits.append(squirrel(wrong, raw))
    assert np.all(np.diff([f.rsp for f in fits]) < 0)
    assert np.all(np.diff([f.rse for f in fits]) > 0)


@pytest.mark.parametrize("noise", [0.2, 2.0])
def test_squirrel_is_of_the_voxels_that_have_data(noise: float) -> None:
    rng = np.random.default_rng(6)
    sharp = gaussian_filter((rng.random((24, 64, 64)) > 0.995).astype(float), 0.6) * 500
    raw = 0.5 * gaussian_filter(sharp, (1.5, 0.8, 0.8)) + 100 + rng.normal(0, noise, sharp.shape)
    whole = squirrel(sharp, raw)
    found = squirrel(sharp, np.where(slanted(raw.shape), np.nan, raw))
    assert found.rse == pytest.approx(noise, rel=0.07)
    assert found.rsp == pytest.approx(whole.rsp, abs=0.02)
    assert (found.slope, found.offset) == pytest.approx((0.5, 100), rel=0.03)
    assert found.sigma == pytest.approx(whole.sigma, rel=0.04)


def test_squirrel_without_any_data_is_nan() -> None:
    assert np.isnan(squirrel(np.ones((8, 16, 16)), np.full((8, 16, 16), np.nan)).rsp)


@pytest.mark.parametrize("frequency", [1.2, 1.5])
def test_fsc_finds_a_known_cutoff(frequency: float) -> None:
    rng = np.random.default_rng(9)
    cutoffs = [2 * frequency * voxel for voxel in VOXEL]
    image = band_limited((64, 192, 192), cutoffs, rng)
    noise = (np.pi / 6 * np.prod(cutoffs) * 2) ** -0.5  # half of the signal's power
    pair = [100 + image + noise * rng.standard_normal(image.shape) for _ in range(2)]
    for direction in ("lateral", "axial"):
        found = fsc_resolution_um(*pair, voxel_size_um=VOXEL, direction=direction)
        assert found == pytest.approx(1 / frequency, rel=0.05)


def test_fsc_of_known_noise() -> None:
    # Of signal s² and independent noise n² in every frequency the correlation is s² / (s² + n²).
    noise = 1.0
    rng = np.random.default_rng(10)
    image = rng.standard_normal((32, 64, 64))
    pair = [image + noise * rng.standard_normal(image.shape) for _ in range(2)]
    _, correlation = shells(*pair, voxel_size_um=VOXEL, direction="lateral")
    assert np.mean(correlation[3:]) == pytest.approx(0.5, abs=0.02)
    found = fsc_resolution_um(*pair, voxel_size_um=VOXEL, direction="lateral")
    assert found == pytest.approx(0.2)  # they agree up to Nyquist
    independent = [rng.standard_normal(image.shape) for _ in range(2)]
    found = fsc_resolution_um(*independent, voxel_size_um=VOXEL, direction="lateral")
    assert not found < 1  # nothing, or by chance the coarsest shell


def test_fsc_is_worse_with_more_noise() -> None:
    rng = np.random.default_rng(11)
    image = gaussian_filter((rng.random((32, 64, 64)) > 0.99).astype(float), 1) * 100
    found = []
    for noise in (0.1, 1, 4):
        pair = [image + noise * rng.standard_normal(image.shape) for _ in range(2)]
        found.append(fsc_resolution_um(*pair, voxel_size_um=VOXEL, direction="lateral"))
    assert np.all(np.diff(found) > 0)


def test_missing_voxels_do_not_look_like_agreement() -> None:
    rng = np.random.default_rng(9)
    cutoffs = [2 * 1.2 * voxel for voxel in VOXEL]
    shape = (48, 128, 128)
    uneven = gaussian_filter(rng.standard_normal(shape), 6)
    image = band_limited(shape, cutoffs, rng) + 8 * uneven / uneven.std()
    noise = (np.pi / 6 * np.prod(cutoffs) * 2) ** -0.5
    whole = [100 + image + noise * rng.standard_normal(shape) for _ in range(2)]
    part = [np.where(slanted(shape), np.nan, image) for image in whole]
    options = {"voxel_size_um": VOXEL, "direction": "lateral"}
    expected = fsc_resolution_um(*whole, **options)
    assert fsc_resolution_um(*part, **options) == pytest.approx(expected, rel=0.05)
    assert np.isnan(fsc_resolution_um(whole[0], np.full(shape, np.nan), **options))


def test_asm_of_known_and_of_noisier_planes() -> None:
    assert angular_second_moment([np.ones((20, 20))]) == 1
    halves = np.zeros((200, 200))
    halves[:, 100:] = 1
    # Two even halves: (p₀₀, p₁₁) = 1/2 each but for the border.
    assert angular_second_moment([halves]) == pytest.approx(0.5, abs=0.01)
    rng = np.random.default_rng(12)
    noise = rng.standard_normal((100, 100))
    assert angular_second_moment([noise]) < angular_second_moment([gaussian_filter(noise, 3)])
    assert np.isnan(angular_second_moment([]))


def test_asm_leaves_missing_voxels_out() -> None:
    plane = gaussian_filter(np.random.default_rng(12).standard_normal((200, 200)), 1)
    expected = angular_second_moment([plane])
    rows, columns = np.indices(plane.shape)
    part = np.where(rows + columns < 160, np.nan, plane)
    assert angular_second_moment([part]) == pytest.approx(expected, rel=0.05)
    assert angular_second_moment([part, np.full((20, 20), np.nan)]) == angular_second_moment([part])
    assert np.isnan(angular_second_moment([np.full((20, 20), np.nan)]))
