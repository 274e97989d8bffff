"""Known shapes: what the primitives and recipes draw, measured."""

import numpy as np
import pytest
from scipy.ndimage import label, minimum_filter

from decon3d.errors import UserError
from decon3d.phantoms import sections
from decon3d.phantoms.ellipsoids import ball, coverage, draw_ellipsoids
from decon3d.phantoms.grids import Grid, power_law_field, random_field
from decon3d.phantoms.mixture import KINDS
from decon3d.phantoms.objects import Tube, draw_tubes, ellipsoid, stamp
from decon3d.phantoms.recipes import RECIPES, STRUCTURES, make_object, structures
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
    assert flux == pytest.approx(np.pi * 0.2**2 * length + 4 / 3 * np.pi * 0.2**3, rel=0.002)


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


@pytest.mark.parametrize("radius_um", [0.05, 0.12, 0.4])
def test_a_ball_is_round_in_um_on_flat_voxels(radius_um):
    grid, measured = Grid((12, 30, 30), VOXEL, 0.1), []
    for step in np.arange(6) / 6:
        at = np.array([1.71, 1.52, 1.49]) + step * np.array(VOXEL)
        volume = draw_ellipsoids([ball(at, radius_um)], grid, overlap="brighter")
        flux = volume.sum(dtype=float)
        moments = []
        for axis in range(3):
            x = grid.centres_um(axis) - at[axis]
            profile = volume.sum(axis=tuple(a for a in range(3) if a != axis))
            moments.append((profile * x**2).sum() / flux - VOXEL[axis] ** 2 / 12)
        measured.append((flux * np.prod(VOXEL), *moments))
    solid, *moments = np.mean(measured, axis=0)
    assert solid == pytest.approx(4 / 3 * np.pi * radius_um**3, rel=0.05)
    assert moments == pytest.approx([radius_um**2 / 5] * 3, rel=0.06)


def test_an_ellipsoid_is_cut_at_the_faces_of_the_grid():
    grid = Grid((8, 8, 8), (0.1,) * 3, 0.1)
    _, half = coverage(ball(np.array([0, 0.4, 0.4]), 0.25), grid)
    assert half.sum() * 1e-3 == pytest.approx(2 / 3 * np.pi * 0.25**3, rel=0.03)
    _, outside = coverage(ball(np.array([-1, 0.4, 0.4]), 0.25), grid)
    assert outside.size == 0


def test_a_random_field_is_one_thing_in_space():
    fine, coarse = Grid((48, 48, 48), (0.1,) * 3, 0.1), Grid((16, 48, 24), (0.3, 0.1, 0.2), 0.1)
    field, sampled = (random_field(g, 0.5, generator(1, "field")) for g in (fine, coarse))
    np.testing.assert_allclose(sampled, field[1::3, :, ::2], atol=0.35)  # 0.05 µm aside along x
    np.testing.assert_allclose(sampled, (field[1::3, :, ::2] + field[1::3, :, 1::2]) / 2, atol=0.03)
    wide = random_field(Grid((96, 96, 96), (0.1,) * 3, 0.1), 0.25, generator(2))
    assert wide.mean() == pytest.approx(0, abs=0.03)
    assert wide.var() == pytest.approx(1, abs=0.05)
    step = 5  # = 2 σ: a correlation of exp(-1)
    assert (wide[step:] * wide[:-step]).mean() == pytest.approx(np.exp(-1), abs=0.04)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"rln_mixed", "broad"}))
def test_a_recipe_draws_the_same_object_in_um_on_any_voxels(name):
    def drawn(shape, voxel_size_um):
        options = {"shape": shape, "voxel_size_um": voxel_size_um, "unit_um": 0.1}
        return make_object(name, **options, rng=generator(4, name))

    cubes = drawn((36, 48, 48), (0.1, 0.1, 0.1))
    flat = cubes.reshape(12, 3, 48, 48).mean(axis=1)
    wide = cubes.reshape(36, 24, 2, 24, 2).mean(axis=(2, 4))
    for averaged, voxel in ((flat, VOXEL), (wide, (0.1, 0.2, 0.2))):
        direct = drawn(averaged.shape, voxel)
        assert np.abs(direct - averaged).sum() < 0.15 * averaged.sum()
        assert direct.sum() == pytest.approx(averaged.sum(), rel=0.03)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"mixture", "haze"}))
def test_a_recipe_keeps_its_density_whatever_the_volume(name):
    def fill(n, draws):
        shares = []
        for seed in range(draws):
            volume = make_object(
                name, shape=(n, n, n), voxel_size_um=(0.1,) * 3, rng=generator(seed, name, n)
            )
            shares.append((volume > 0.2 * volume.max()).mean())
        return np.mean(shares)

    small, large = fill(48, 4), fill(80, 1)
    assert large > 0.001
    assert 1 / 3 < large / small < 3


def test_the_mixture_keeps_its_light_whatever_the_volume():
    def light(n, draws):
        return np.mean(
            [
                make_object(
                    "mixture", shape=(n,) * 3, voxel_size_um=(0.1,) * 3, rng=generator(seed, "m", n)
                ).mean()
                for seed in range(draws)
            ]
        )

    assert 0.5 < light(72, 4) / light(40, 12) < 2


def test_the_mixture_holds_flat_thin_point_like_and_smooth_objects():
    grid = Grid((40, 64, 64), (0.1,) * 3, 0.1)
    flat, thin, points, smooth = (
        draw(grid, rng=generator(3, "kinds"), density=1.0) for draw, _ in KINDS
    )
    steepness = {}  # of a voxel's neighbour within an object: 0 where objects are flat
    for name, volume in (("flat", flat), ("smooth", smooth)):
        inside = minimum_filter(volume, 3) > 0.2 * volume.max()
        steepness[name] = np.abs(np.diff(volume, axis=2))[inside[:, :, 1:]].mean() / volume.max()
    assert steepness["flat"] < 0.2 * steepness["smooth"]
    assert [label(v > 0.1)[1] > 3 for v in (flat, points)] == [True, True]
    assert (points > 0).mean() < 0.01 < (smooth > 0).mean()
    assert 0.001 < (thin > 0.2).mean() < 0.03


@pytest.mark.parametrize("exponent", [2.5, 4.0])
def test_a_power_law_field_has_its_spectrum(exponent):
    n = 96
    grid = Grid((n,) * 3, (0.1,) * 3, 0.1)
    field = power_law_field(grid, generator(5), longest_um=1.6, exponent=exponent)
    frequency = np.sqrt(sum(np.square(np.meshgrid(*[np.fft.fftfreq(n)] * 3)))).ravel()
    power = np.abs(np.fft.fftn(field * np.hanning(n) ** 0.5)).ravel() ** 2
    edges = np.geomspace(0.02, 0.1, 8)  # σ of 8 … 1.6 voxels
    band = np.digitize(frequency, edges)
    means = [power[band == i].mean() for i in range(1, len(edges))]
    slope = np.polyfit(np.log(edges[:-1] * edges[1:]) / 2, np.log(means), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.5)


def test_an_averaged_field_is_the_mean_over_the_voxel():
    fine, flat = Grid((48, 24, 24), (0.1,) * 3, 0.1), Grid((12, 24, 24), (0.4, 0.1, 0.1), 0.1)
    mean = random_field(fine, 0.15, generator(1), averaged=True).reshape(12, 4, 24, 24).mean(axis=1)
    np.testing.assert_allclose(
        random_field(flat, 0.15, generator(1), averaged=True), mean, atol=2e-3
    )


def test_every_recipe_says_what_can_be_seen_in_it():
    assert set(STRUCTURES) == set(RECIPES)
    held_out = ("membranes", "nuclei", "er_network")
    for name in ("rln_mixed", "spheres", "neurodecon", "broad"):
        assert not any(STRUCTURES[name] & STRUCTURES[other] for other in held_out)
    trained = structures("mixture")  # its nuclei are textured_nuclei, its tubes those of tubules
    assert {name for name in RECIPES if not structures(name) <= trained} == {
        "rln_mixed",
        "broad",
        "membranes",
        "er_network",
    }


def test_a_unit_below_half_a_voxel_is_refused():
    with pytest.raises(UserError, match=r"unit_um.*at least 0.05"):
        make_object("spheres", shape=(8,) * 3, voxel_size_um=VOXEL, unit_um=0.02, rng=generator(1))


def test_the_config_offers_the_recipes_that_there_are():
    assert sorted(RECIPES) == sorted(sections.RECIPES)


def test_an_unknown_recipe_is_named():
    with pytest.raises(UserError, match=r"'spirals'.*known: broad, er_network"):
        make_object("spirals", shape=(4, 4, 4), voxel_size_um=VOXEL, rng=generator(1))
