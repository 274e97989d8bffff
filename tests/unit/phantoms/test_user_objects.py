"""A user's own volume as an object."""

from itertools import pairwise

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.phantoms.grids import Grid
from decon3d.phantoms.recipes import make_object
from decon3d.phantoms.user_objects import draw_crop, open_own_object
from decon3d.seeds import generator
from decon3d.settings import ObjectFile


def own(path, values, **changes):
    tifffile.imwrite(path, values, photometric="minisblack", metadata={"axes": "ZYX"})
    return open_own_object("cell", ObjectFile(path=str(path), **changes))


@pytest.fixture
def counts():
    return (100 + generator(1).integers(0, 900, (8, 9, 10))).astype(np.uint16)


def test_a_crop_of_the_same_voxels_is_a_flipped_part_of_the_file(tmp_path, counts):
    found = own(tmp_path / "c.tif", counts)
    scaled = (counts.astype(float) - counts.min()) / np.ptp(counts)
    places = set()
    for seed in range(12):
        crop = draw_crop(found, Grid((4, 5, 6), (0.2,) * 3, 0.2), rng=generator(seed))
        assert crop.shape == (4, 5, 6)
        matches = [
            (flips, z, y, x)
            for flips in [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)]
            for z in range(5)
            for y in range(5)
            for x in range(5)
            if np.allclose(np.flip(crop, flips), scaled[z : z + 4, y : y + 5, x : x + 6], atol=1e-6)
        ]
        assert len(matches) == 1
        places |= set(matches)
    assert len(places) > 9
    assert len({flips for flips, *_ in places}) > 3


def test_a_coarser_grid_averages_and_keeps_the_size_in_um(tmp_path):
    values = np.zeros((12, 12, 12), np.float32)
    values[4:8, 4:8, 4:8] = 5
    found = own(tmp_path / "c.tif", values, voxel_size_um=(0.1, 0.1, 0.1))
    whole = draw_crop(found, Grid((4, 6, 12), (0.3, 0.2, 0.1), 0.1), rng=generator(3))
    assert whole.sum() * 6 == pytest.approx(64, rel=1e-5)  # six source voxels per voxel
    fine = draw_crop(found, Grid((23, 23, 23), (0.05,) * 3, 0.05), rng=generator(3))
    assert fine.sum() / 8 == pytest.approx(64, rel=1e-5)
    assert fine.max() == 1


def test_beyond_its_faces_a_small_volume_is_mirrored(tmp_path, counts):
    found = own(tmp_path / "c.tif", counts[:3])
    crop = draw_crop(found, Grid((9, 9, 10), (0.2,) * 3, 0.2), rng=generator(1))
    kinds = [plane.tobytes() for plane in crop]
    order = [kinds.index(kind) for kind in kinds]
    assert len(set(order)) == 3
    assert order[:3] == order[6:] and sum(a == b for a, b in pairwise(order)) in (2, 3)


def test_a_name_of_an_own_object_is_a_recipe(tmp_path, counts):
    found = own(tmp_path / "c.tif", counts)
    options = {"shape": (4, 6, 6), "voxel_size_um": (0.2,) * 3, "own": {"cell": found}}
    first, again = (make_object("cell", **options, rng=generator(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert 0 <= first.min() < first.max() <= 1


def test_a_volume_that_is_no_object_is_refused(tmp_path):
    flat = np.ones((3, 8, 8), np.float32)
    with pytest.raises(UserError, match=r"phantoms\.objects\.cell.*flat"):
        own(tmp_path / "flat.tif", flat)
    flat[1, 2, 3] = np.nan
    with pytest.raises(UserError, match="NaN or infinite values in plane 1"):
        own(tmp_path / "nan.tif", flat)
