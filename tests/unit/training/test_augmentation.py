"""Crops are moved only as the PSF allows, and blurred crops stay blurred crops."""

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from decon3d.optics.psf import normalised_psf
from decon3d.training.augmentation import MOVES, Augmentation, moved, symmetries
from decon3d.training.crops import Pairs, draw
from decon3d.volumes.normalisation import Normalisation

VOXEL = (0.2, 0.1, 0.1)


def psf_of(*spots, shape=(5, 5, 5), voxel=VOXEL):
    """Return a peak in the middle and further spots (y, x, value) around it."""
    data = np.zeros(shape)
    middle = tuple(n // 2 for n in shape)
    data[middle] = 1
    for y, x, value in spots:
        data[middle[0], middle[1] + y, middle[2] + x] = value
    return normalised_psf(data, voxel, {})


FLAT = ("none", "turn_180", "flip_x", "flip_y")


@pytest.mark.parametrize(
    ("psf", "allowed"),
    [
        (psf_of(), tuple(MOVES)),
        (psf_of((1, 0, 0.009)), tuple(MOVES)),
        (psf_of((1, 0, 0.02)), ("none", "flip_x")),
        (psf_of((1, 1, 0.5)), ("none", "swap")),
        (
            psf_of((1, 2, 0.5), (2, -1, 0.5), (-1, -2, 0.5), (-2, 1, 0.5)),
            ("none", "turn_90", "turn_180", "turn_270"),
        ),
        (psf_of((0, 1, 0.5), (0, -1, 0.5)), FLAT),
        (psf_of(voxel=(0.2, 0.1, 0.12)), FLAT),
        (psf_of(shape=(5, 5, 9)), tuple(MOVES)),
        (psf_of((0, 4, 0.5), (0, -4, 0.5), shape=(5, 5, 9)), FLAT),
    ],
)
def test_moves_follow_the_psf(psf, allowed):
    assert set(symmetries(psf)) == set(allowed)


def test_a_move_that_is_allowed_commutes_with_the_blur():
    rng = np.random.default_rng(0)
    psf = psf_of((1, 2, 0.5), (2, -1, 0.5), (-1, -2, 0.5), (-2, 1, 0.5))
    truth = rng.uniform(size=(3, 6, 8))
    image = convolve(truth, psf.data.astype(float), mode="constant")
    for move in MOVES:
        of_moved = convolve(moved(truth, move), psf.data.astype(float), mode="constant")
        same = np.allclose(of_moved, moved(image, move))
        assert same == (move in symmetries(psf)), move


def pairs_of(volume):
    return Pairs(volume[None], 2 * volume[None], (Normalisation(0.0, 1.0),), (0.0,), {})


def test_every_move_is_drawn_and_no_other():
    volume = np.arange(2 * 6 * 6, dtype=np.float32).reshape(2, 6, 6)
    for moves in (("none", "swap", "turn_90"), ("flip_y",)):
        seen = set()
        for step in range(40):
            image, truth = draw(
                pairs_of(volume),
                step=step,
                seed=0,
                batch=1,
                crop=(2, 6, 6),
                augmentation=Augmentation(moves),
            )
            np.testing.assert_array_equal(truth, 2 * image)
            found = [m for m in MOVES if np.array_equal(moved(volume, m), image[0, ..., 0])]
            seen.update(found)
        assert seen == set(moves)


def test_oblong_crops_are_turned_where_the_volume_holds_them():
    wide = Augmentation(tuple(MOVES), (1, 1))
    assert wide.fitting((4, 6, 8), (4, 8, 8)).moves == tuple(MOVES)
    assert set(wide.fitting((4, 6, 8), (4, 7, 8)).moves) == set(FLAT)
    volume = np.random.default_rng(0).uniform(size=(4, 8, 9)).astype(np.float32)
    for step in range(20):
        image, _ = draw(
            pairs_of(volume), step=step, seed=0, batch=1, crop=(4, 6, 8), augmentation=wide
        )
        assert image.shape == (1, 4, 6, 8, 1)


def test_the_intensity_factor_keeps_the_signal_to_noise_ratio():
    rng = np.random.default_rng(0)
    clean = gaussian_filter(rng.uniform(size=(4, 16, 16)), 2)
    volume = (clean + 0.1 * rng.normal(size=clean.shape)).astype(np.float32)
    factors = []
    for step in range(200):
        image, truth = draw(
            pairs_of(volume),
            step=step,
            seed=0,
            batch=1,
            crop=(4, 16, 16),
            augmentation=Augmentation(intensity=(0.5, 2.0)),
        )
        factor = image[0, ..., 0] / volume
        assert factor.std() < 1e-5 * factor.mean()
        np.testing.assert_array_equal(truth, 2 * image)
        factors.append(factor.mean())
    assert 0.5 <= min(factors) < 0.55 and 1.8 < max(factors) <= 2.0001
    assert np.mean(np.log(factors)) == pytest.approx(0, abs=0.1)
