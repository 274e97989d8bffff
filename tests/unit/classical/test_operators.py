from typing import ClassVar

import numpy as np
import pytest
from scipy import fft

from decon3d.classical.operators import Blur
from decon3d.errors import UserError


def random_psf(shape, seed=0):
    psf = np.random.default_rng(seed).random(shape)
    return (psf / psf.sum()).astype(np.float32)


GEOMETRIES = [
    ((20, 30, 25), (9, 13, 11), 1),
    ((6, 8, 7), (11, 15, 9), 2),  # the PSF is larger than the image
    ((1, 16, 17), (1, 5, 3), 1),
]


@pytest.mark.parametrize(("shape", "psf_shape", "threads"), GEOMETRIES)
def test_adjoint_belongs_to_forward(shape, psf_shape, threads):
    model = Blur(shape, psf=random_psf(psf_shape), threads=threads)
    rng = np.random.default_rng(1)
    x = rng.random(model.object_shape, np.float32)
    y = rng.random(shape, np.float32)
    forward = np.vdot(model.forward(x).astype(np.float64), y)
    assert np.vdot(x.astype(np.float64), model.adjoint(y)) == pytest.approx(forward, rel=1e-6)


@pytest.mark.parametrize(("shape", "psf_shape", "threads"), GEOMETRIES)
def test_a_point_becomes_the_psf_around_it(shape, psf_shape, threads):
    psf = random_psf(psf_shape)
    model = Blur(shape, psf=psf, threads=threads)
    x = np.zeros(model.object_shape, np.float32)
    point = tuple(n // 3 for n in shape)
    x[model.inside][point] = 1
    expected = np.zeros(shape, np.float32)
    for index in np.ndindex(shape):
        at = tuple(i - p + m // 2 for i, p, m in zip(index, point, psf_shape, strict=True))
        if all(0 <= a < m for a, m in zip(at, psf_shape, strict=True)):
            expected[index] = psf[at]
    np.testing.assert_allclose(model.forward(x), expected, atol=2e-7)


def test_nothing_wraps_around():
    model = Blur((12, 12, 12), psf=random_psf((5, 5, 5)))
    x = np.zeros(model.object_shape, np.float32)
    x[0, 0, 0] = 1  # beyond the image by the half-width: reaches the image's first corner alone
    image = model.forward(x)
    assert image[0, 0, 0] > 1e-3
    assert np.abs(image[1:, 1:, 1:]).max() < 1e-7


def test_weights_are_one_inside_and_zero_where_hardly_seen():
    psf = random_psf((5, 5, 5))
    model = Blur((12, 12, 12), psf=psf)
    seen = model.adjoint(np.ones(model.shape, np.float32))
    assert model.weights[4:12, 4:12, 4:12] == pytest.approx(1, abs=1e-5)  # 2 half-widths inside
    assert (model.weights[seen <= 0.01] == 0).all() and (seen <= 0.01).any()
    np.testing.assert_allclose((model.weights * seen)[seen > 0.01], 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("psf", "message"),
    [
        (np.ones((4, 5, 5)) / 100, "odd"),
        (np.ones((5, 5)) / 25, "three"),
        (np.ones((5, 5, 5)), "divide"),
        (np.pad([[[-0.5]]], 1) + 1.5 / 27, "negative"),
        (np.full((3, 3, 3), np.nan), "negative"),
    ],
)
def test_an_unusable_psf_is_refused(psf, message):
    with pytest.raises(UserError, match=message):
        Blur((8, 8, 8), psf=psf)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_comparison_between_is_forward_and_adjoint(threads):
    rng = np.random.default_rng(0)
    psf = rng.random((5, 3, 7), np.float32)
    model = Blur((11, 12, 9), psf=psf / psf.sum(), threads=threads)
    x = rng.random(model.object_shape, np.float32)
    g = rng.random(model.shape, np.float32)
    expected = model.adjoint(g / model.forward(x))
    got = np.empty_like(x)

    def keep(planes, values):
        got[planes] = values

    model.compared(
        x,
        between=lambda: x.fill(0),
        compare=lambda planes, values: np.divide(g[planes], values, out=values),
        use=keep,
    )
    np.testing.assert_array_equal(got, expected)
    assert not x.any()


class Counting:
    """A backend for `scipy.fft` that calls NumPy and counts."""

    __ua_domain__ = "numpy.scipy.fft"
    calls: ClassVar[list[str]] = []

    @classmethod
    def __ua_function__(cls, method, args, options):
        cls.calls.append(method.__name__)
        kept = {k: v for k, v in options.items() if k in ("n", "axis")}
        return getattr(np.fft, method.__name__)(*args, **kept)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_registered_fft_library_makes_all_transforms(threads):
    psf = np.full((3, 3, 3), 1 / 27, np.float32)
    x = np.random.default_rng(0).random((10, 12, 14), np.float32)
    expected = Blur((8, 10, 12), psf=psf, threads=threads).forward(x)
    Counting.calls.clear()
    fft.set_global_backend(Counting)
    try:
        got = Blur((8, 10, 12), psf=psf, threads=threads).forward(x)
    finally:
        fft.set_global_backend("scipy")
    assert {"rfftn", "rfft", "fft", "ifft", "irfft"} <= set(Counting.calls)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
