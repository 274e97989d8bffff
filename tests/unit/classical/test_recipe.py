"""What is decided on a sample, the unmatched projector, and images at the edge of the possible."""

import numpy as np
import pytest

from decon3d.classical.back_projectors import iterate_unmatched, unmatched_blur
from decon3d.classical.consensus import iterate_consensus
from decon3d.classical.kinds.rl import Rl
from decon3d.classical.kinds.rltv import Rltv
from decon3d.classical.operators import Blur
from decon3d.classical.photons import PhotonScale
from decon3d.classical.recipe import Recipe
from decon3d.classical.richardson_lucy import iterate, richardson_lucy
from decon3d.classical.stopping import first_below
from decon3d.classical.tuning import AffineScore
from decon3d.errors import UserError
from decon3d.restoration.arrays import restore_array
from decon3d.restoration.decisions import tv_weight_from_snr
from decon3d.restoration.restorers import State, open_restorer
from decon3d.volumes.camera import Camera
from support.deconvolution import ONE, PSF, VOXEL, boxes, prepared, scene, start


def take(steps, count):
    """The first steps, each (iteration, copy of the estimate, and what comes with it)."""
    return [(k, x.copy(), *more) for _, (k, x, *more) in zip(range(count), steps, strict=False)]


def test_voxels_stop_where_only_noise_moves_them():
    image, truth, model = boxes()
    score = AffineScore(truth)
    options = {"model": model, "acceleration": "none", **start(image, 10.0)}
    consensus = iterate_consensus(image, scale=ONE, seed=0, **options)
    scores, shares = zip(*((score(x), share) for _, x, share in take(consensus, 80)), strict=True)
    assert shares[0] > 0.9 and shares[-1] < 0.01
    plain = [score(x) for _, x in take(iterate(image, **options), 80)]
    stop = next(k for k, share in enumerate(shares) if share < 0.01)
    assert scores[stop] > max(plain) - 0.2  # near the best that only a truth could choose
    assert scores[-1] > plain[-1] + 1  # and it stays there


def test_a_rule_stops_at_the_first_iteration_below_its_threshold(caplog):
    falling = [[1.0, 0.5, 0.2, 0.1], [1.0, 0.3, 0.02, 0.1]]
    found = first_below(falling, threshold=0.15, most=10, rule="rlgc")
    assert (found.iterations, found.reached) == (3, True)
    assert not first_below(falling, threshold=0.01, most=4, rule="rlgc").reached
    assert "did not stop the method within 4" in caplog.text


@pytest.mark.parametrize("rule", ["relative_change", "rlgc"])
def test_the_state_carries_what_the_sample_decided(rule, tmp_path):
    image, _, _ = boxes()
    method = Rl(kind="rl", stopping=rule, acceleration="none")
    state = prepared(method, image, sample=[image], camera=Camera(offset=10, gain=1), seed=3)
    assert 5 < state.values["iterations"] < 200
    assert state.values["stopping"]["reached"]
    again = prepared(method, image, sample=[image], camera=Camera(offset=10, gain=1), seed=3)
    assert again.description == state.description
    state.save(tmp_path / "s.json")
    loaded = State.load(tmp_path / "s.json")
    restored = restore_array(image, open_restorer(loaded, threads=1), loaded)
    direct = restore_array(image, open_restorer(state, threads=1), state)
    np.testing.assert_array_equal(restored, direct)
    with pytest.raises(UserError, match=r"sample|too few"):
        prepared(method, image, camera=Camera(offset=10))


def test_blocks_under_consensus_fit_together():
    image, _, _ = boxes(shape=(16, 32, 72))
    method = Rl(kind="rl", stopping="rlgc", iterations=30, acceleration="none")
    state = prepared(method, image, sample=[image], camera=Camera(offset=10, gain=1))
    restorer = open_restorer(state, threads=1)
    whole = restore_array(image, restorer, state)
    tiled = restore_array(image, restorer, state, block=(16, 32, 36))
    difference = np.abs(tiled - whole)
    # A voxel whose halves balance may move in one tile and not in the other.
    print(np.quantile(difference, [0.99, 0.999, 1]) / whole.max())
    assert np.quantile(difference, 0.99) < 5e-4 * whole.max()
    assert difference.max() < 2e-2 * whole.max()


def test_weight_from_snr_is_the_published_rule():
    block = np.full((5, 6, 7), 10.0)
    block[1:4, 2:5, 2:5] = 10 + 2 * 400  # 400 photons: SNR 20
    weight = tv_weight_from_snr(
        [block], background=10.0, scale=PhotonScale(10, 2, "config"), voxel_size_um=VOXEL
    )
    assert weight == pytest.approx(50 / 20 / 100)
    image, _, _ = scene()
    method = Rltv(kind="rltv", tv_weight="snr", iterations=3)
    state = prepared(method, image, sample=[image], camera=Camera(offset=10, gain=1))
    assert 0.01 < state.values["tv_weight"] < 0.1


def test_an_unmatched_projector_does_in_one_iteration_what_takes_four():
    image, truth, model = scene(photons=2000.0, background=0.0)
    score = AffineScore(truth)
    quick = unmatched_blur(image.shape, psf=PSF.data)
    options = {"background": 0.0, "initial": float(image.mean())}
    first, second = (score(x) for _, x in take(iterate_unmatched(image, model=quick, **options), 2))
    plain = [
        score(x) for _, x in take(iterate(image, model=model, acceleration="none", **options), 4)
    ]
    assert max(first, second) > plain[-1]
    flat = np.full(image.shape, 30.0, np.float32)
    _, kept = next(iterate_unmatched(flat, model=quick, background=0.0, initial=30.0))
    np.testing.assert_allclose(kept, 30, rtol=5e-2)


def test_read_noise_calms_a_dark_image():
    rng = np.random.default_rng(0)
    model = Blur((16, 32, 32), psf=PSF.data)
    truth = np.zeros(model.object_shape, np.float32)
    truth[9:14, 12:25, 12:25] = 6
    image = rng.poisson(np.maximum(model.forward(truth), 0)) + rng.normal(0, 3, model.shape)
    score = AffineScore(truth[model.inside])
    best = {}
    for variance in (0.0, 9.0):
        recipe = Recipe(0.0, float(image.mean()), VOXEL, dark_level=-variance)
        steps = recipe.iterate(image.astype(np.float32), model=model)
        best[variance] = max(score(x) for _, x in take(steps, 40))
    assert best[9.0] > best[0.0] + 0.5


def test_a_known_dark_level_saves_iterations():
    image, truth, model = boxes()
    score = AffineScore(truth)
    best = {}
    for dark in (0.0, 100.0):
        recipe = Recipe(110.0, float(image.mean()) - 10, VOXEL, dark_level=dark)
        scores = [score(x) for _, x in take(recipe.iterate(image + 100, model=model), 60)]
        best[dark] = (max(scores), 1 + int(np.argmax(scores)))
    assert best[100.0][0] > best[0.0][0] - 0.1
    assert best[100.0][1] < 0.7 * best[0.0][1]
    state = prepared(Rl(kind="rl"), image, camera=Camera(offset=10, gain=2.0, read_noise=1.5))
    assert state.values["dark_level"] == 10 - 2 * 1.5**2
    assert prepared(Rl(kind="rl"), image).values["dark_level"] == 0
    smooth = Rltv(kind="rltv", iterations=3, tv_weight=0.01)
    noisy = Camera(offset=10, gain=1.0, read_noise=4.0)
    assert prepared(smooth, image, camera=noisy).values["dark_level"] == 10 - 16


@pytest.mark.parametrize("photons", [0.05, 1.0])
def test_a_few_photons_give_a_finite_positive_estimate_with_their_flux(photons):
    image = np.random.default_rng(0).poisson(photons, (12, 24, 24)).astype(np.uint16)
    for method in (Rl(kind="rl"), Rltv(kind="rltv", iterations=30, tv_weight=0.01)):
        state = prepared(method, image, offset=0)
        got = restore_array(image, open_restorer(state, threads=1), state)
        assert np.isfinite(got).all() and got.min() >= 0
        assert got.sum() == pytest.approx(image.sum(), rel=0.25)  # some belongs beyond the faces


def test_saturated_voxels_may_raise_the_estimate_but_not_lower_it():
    model = Blur((15, 25, 25), psf=PSF.data)
    truth = np.full(model.object_shape, 2.0, np.float32)
    centre = tuple(n // 2 for n in model.object_shape)
    truth[centre] = 30_000
    image = np.maximum(model.forward(truth), 0)
    clipped = np.minimum(image, 255).astype(np.uint8)
    assert (clipped == 255).sum() > 30
    recipe = Recipe(0.0, float(clipped.mean()), VOXEL)
    *_, (_, aware) = take(recipe.iterate(clipped, model=model), 40)
    *_, (_, naive) = take(recipe.iterate(clipped.astype(np.float32), model=model), 40)
    expected = float(image.sum())
    assert abs(aware.sum() / expected - 1) < 0.5 * abs(naive.sum() / expected - 1)


def test_a_psf_larger_than_the_volume_restores_it():
    image, _, _ = scene(shape=(3, 32, 32))
    got = richardson_lucy(
        image[:, :6, :7],
        model=Blur((3, 6, 7), psf=PSF.data),
        background=10.0,
        initial=8.0,
        iterations=20,
    )
    assert got.shape == (3, 6, 7) and np.isfinite(got).all() and got.max() > 8


def test_only_the_ratios_of_the_voxel_size_matter():
    image, _, model = scene()
    options = {"model": model, "iterations": 10, "tv_weight": 0.02, **start(image, 10.0)}
    micro, nano, cubic = (
        richardson_lucy(image, voxel_size_um=size, **options)
        for size in ((0.3, 0.1, 0.1), (300, 100, 100), (0.1, 0.1, 0.1))
    )
    np.testing.assert_allclose(micro, nano, rtol=1e-5)
    assert np.abs(micro - cubic).max() > 0.01 * micro.max()
