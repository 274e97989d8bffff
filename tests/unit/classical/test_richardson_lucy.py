import numpy as np
import pytest
import tifffile

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import iterate, richardson_lucy
from decon3d.classical.tuning import AffineScore
from decon3d.errors import UserError
from support.deconvolution import scene, start
from support.gaussians import gaussian_psf

ACCELERATIONS = ("none", "heavy_ball")


def test_one_iteration_is_the_formula():
    image, _, model = scene()
    got = richardson_lucy(image, model=model, iterations=1, tv_weight=0.0, **start(image, 10.0))
    x = np.where(model.weights > 0, np.float32(image.mean() - 10), 0)
    expected = x * model.weights * model.adjoint(image / (model.forward(x) + 10))
    np.testing.assert_allclose(got, expected[model.inside], rtol=1e-4)


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_flux_is_kept(acceleration):
    image, _, model = scene(background=0.0)
    seen = model.adjoint(np.ones(model.shape, np.float32))
    steps = iterate(image, model=model, acceleration=acceleration, **start(image, 0.0))
    for _, view in zip(range(12), (estimate for _, estimate in steps), strict=False):
        whole = view.base  # the estimate on the whole domain of the object
        assert whole.shape == model.object_shape
    # Σ x Hᵀ1 = Σ g holds for the x of every iteration.
    assert np.vdot(whole.astype(np.float64), seen) == pytest.approx(
        image.sum(dtype=np.float64), rel=1e-4
    )


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
@pytest.mark.parametrize("tv_weight", [0.0, 0.01])
def test_a_flat_volume_is_a_fixed_point_up_to_its_faces(acceleration, tv_weight):
    model = Blur((16, 20, 20), psf=gaussian_psf())
    flat = np.full(model.shape, 30.0, np.float32)
    got = richardson_lucy(
        flat,
        model=model,
        iterations=10,
        tv_weight=tv_weight,
        acceleration=acceleration,
        background=10.0,
        initial=20.0,
    )
    # What is seen by less than 1 % is left out of the object: a few per cent, at the corners.
    assert np.abs(got / 20 - 1).max() < 0.06
    if tv_weight == 0:
        assert np.abs(got[4:-4, 5:-5, 5:-5] / 20 - 1).max() < 5e-3


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
@pytest.mark.parametrize("tv_weight", [0.0, 0.01])
def test_positive_and_equivariant_to_the_gain(acceleration, tv_weight):
    image, _, model = scene()
    options = {
        "model": model,
        "iterations": 15,
        "tv_weight": tv_weight,
        "acceleration": acceleration,
    }
    one = richardson_lucy(image, background=10.0, initial=8.0, **options)
    many = richardson_lucy(8 * image, background=80.0, initial=64.0, **options)
    assert one.dtype == np.float32 and one.shape == image.shape
    assert one.min() >= 0
    np.testing.assert_allclose(many, 8 * one, rtol=1e-3, atol=1e-4 * one.max())


def test_symmetric_in_symmetric_out():
    image, _, model = scene()
    options = {"model": model, "background": 10.0, "initial": 8.0, "iterations": 10}
    got = richardson_lucy(image, **options)
    for axis in range(3):
        flipped = richardson_lucy(np.flip(image, axis), **options)
        np.testing.assert_allclose(np.flip(flipped, axis), got, atol=2e-4 * got.max())


def test_heavy_ball_needs_half_the_iterations():
    image, truth, model = scene()
    score = AffineScore(truth)
    best = {}
    for acceleration in ACCELERATIONS:
        steps = iterate(image, model=model, acceleration=acceleration, **start(image, 10.0))
        best[acceleration] = [score(view) for _, (_, view) in zip(range(40), steps, strict=False)]
    assert max(best["none"]) > AffineScore(truth)(image) + 1
    reached = int(np.argmax(np.array(best["heavy_ball"]) >= max(best["none"]))) + 1
    assert 1 < reached <= (int(np.argmax(best["none"])) + 1) / 2


def test_total_variation_smooths():
    image, _, model = scene(photons=20.0)
    plain, smooth = (
        richardson_lucy(image, model=model, iterations=40, tv_weight=w, **start(image, 10.0))
        for w in (0.0, 0.02)
    )
    variation = [sum(np.abs(np.diff(x, axis=i)).sum() for i in range(3)) for x in (plain, smooth)]
    assert variation[1] < 0.8 * variation[0]


@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_counts_below_the_background_and_below_zero_are_sound(acceleration):
    image, _, model = scene()
    image[:8] = -5.0
    got = richardson_lucy(
        image, model=model, iterations=50, acceleration=acceleration, background=10.0, initial=8.0
    )
    assert np.isfinite(got).all() and got.min() >= 0
    assert got[:4].max() < 1e-3 * got.max()
    zero = richardson_lucy(
        np.zeros_like(image),
        model=model,
        iterations=50,
        acceleration=acceleration,
        background=0.0,
        initial=8.0,
    )
    assert np.isfinite(zero).all() and zero.max() < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.full((8, 8, 8), np.inf)}, "infinite"),
        ({"initial": -3.0}, "above the background"),
        ({"background": -1.0}, "background"),
        ({"iterations": 0}, "iterations"),
    ],
)
def test_impossible_input_is_refused(change, message):
    options = {"image": np.ones((8, 8, 8)), "background": 0.0, "initial": 1.0, "iterations": 2}
    options |= change
    model = Blur((8, 8, 8), psf=gaussian_psf())
    with pytest.raises(UserError, match=message):
        richardson_lucy(options.pop("image"), model=model, **options)


@pytest.mark.parametrize(("acceleration", "iterations"), [("none", 10), ("heavy_ball", 15)])
def test_a_block_with_its_halo_equals_the_whole(acceleration, iterations):
    image, _, model = scene(shape=(24, 32, 64))
    options = {
        "background": 10.0,
        "initial": 8.0,
        "iterations": iterations,
        "acceleration": acceleration,
    }
    whole = richardson_lucy(image, model=model, **options)
    halo = 3 * 4  # three half-widths
    block = image[:, :, : 32 + halo]
    tiled = richardson_lucy(block, model=Blur(block.shape, psf=gaussian_psf()), **options)
    assert np.abs(tiled[:, :, :32] - whole[:, :, :32]).max() < 5e-4 * whole.max()


def test_hollow_bars_reach_the_reference_quality(reference_data):
    image, psf, truth = (
        tifffile.imread(reference_data / "bars" / f"{name}.tif")
        for name in ("image", "psf", "truth")
    )
    psf = psf[6:27, 16:49, 16:49].astype(np.float64)  # odd, centred on the voxel 16, 32, 32
    score = AffineScore(truth)
    assert score(image) == pytest.approx(26.40, abs=0.01)
    model = Blur(image.shape, psf=psf / psf.sum())
    scores = {}
    for k, estimate in iterate(
        image, model=model, background=0.0, initial=float(image.mean()), acceleration="none"
    ):
        scores[k] = score(estimate) if k in (25, 200) else None
        if k == 200:
            break
    assert scores[25] >= 26.9
    assert scores[200] >= 28.3
