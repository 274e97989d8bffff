"""Fill is told from darkness, in the same way wherever a volume is cut; it counts for nothing."""

import json

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.volumes.channel_accumulator import mark_image
from decon3d.volumes.ingest import ingest
from decon3d.volumes.no_data import mark, read_marked
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import channel_statistics
from decon3d.volumes.volume_record import fills_of
from support.volumes import DESKEWED_SHAPE, deskewed, noise

RNG = np.random.default_rng(0)


def test_deskewed_fill_is_found_to_the_voxel():
    image, outside = deskewed()
    image[12, 30, 30] = image[5, :, 31] = 0  # a dead pixel and a dead line are no fill
    assert np.array_equal(np.isnan(mark_image(image)), outside)


def test_the_fill_is_the_same_wherever_the_volume_is_cut(tmp_path):
    image, _ = deskewed(fill=119)
    path = tmp_path / "v.tif"
    tifffile.imwrite(path, image, photometric="minisblack")
    whole = mark(image, 119)
    volume = open_volume(path)
    for _ in range(20):
        starts = RNG.integers(0, np.array(DESKEWED_SHAPE) - 2)
        z, y, x = (
            slice(int(s), int(s) + 1 + int(RNG.integers(n - s)))
            for s, n in zip(starts, DESKEWED_SHAPE, strict=True)
        )
        part = read_marked(volume, 0, 0, (z, y, x), 119)
        assert np.array_equal(part, whole[z, y, x], equal_nan=True)


def sparse():
    """Photon counting: most dark pixels are 0."""
    image = RNG.poisson(0.01, DESKEWED_SHAPE)
    image[:, 20:40, 20:40] += RNG.poisson(30, (24, 20, 20))
    return image.astype(np.uint8)


def padded_with_the_dark():
    """A light-sheet camera's fill: its own offset, which many dark pixels have, too."""
    dark = np.rint(np.random.default_rng(5).normal(100, 1.5, DESKEWED_SHAPE)).astype(np.uint16)
    return np.where(deskewed()[1], 98, dark).astype(np.uint16)


def saturated():
    image = noise()
    image[5:15, 20:40, 20:40] = 4095
    return image


@pytest.mark.parametrize(
    ("image", "offset", "share"),
    [
        (deskewed()[0], None, 0.453),
        (deskewed(fill=120)[0], None, 0.453),  # padded with the mean
        (np.pad(sparse(), ((0, 0), (8, 8), (8, 8))), None, 0.0),
        (np.pad(noise(3.0), ((0, 0), (8, 8), (8, 8))), 100.0, 0.368),
        (padded_with_the_dark(), 98.0, 0.453),
        (saturated(), None, 0.0),
        (np.full(DESKEWED_SHAPE, 7, np.uint16), None, 0.0),
        (noise()[:2, :3, :4], None, 0.0),
    ],
)
def test_fill_is_told_from_darkness_and_saturation(image, offset, share):
    found = np.isnan(mark_image(image, camera_offset=offset)).mean()
    assert found == pytest.approx(share, abs=0.01 if share else 0)


def record_of(image, tmp_path, **options):
    tifffile.imwrite(tmp_path / "v.tif", image, photometric="minisblack")
    return ingest(
        str(tmp_path / "v.tif"),
        record_path=tmp_path / "r" / "v.json",
        name="v",
        channels={"a": 0},
        voxel_size_um=(0.2, 0.1, 0.1),
        times=None,
        key="datasets.d",
        **options,
    )


def statistics_of(record):
    return channel_statistics([record], channel=0, camera_offset=None, fixed=None, key="datasets.d")


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_statistics_are_those_of_the_data(tmp_path, dtype):
    image, outside = deskewed()
    image = image.astype(dtype)
    record = record_of(image, tmp_path)
    assert record.no_data == {"0": 0.0}
    assert record.filled == {"0": outside.sum()}
    found = statistics_of(record)
    assert found.voxels == (~outside).sum()
    assert found.mean == pytest.approx(image[~outside].mean(), rel=1e-5)
    assert found.background == pytest.approx(117, abs=4)
    assert found.normalisation.offset == pytest.approx(120, abs=0.5)
    assert fills_of(record, raw={"a": 0}, now={"a": 3}) == {3: 0.0}


def test_the_config_says_what_is_fill(tmp_path):
    image, outside = deskewed(fill=500)
    image[0, 0, :60] = 3000
    assert record_of(image, tmp_path, no_data="none").filled == {"0": 0}
    record = record_of(image, tmp_path, no_data=500)
    assert record.filled["0"] == pytest.approx(outside.sum(), rel=0.001)
    assert json.loads((tmp_path / "r" / "v.json").read_text())["no_data"] == {"0": 500.0}


def test_a_volume_without_any_data_is_named(tmp_path):
    record = record_of(np.full(DESKEWED_SHAPE, np.nan, np.float32), tmp_path)
    assert record.not_finite == {"0": np.prod(DESKEWED_SHAPE)}
    with pytest.raises(UserError, match=r"datasets\.d: no volume holds data"):
        statistics_of(record)
