"""The seam index: 1 without a seam, whatever the structure; a seam of known size is found."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from decon3d.restoration.finish import seam_index


def indices(values: np.ndarray, block: tuple[int, int, int]) -> list[float]:
    volume = SimpleNamespace(shape=values.shape, block=block)
    return list(seam_index(values[None, None], volume).values())


def specks(rng: np.random.Generator) -> np.ndarray:
    points = np.zeros((40, 96, 96))
    points[tuple(rng.integers(0, n, 40) for n in points.shape)] = rng.uniform(1, 5, 40)
    return 1000 * gaussian_filter(points, 1.2) + 10


def noise(rng: np.random.Generator) -> np.ndarray:
    return 100 + gaussian_filter(rng.normal(0, 50, (40, 96, 96)), 0.7)


@pytest.mark.parametrize("make", [specks, noise])
@pytest.mark.parametrize("block", [(20, 48, 48), (40, 40, 64), (12, 24, 32)])
def test_seamless_volumes_read_one(make, block) -> None:
    """Without the shifted planes the ratios are 0.6 to 1.2 here."""
    found = indices(make(np.random.default_rng(3)), block)
    assert found == pytest.approx([1.0] * len(found), abs=0.01)


@pytest.mark.parametrize("name", ["nucleus/dapi_001.tif", "lightsheet/cudadecon_10it.tif"])
def test_real_volumes_read_one(name, reference_data) -> None:
    values = tifffile.imread(reference_data / name)[..., :320, :320].astype(np.float32)
    found = indices(values, (16, 64, 48))
    assert found == pytest.approx([1.0] * len(found), abs=0.01)


@pytest.mark.parametrize("block", [(20, 48, 48), (12, 24, 32)])
@pytest.mark.parametrize(("size", "low", "high"), [(1.0, 1.15, 1.5), (3.0, 2.5, 3.5)])
def test_a_seam_of_known_size_is_found(block, size, low, high) -> None:
    """Blocks lifted by a multiple of the mean step s: |N(0, s) + 3 s| is 3 s on average."""
    values = noise(np.random.default_rng(3))
    step = np.abs(np.diff(values, axis=1)).mean()
    for start in range(block[1], 96, 2 * block[1]):
        values[:, start : start + block[1]] += size * step
    z, y, x = indices(values, block)
    assert (z, x) == pytest.approx((1, 1), abs=0.01)
    assert low < y < high


def test_planes_without_data_do_not_count() -> None:
    values = noise(np.random.default_rng(3))
    values[:, :, :30] = np.nan
    assert indices(values, (20, 48, 48)) == pytest.approx([1, 1, 1], abs=0.01)
    assert indices(np.ones((20, 40, 40)), (20, 40, 40)) == []
