"""The crop of the first screen shows what was gained, and no empty field."""

import numpy as np
import pytest

from decon3d.report.first_screen import telling_place
from decon3d.report.views import Scene

VOXEL = (0.5, 0.2, 0.2)
SIZE_UM = (6.4, 6.4)  # 32 voxels


def textured(*patches):
    """A raw scene and a restored one with texture in patches (plane, rows, columns, strength)."""
    raw = np.random.default_rng(0).normal(100, 0.1, (5, 96, 128)).astype(np.float32)
    restored = raw.copy()
    for plane, rows, columns, strength in patches:
        part = restored[plane, rows, columns]
        part += strength * (-1.0) ** np.indices(part.shape).sum(0)
    return Scene(restored, VOXEL), Scene(raw, VOXEL)


def place(*patches):
    restored, raw = textured(*patches)
    return telling_place(restored, like=raw, size_um=SIZE_UM)


def test_the_crop_with_most_detail_is_found():
    weak = (1, slice(8, 40), slice(8, 40), 5)
    strong = (3, slice(50, 82), slice(70, 102), 9)
    z, y, x = place(weak, strong)
    assert z == pytest.approx(3.5 * 0.5)
    assert (y, x) == (pytest.approx(66 * 0.2, abs=0.8), pytest.approx(86 * 0.2, abs=0.8))


def test_a_crop_with_an_empty_half_is_not_taken():
    edge = (0, slice(20, 60), slice(0, 12), 9)
    whole = (3, slice(30, 66), slice(60, 96), 6)
    z, y, x = place(edge, whole)
    assert (z, y, x) == (
        pytest.approx(3.5 * 0.5),
        pytest.approx(48 * 0.2, abs=1.2),
        pytest.approx(78 * 0.2, abs=1.2),
    )


@pytest.mark.parametrize("end", [0, 4])
def test_the_first_and_last_planes_are_not_taken(end):
    strong = (end, slice(8, 40), slice(8, 40), 20)
    weak = (2, slice(50, 82), slice(70, 102), 5)
    z, _, x = place(strong, weak)
    assert z == pytest.approx(2.5 * 0.5) and x == pytest.approx(86 * 0.2, abs=0.8)


def test_where_every_crop_has_an_empty_quarter_the_mean_decides():
    z, y, x = place((2, slice(40, 48), slice(50, 58), 9))
    assert z == pytest.approx(2.5 * 0.5)
    assert abs(y - 44 * 0.2) < 3.2 and abs(x - 54 * 0.2) < 3.2


def test_a_volume_smaller_than_the_crop_has_a_place():
    restored, raw = textured((1, slice(0, 96), slice(0, 128), 5))
    z, y, x = telling_place(restored, like=raw, size_um=(1000, 1000))
    assert z == pytest.approx(1.5 * 0.5) and 0 < y < 19.2 and 0 < x < 25.6
