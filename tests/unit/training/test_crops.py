"""Crops: reproducible, paired, bright enough, never searched for ever."""

import numpy as np
import pytest
import zarr

from decon3d.errors import UserError
from decon3d.training.augmentation import MOVES, Augmentation
from decon3d.training.crops import (
    TRIES,
    Pairs,
    draw,
    fitting_crop,
    load_pairs,
    prefetched,
)
from decon3d.volumes.normalisation import Normalisation
from decon3d.volumes.statistics import ChannelStatistics

SHAPE = (16, 20, 24)
NONE = Augmentation()


def pairs_of(images, objects):
    laws = (Normalisation(0.0, 1.0),) * len(images)
    return Pairs(images, objects, laws, (0.0,) * len(images), {})


@pytest.fixture
def pairs():
    images = np.random.default_rng(0).uniform(0, 1, (3, *SHAPE)).astype(np.float32)
    return pairs_of(images, images * 2)


def test_a_step_depends_on_seed_and_step_alone(pairs):
    options = {"batch": 3, "crop": (8, 8, 8), "augmentation": Augmentation(tuple(MOVES), (0.5, 2))}
    draw(pairs, step=6, seed=1, **options)
    image, truth = draw(pairs, step=7, seed=1, **options)
    again, _ = draw(pairs, step=7, seed=1, **options)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_allclose(truth, 2 * image, rtol=1e-6)
    assert image.shape == (3, 8, 8, 8, 1)
    assert not np.array_equal(image, draw(pairs, step=8, seed=1, **options)[0])
    assert not np.array_equal(image, draw(pairs, step=7, seed=2, **options)[0])


def test_crops_hold_foreground():
    objects = np.zeros((1, 8, 8, 64), np.float32)
    objects[..., :24] = 1
    for step in range(20):
        _, truth = draw(
            pairs_of(objects, objects),
            step=step,
            seed=0,
            batch=1,
            crop=(8, 8, 8),
            augmentation=NONE,
        )
        assert truth.mean() >= 0.8 * objects.mean()


def test_the_search_ends_at_the_brightest():
    class Counted(np.ndarray):
        crops = 0

        def mean(self, *args, **kwargs):
            Counted.crops += self.size == 8
            return np.asarray(self).mean(*args, **kwargs) + (self.size != 8) * 9

    objects = np.random.default_rng(0).uniform(0, 1, (1, 8, 8, 8)).astype(np.float32)
    pairs = pairs_of(objects, objects.view(Counted))  # no crop is ever enough
    _, truth = draw(pairs, step=0, seed=0, batch=1, crop=(2, 2, 2), augmentation=NONE)
    assert Counted.crops == TRIES
    assert truth.mean() > 0.6


def test_one_map_for_image_and_object(tmp_path):
    rng = np.random.default_rng(0)
    group = zarr.create_group(
        tmp_path / "s.zarr", attributes={"photons": [9.0, 5.0, 0.0], "recipes": ["a", "a"]}
    )
    truth = 110 + 90 * (rng.uniform(0, 1, (2, *SHAPE)) > 0.9)
    image = rng.poisson(truth).astype(np.float32)
    group["image"], group["object"] = image, truth.astype(np.float32)
    pairs = load_pairs(tmp_path / "s.zarr", camera_offset=100.0)
    for index, law in enumerate(pairs.normalisations):
        assert law == ChannelStatistics.of_image(image[index], camera_offset=100.0).normalisation
        np.testing.assert_array_equal(pairs.images[index], law.apply(image[index]))
        np.testing.assert_allclose(law.invert(pairs.objects[index]), truth[index], rtol=1e-6)
        assert pairs.noise[index] == pytest.approx(np.sqrt(110) / law.scale, rel=0.2)
    assert pairs.made_as == {"photons": [5.0, 9.0], "recipes": {"a": 2}}


def test_stores_that_are_none(tmp_path):
    with pytest.raises(UserError, match="not a store of training pairs"):
        load_pairs(tmp_path / "none.zarr", camera_offset=None)
    group = zarr.create_group(tmp_path / "s.zarr")
    group["image"] = np.zeros((2, 4, 4, 4), np.float32)
    with pytest.raises(UserError, match="not a store of training pairs"):
        load_pairs(tmp_path / "s.zarr", camera_offset=None)
    group["object"] = np.zeros((1, 4, 4, 4), np.float32)
    with pytest.raises(UserError, match="same shape"):
        load_pairs(tmp_path / "s.zarr", camera_offset=None)


def test_crops_are_cut_to_the_volume():
    assert fitting_crop((64, 64, 64), (33, 96, 50), (2, 2, 2)) == (32, 64, 50)
    with pytest.raises(UserError, match="too small"):
        fitting_crop((64, 64, 64), (1, 96, 50), (2, 2, 2))


def test_prefetching_keeps_the_order_and_passes_errors_on():
    assert list(prefetched(lambda k: k * k, range(30))) == [k * k for k in range(30)]
    assert list(prefetched(lambda k: k, range(3))) == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        list(prefetched(lambda k: 1 / (k - 12), range(30)))
