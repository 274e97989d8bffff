"""Known shapes: what the primitives and recipes draw, measured."""

import numpy as np
import pytest

from decon3d import settings
from decon3d.errors import UserError
from decon3d.phantoms.objects import Tube, draw_tubes, ellipsoid, stamp
from decon3d.phantoms.recipes import RECIPES, make_object
from decon3d.seeds import generator

VOXEL = (0.3, 0.1, 0.1)


def straight(start, end, radius):
    return Tube(np.array([start, end], float), np.full(2, radius), np.ones(2))


def test_a_stamp_is_cut_at_the_edges_and_overwrites():
    volume = np.full((4, 5, 6), 7, np.float32)
    stamp(volume, np.ones((3, 3, 3), bool), (-2, 3, 4), 2)
    assert (volume[0, 3:, 4:] == 2).all()
    assert (volume == 2).sum() == 4
    stamp(volume, np.ones((2, 2, 2), bool), (9, -5, 0), 1)
    assert not (volume == 1).any()


def test_a_ball_has_its_volume_and_its_centre():
    ball, start = ellipsoid((20.3, 15.0, 9.6), (8, 8, 8))
    assert ball.sum() == pytest.approx(4 / 3 * np.pi * 8**3, rel=0.01)
    centre = np.argwhere(ball).mean(axis=0) + start
    np.testing.assert_allclose(centre, (20.3, 15.0, 9.6), atol=0.05)


def test_a_shell_is_hollow():
    shell, _ = ellipsoid((0, 0, 0), (7, 7, 7), inner=0.8, outer=1.3)
    assert not shell[7, 7, 7]
    assert shell.sum() == pytest.approx(4 / 3 * np.pi * 7**3 * (1.3**1.5 - 0.8**1.5), rel=0.05)


@pytest.mark.parametrize("radius_um", [0.05, 0.15, 0.3])
def test_a_tube_is_round_in_um_on_flat_voxels(radius_um):
    z = (np.arange(20) + 0.5)[:, None] * VOXEL[0]
    y = (np.arange(30) + 0.5)[None] * VOXEL[1]
    measured = []
    # Mean voxels have the object's moments plus the voxel's own only on average over positions.
    for step in np.arange(12) / 12:
        at = (2.51 + step * VOXEL[0], 1.503 + step * VOXEL[1])
        tube = straight((*at, -1), (*at, 4), radius_um)  # along x
        section = draw_tubes([tube], shape=(20, 30, 3), voxel_size_um=VOXEL)[:, :, 1]
        flux = section.sum()
        moment_z = (section * (z - at[0]) ** 2).sum() / flux - VOXEL[0] ** 2 / 12
        moment_y = (section * (y - at[1]) ** 2).sum() / flux - VOXEL[1] ** 2 / 12
        measured.append((flux * VOXEL[0] * VOXEL[1], moment_z, moment_y))
    area, moment_z, moment_y = np.mean(measured, axis=0)
    assert area == pytest.approx(np.pi * radius_um**2, rel=0.005)
    assert np.ptp(measured, axis=0)[0] < 0.06 * area
    assert moment_z == pytest.approx(radius_um**2 / 4, rel=0.04)  # a disk's, on both axes
    assert moment_y == pytest.approx(radius_um**2 / 4, rel=0.04)


def test_an_oblique_tube_has_the_flux_of_an_axial_one():
    tube = straight((1.0, 0.8, 0.9), (3.4, 2.6, 3.0), 0.2)
    length = np.linalg.norm(tube.points_um[1] - tube.points_um[0])
    flux = draw_tubes([tube], shape=(15, 36, 40), voxel_size_um=VOXEL).sum() * np.prod(VOXEL)
    assert flux == pytest.approx(np.pi * 0.2**2 * length + 4 / 3 * np.pi * 0.2**3, rel=0.015)


def test_slabs_do_not_show(monkeypatch):
    tube = straight((0.2, 0.3, 0.4), (2.6, 2.1, 1.9), 0.25)
    whole = draw_tubes([tube], shape=(10, 24, 24), voxel_size_um=VOXEL)
    monkeypatch.setattr("decon3d.phantoms.objects.FINE_SLAB", 1)
    np.testing.assert_array_equal(
        draw_tubes([tube], shape=(10, 24, 24), voxel_size_um=VOXEL), whole
    )


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("shape", [(4, 10, 12), (24, 40, 32)])
def test_a_recipe_is_a_pure_function_of_its_generator(name, shape):
    draw = [
        make_object(name, shape=shape, voxel_size_um=VOXEL, rng=generator(seed, name))
        for seed in (1, 1, 2)
    ]
    assert draw[0].shape == shape
    assert draw[0].dtype == np.float32
    assert draw[0].min() >= 0
    assert draw[0].max() > 0
    np.testing.assert_array_equal(draw[0], draw[1])
    assert (draw[0] != draw[2]).any()


def test_rln_mixed_keeps_its_density_and_range():
    small, large = (
        make_object("rln_mixed", shape=(n, n, n), voxel_size_um=VOXEL, rng=generator(3))
        for n in (64, 96)
    )
    assert large.max() < 850
    for volume in (small, large):
        # 100 balls, 100 shells and 400 boxes fill about 9 % of 128³.
        assert 0.06 < (volume > 30).mean() < 0.13


def test_tubules_fill_the_stated_share():
    volume = make_object("tubules", shape=(40, 80, 80), voxel_size_um=VOXEL, rng=generator(1))
    assert 0.008 < (volume > 0.15).mean() < 0.04
    assert volume.max() <= 1


def test_the_config_offers_the_recipes_that_there_are():
    assert sorted(RECIPES) == sorted(settings.RECIPES)


def test_an_unknown_recipe_is_named():
    with pytest.raises(UserError, match=r"'spirals'.*rln_mixed, tubules"):
        make_object("spirals", shape=(4, 4, 4), voxel_size_um=VOXEL, rng=generator(1))
