"""Measured pairs: found shift and brightness, refused drift, splits that keep specimens apart."""

import copy

import numpy as np
import pytest
import tifffile
import zarr
from scipy.ndimage import gaussian_filter

from decon3d.errors import ConfigError, UserError
from decon3d.files import read_json
from decon3d.optics.psf import normalised_psf
from decon3d.pairs.matching import align, aligned
from decon3d.pairs.registration import covered, register
from decon3d.pairs.sources import list_pairs
from decon3d.pairs.stores import brightest_tiles, make_pairs, marked_pair, tile_shape
from decon3d.settings import MeasuredPairs, load_settings
from decon3d.training.crops import load_pairs
from decon3d.volumes.normalisation import Histogram, normalisation_law
from support.configs import GOOD

VOXEL = (0.3, 0.1, 0.1)
SHAPE = (24, 64, 64)
SHIFT = (-1.7, 2.25, -0.4)
OPTIONS = {
    "voxel_size_um": VOXEL,
    "psf_fwhm_um": (1.0, 0.35, 0.35),
    "max_shift_um": 2.0,
    "max_drift_um": 0.5,
    "raw_file": "low.tif",
    "truth_file": "high.tif",
}


def points(at, *, sigma=1.5):
    """Gaussian spots at positions in voxels, each of the same light, on the grid of `SHAPE`."""
    axes = [np.arange(n) for n in SHAPE]
    image = np.zeros(SHAPE)
    for position in at:
        profiles = [
            np.exp(-((a - p) ** 2) / 2 / sigma**2) for a, p in zip(axes, position, strict=True)
        ]
        image += np.einsum("i,j,k", *profiles) * (1.5 / sigma) ** 3
    return image


@pytest.fixture(scope="module")
def spots():
    """Positions well inside, so that no light is lost at a face."""
    return np.random.default_rng(0).uniform([5, 7, 7], [18, 56, 56], (120, 3))


@pytest.fixture(scope="module")
def pair(spots):
    """A dim raw volume and its truth, which has to be moved by `SHIFT`."""
    rng = np.random.default_rng(1)
    raw = 100 + 2.0 * rng.poisson(30 * points(spots) + 3)
    truth = 50 + rng.poisson(600 * points(spots - SHIFT) + 20)
    return raw, truth


def test_shift_and_brightness_are_found_to_a_fraction(pair, spots):
    raw, truth = pair
    found = align(raw, truth, **OPTIONS)
    assert np.divide(found.shift_um, VOXEL) == pytest.approx(SHIFT, abs=0.1)
    assert found.slope == pytest.approx(2 * 30 / 600, rel=0.001)
    assert found.offset == pytest.approx(100 + 6 - 0.1 * 70, abs=0.05)
    assert found.drift_um < 0.15 and found.correlation > 0.9
    image, matched = aligned(raw, truth, found, voxel_size_um=VOXEL)
    inside = covered(SHAPE, SHIFT)
    assert image.shape == matched.shape == points(spots)[inside].shape == (22, 61, 63)
    error = matched - (106 + 60 * points(spots)[inside])
    assert np.sqrt(np.mean(error**2)) < 0.03 * 60


def test_the_brightness_of_a_sharper_truth_is_kept(spots):
    raw, truth = 100 + 60 * points(spots), 20 * points(spots, sigma=0.9)
    slope = align(raw, truth, **OPTIONS).slope
    assert slope == pytest.approx(3, rel=0.05)


def test_without_a_shift_nothing_is_moved(pair):
    raw = pair[0].astype(np.float32)
    found = register(raw, raw, voxel_size_um=VOXEL)
    assert found.shift == (0, 0, 0) and found.drift_um == 0


def test_a_pair_that_no_translation_mends_is_refused_by_name(spots):
    raw = 100 + 60 * points(spots)
    stretched = spots + np.linspace(-4, 4, 120)[np.argsort(np.argsort(spots[:, 2])), None] * [
        0,
        1,
        0,
    ]
    with pytest.raises(UserError, match=r"high\.tif.*differs by 0\.\d+ µm.*max_drift_um: 0\.5"):
        align(raw, points(stretched), **OPTIONS)
    with pytest.raises(UserError, match=r"high\.tif.*shifted by 0\.\d+ µm.*max_shift_um: 0\.3"):
        align(raw, points(spots - SHIFT), **{**OPTIONS, "max_shift_um": 0.3})
    other = np.random.default_rng(5).uniform([3, 5, 5], [20, 58, 58], (3, 3))
    with pytest.raises(UserError, match="at the best shift, less than"):
        align(raw, points(other), **OPTIONS)
    with pytest.raises(UserError, match="resample"):
        align(raw, raw[1:], **OPTIONS)


def slanted():
    """What deskewing leaves without data, a third of `SHAPE`."""
    z, _, x = np.indices(SHAPE)
    return (x < 15 - z // 2) | (x > 57 - z // 2)


def test_voxels_without_data_move_no_pair_and_change_no_brightness(pair, spots):
    raw, truth = pair
    raw, truth = (np.where(slanted(), 0, values).astype(np.uint16) for values in (raw, truth))
    raw, truth = marked_pair(raw, truth, no_data="auto", camera_offset=100)
    assert np.array_equal(np.isnan(raw), slanted()) and np.array_equal(np.isnan(truth), slanted())
    found = align(raw, truth, **OPTIONS)
    assert np.divide(found.shift_um, VOXEL) == pytest.approx(SHIFT, abs=0.15)
    assert found.slope == pytest.approx(2 * 30 / 600, rel=0.001)
    assert found.offset == pytest.approx(100 + 6 - 0.1 * 70, abs=0.05)
    assert found.correlation > 0.9
    image, matched = aligned(raw, truth, found, voxel_size_um=VOXEL)
    inside = covered(SHAPE, SHIFT)
    assert np.array_equal(np.isnan(image), slanted()[inside])
    error = (matched - (106 + 60 * points(spots)[inside]))[np.isfinite(matched)]
    assert 0.6 * matched.size < error.size < 0.8 * matched.size
    assert np.sqrt(np.mean(error**2)) < 0.03 * 60


def test_a_truth_may_be_zero_without_objects(pair, spots):
    truth = np.where(points(spots) > 0.1, 600 * points(spots), 0)
    assert (truth == 0).mean() > 0.3
    raw, same = marked_pair(pair[0], truth, no_data="auto", camera_offset=100)
    assert np.isfinite(raw).all() and same is truth
    _, marked = marked_pair(pair[0], truth, no_data=0, camera_offset=100)
    assert np.isnan(marked).any()


def dataset_of(folder, names, **options):
    config = copy.deepcopy(GOOD)
    for role in ("raw", "truth"):
        (folder / role).mkdir(exist_ok=True)
        for name in names:
            (folder / role / f"{name}.tif").touch()
    pairs = {"raw": str(folder / "raw"), "truth": str(folder / "truth" / "*.tif"), **options}
    config["datasets"]["worm"]["pairs"] = pairs
    return load_settings(config).datasets["worm"]


def test_specimens_are_never_split(tmp_path):
    names = [f"fish{k // 3}_{k}" for k in range(30)]
    dataset = dataset_of(tmp_path, names, specimen="(fish[0-9])_", val=0.2, test=0.3)
    pairs = list_pairs("worm", dataset.pairs, seed=1)
    split = {p.specimen: p.split for p in pairs}
    assert all(split[p.specimen] == p.split for p in pairs)
    assert sorted(split.values()) == ["test"] * 3 + ["train"] * 5 + ["val"] * 2
    assert (
        list_pairs("worm", dataset.pairs, seed=1)
        == pairs
        != list_pairs("worm", dataset.pairs, seed=2)
    )


def test_too_few_or_unequal_files_are_config_errors(tmp_path):
    with pytest.raises(ConfigError, match="only 2 specimen"):
        list_pairs("worm", dataset_of(tmp_path, ["a", "b"]).pairs, seed=1)
    dataset = dataset_of(tmp_path, ["a", "b", "c"])
    (tmp_path / "truth" / "b.tif").unlink()
    with pytest.raises(ConfigError, match="3 raw and 2 true volumes"):
        list_pairs("worm", dataset.pairs, seed=1)
    dataset = dataset_of(tmp_path, ["a", "b", "c"], specimen="(fish)")
    with pytest.raises(ConfigError, match=r"pairs\.specimen: '\(fish\)' does not match"):
        list_pairs("worm", dataset.pairs, seed=1)


def test_tiles_are_the_brightest_and_none_is_empty():
    truth = np.full((8, 40, 20), 10.0, np.float32)
    truth[:, 0:10, 5:15] = 20
    truth[:, 30:40, 5:15] = 100
    tiles = brightest_tiles(truth, (8, 20, 20), 4)
    assert [t[1].start for t in tiles] == [0, 20]
    assert [t[1].start for t in brightest_tiles(truth, (8, 20, 20), 1)] == [20]
    truth[:, :20] = 10
    assert [t[1].start for t in brightest_tiles(truth, (8, 20, 20), 4)] == [20]
    assert tile_shape(None, [(8, 300, 20), (70, 280, 30)], ["a", "b"], "pairs") == (8, 256, 20)
    with pytest.raises(
        UserError,
        match=r"pairs\.shape: \[9, 8, 8\] is larger than the overlap of raw and truth of a, ",
    ):
        tile_shape((9, 8, 8), [(8, 30, 20)], ["a"], "pairs")


def test_stores_are_like_those_of_phantoms(tmp_path, pair):
    raw, truth = pair
    dataset = dataset_of(tmp_path, ["a", "b", "c"])
    sources = list_pairs("worm", dataset.pairs, seed=1)
    for source in sources:
        tifffile.imwrite(source.raw, raw.astype(np.uint16))
        tifffile.imwrite(source.truth, truth.astype(np.uint16))
    spot = np.zeros((9, 9, 9))
    spot[4, 4, 4] = 1
    stores = {split: tmp_path / f"{split}.zarr" for split in ("train", "val", "test")}
    make_pairs(
        sources,
        stores=stores,
        record=tmp_path / "pairs.json",
        pairs=MeasuredPairs(raw="", truth="", shape=(20, 30, 60), tiles=2),
        psf=normalised_psf(gaussian_filter(spot, 1.5), VOXEL, {}),
        channel=0,
        only_channel=True,
        trust_metadata=False,
        key="datasets.worm.pairs",
    )
    rows = read_json(tmp_path / "pairs.json")["pairs"]
    assert [row["tiles"] for row in rows] == [2 if s.split == "train" else 1 for s in sources]
    loaded = load_pairs(stores["train"], camera_offset=100)
    assert loaded.images.shape == (2, 20, 30, 60)
    assert loaded.made_as["specimens"] == [s.name for s in sources if s.split == "train"]
    # The tiles of one volume share its normalisation; its restored counts are the raw volume's.
    law = normalisation_law(
        Histogram.of(zarr.open_group(stores["train"])["image"][:]), camera_offset=100
    )
    assert loaded.normalisations == (law, law)
    difference = loaded.images - loaded.objects
    assert abs(difference.mean()) < 0.01 * loaded.objects.max()


def test_tiles_hold_no_fill(tmp_path, pair):
    dataset = dataset_of(tmp_path, ["a", "b", "c"])
    sources = list_pairs("worm", dataset.pairs, seed=1)
    for source in sources:
        for path, values in zip((source.raw, source.truth), pair, strict=True):
            tifffile.imwrite(path, np.where(slanted(), 0, values).astype(np.uint16))
    spot = np.zeros((9, 9, 9))
    spot[4, 4, 4] = 1
    stores = {split: tmp_path / f"{split}.zarr" for split in ("train", "val", "test")}

    def make(shape, **options):
        make_pairs(
            sources,
            stores=stores,
            record=tmp_path / "pairs.json",
            pairs=MeasuredPairs(raw="", truth="", shape=shape, tiles=9),
            psf=normalised_psf(gaussian_filter(spot, 1.5), VOXEL, {}),
            channel=0,
            only_channel=True,
            trust_metadata=False,
            key="datasets.worm.pairs",
            **options,
        )
        return zarr.open_group(stores["train"])

    store = make((11, 30, 15), camera_offset=100)
    row = read_json(tmp_path / "pairs.json")["pairs"][0]
    assert row["no_data"] == pytest.approx(slanted().mean())
    assert store["image"].shape[0] >= 2
    assert store["image"][:].min() > 80 and store["object"][:].min() > 80
    with pytest.raises(
        UserError, match=r"pairs\.shape: .*tif: every tile of \[20, 30, 60\].*no_data"
    ):
        make((20, 30, 60))
    assert make((20, 30, 60), no_data="none")["image"][:].min() == 0


def with_nan(truth, share):
    """Make a share of the truth's voxels NaN, in single voxels, and one of them infinite."""
    holes = np.random.default_rng(5).random(truth.shape) < share
    values = np.where(holes, np.nan, truth).astype(np.float32)
    values[0, 0, 0] = np.inf
    return values


def test_nan_in_the_truth_does_not_move_it(pair):
    raw, truth = marked_pair(pair[0], with_nan(pair[1], 0.01), no_data="none", camera_offset=100)
    found = align(raw, truth, **OPTIONS)
    assert np.divide(found.shift_um, VOXEL) == pytest.approx(SHIFT, abs=0.1)
    assert found.slope == pytest.approx(0.1, rel=0.003)


def test_nan_in_the_truth_is_left_out_and_its_share_is_told(tmp_path, pair):
    sources = list_pairs("worm", dataset_of(tmp_path, ["a", "b", "c"]).pairs, seed=1)
    truth = with_nan(pair[1], 0.0)
    truth[:, :16] = np.nan  # a quarter
    for source in sources:
        tifffile.imwrite(source.raw, pair[0].astype(np.uint16))
        tifffile.imwrite(source.truth, truth)
    spot = np.zeros((9, 9, 9))
    spot[4, 4, 4] = 1

    def make(shape):
        make_pairs(
            sources,
            stores={s: tmp_path / f"{s}.zarr" for s in ("train", "val", "test")},
            record=tmp_path / "pairs.json",
            pairs=MeasuredPairs(raw="", truth="", shape=shape),
            psf=normalised_psf(gaussian_filter(spot, 1.5), VOXEL, {}),
            no_data="none",
            channel=0,
            only_channel=True,
            trust_metadata=False,
            key="datasets.worm.pairs",
        )

    make((20, 20, 30))
    assert np.isfinite(zarr.open_group(tmp_path / "train.zarr")["object"][:]).all()
    rows = read_json(tmp_path / "pairs.json")["pairs"]
    assert [row["no_data"] for row in rows] == pytest.approx([0.25] * 3, abs=0.001)
    with pytest.raises(UserError, match=r"0\.00% of the raw volume and 25\.00% of the truth"):
        make((20, 60, 60))
