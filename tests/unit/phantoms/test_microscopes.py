"""Drawn microscopes: shares, ranges and determinism; volumes on a finer grid; stores of them."""

from collections import Counter

import numpy as np
import pytest
import zarr

from decon3d.optics.modalities import MODALITIES
from decon3d.optics.psf import fwhm_um
from decon3d.phantoms.contact_sheet import contact_sheet
from decon3d.phantoms.imaging import SimulatedCamera, form_image
from decon3d.phantoms.microscope_imaging import assumed_psf, take_volume
from decon3d.phantoms.microscopes import draw_microscope
from decon3d.phantoms.patterned_camera import PatternedCamera
from decon3d.seeds import generator, seeded
from decon3d.settings import Microscopes, Phantoms, Split
from support.phantom_stores import make

SHAPE = (6, 16, 16)
SMALL = {"phantoms": Phantoms(shape=SHAPE), "name": "train"}


def drawn(index: int, **ranges):
    return draw_microscope(Microscopes(**ranges), generator(3, "drawn", index))


@pytest.fixture(scope="module")
def many():
    return [drawn(index) for index in range(1500)]


def split_of(count: int) -> Split:
    return Split(count=count, recipes={"spheres": 1}, microscopes=Microscopes())


def test_modalities_contents_and_wrong_psfs_have_their_shares(many):
    shares = {k: n / len(many) for k, n in Counter(m.optics.modality for m in many).items()}
    assert shares == pytest.approx(Microscopes().modalities, abs=0.04)
    assert shares["widefield"] >= 0.4
    contents = {k: n / len(many) for k, n in Counter(m.content for m in many).items()}
    assert contents == pytest.approx({"full": 0.92, "sparse": 0.05, "empty": 0.03}, abs=0.02)
    wrong = [m.assumed_width != 1 or m.assumed_optics != m.optics for m in many]
    assert np.mean(wrong) == pytest.approx(0.25, abs=0.04)
    assert np.mean([m.camera_known for m in many]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([m.camera.gain_spread > 0 for m in many]) == pytest.approx(0.25, abs=0.04)
    assert 0.05 < np.mean([bool(m.camera.correlation) for m in many]) < 0.25


def test_numbers_stay_in_their_ranges(many):
    seen = [m for m in many if m.content != "empty"]
    photons = np.array([m.photons for m in seen])
    assert 3 <= photons.min() < 5 and 2000 < photons.max() <= 3000
    assert np.median(photons) == pytest.approx(95, rel=0.25)  # √(3 · 3000)
    assert all(m.photons == 0 for m in many if m.content == "empty")
    ratios = np.array([m.voxel_size_um[0] / m.voxel_size_um[1] for m in many])
    assert 0.999 <= ratios.min() < 1.2 and 5.5 < ratios.max() <= 6.001
    assert np.percentile(ratios, 75) - np.percentile(ratios, 25) > 1
    for m in many:
        wave = m.emission_um if m.excitation_um is None else m.excitation_um / 2
        lateral = wave / (4 * m.optics.numerical_aperture)
        assert 0.499 <= m.voxel_size_um[1] / lateral <= 2.001
        assert m.finer[0] % 2 == 1 and m.voxel_size_um[1] / m.finer[1] <= 0.7501 * lateral
    wrong = [m.assumed_width for m in many if m.assumed_width != 1]
    assert 0.75 <= min(wrong) < 0.8 and 1.2 < max(wrong) <= 1.25


def test_unknown_aberrations_are_in_the_true_optics_only(many):
    aberrated = [m for m in many if m.assumed_optics != m.optics]
    assert {bool(m.optics.aberrations.terms) for m in aberrated} == {True, False}
    for m in aberrated:
        assert m.assumed_width == 1 and not m.assumed_optics.aberrations.terms
        rms = sum(value**2 for _, value in m.optics.aberrations.terms) ** 0.5
        deeper = m.optics.depth_um > 0 == m.assumed_optics.depth_um
        assert 0.0299 <= rms <= 0.1001 or deeper


def test_saturated_cameras_clip_the_brightest_voxels(many):
    def full(m):
        return (2**m.camera.bits - 1 - m.camera.offset) / m.camera.gain - m.background_photons

    lit = [m for m in many if m.camera.bits and m.photons]
    clipped = [m for m in lit if full(m) < m.photons]
    assert 0.03 < len(clipped) / len(lit) < 0.15
    assert all(0.55 * m.photons < full(m) for m in clipped)


def test_an_index_is_the_same_alone_and_in_a_batch(tmp_path, many):
    assert drawn(7) == many[7] != many[8]
    one, two = (make(tmp_path / str(n), split=split_of(n), **SMALL) for n in (1, 2))
    short, long = (zarr.open_group(str(store), mode="r") for store in (one, two))
    for name in ("object", "image", "psf"):
        np.testing.assert_array_equal(short[name][:], long[name][:1])
    assert short.attrs["microscopes"] == long.attrs["microscopes"][:1]
    assert "voxel_size_um" not in short.attrs and "psf_fingerprint" not in short.attrs
    assert short["psf"].shape == (1, 11, 31, 31)
    np.testing.assert_allclose(short["psf"][:].sum(axis=(1, 2, 3)), 1, rtol=1e-4)
    figure = contact_sheet(two)  # volumes of different proportions
    kinds = [m["optics"]["modality"] for m in long.attrs["microscopes"]]
    shown = [axes.get_title().split("\n")[-1] for axes in figure.axes[:2]]
    assert shown == [MODALITIES[kind].label for kind in kinds]
    height, width = (np.ptp(figure.axes[1].images[0].get_extent()[i : i + 2]) for i in (2, 0))
    assert (height, width) == pytest.approx([16 * v for v in second_voxel(long)], rel=1e-6)


def second_voxel(store):
    return store.attrs["microscopes"][1]["voxel_size_um"][1:]


def test_validation_volumes_are_never_empty():
    ranges = Microscopes()
    emptied = [i for i in range(200) if drawn(i).content == "empty"]
    assert emptied
    for i in emptied:
        kept = draw_microscope(ranges, generator(3, "drawn", i), without_empty=True)
        assert kept.content == "full" and kept.photons >= 3


def test_finer_planes_are_sampled_and_finer_pixels_averaged():
    psf = np.random.default_rng(0).uniform(0, 1, (3, 3, 3)).astype(np.float32)
    psf /= psf.sum()
    structure = np.zeros((5 * 3 + 2, 4 * 2 + 2, 4 * 2 + 2), np.float32)
    structure[1 + 2 * 3 + 1, 1 + 4, 1 + 5] = 1  # the middle plane of image plane 2
    taken = form_image(
        structure,
        psf=psf,
        photons=1000,
        background_photons=0,
        camera=SimulatedCamera(offset=0, gain=1, read_noise=0),
        rng=seeded(0),
        finer=(3, 2, 2),
    )
    assert taken.object.shape == taken.images[0].shape == (5, 4, 4)
    where = np.unravel_index(taken.object.argmax(), taken.object.shape)
    assert where == (2, 2, 2) and np.count_nonzero(taken.object) == 1
    plane = np.zeros((8, 8))
    plane[3:6, 4:7] = psf[1]  # at the point's plane, pixel (4, 5)
    pixels = plane.reshape(4, 2, 4, 2).mean(axis=(1, 3))
    # The object's voxel is the mean of 12, the image's brightest voxel has all photons.
    expected = pixels * 1000 / pixels.max()
    assert taken.object.max() == pytest.approx(1000 / pixels.max() / 12, rel=1e-5)
    assert np.abs(taken.images[0][2] - expected).max() < 6 * 1000**0.5
    assert taken.images[0][[0, 1, 3, 4]].max() == 0  # the next planes are three object planes away
    with pytest.raises(ValueError, match="odd number of object planes"):
        form_image(
            structure,
            psf=psf,
            photons=1,
            background_photons=0,
            camera=SimulatedCamera(),
            rng=seeded(0),
            finer=(2, 2, 2),
        )


def test_an_empty_volume_holds_the_background_alone(many):
    microscope = next(m for m in many if m.content == "empty" and not m.camera.gain_spread)
    taken = take_volume(microscope, "spheres", shape=SHAPE, rng=seeded(1))
    camera = microscope.camera
    level = camera.gain * microscope.background_photons + camera.offset
    np.testing.assert_allclose(taken.object, level, rtol=1e-6)
    assert taken.image.mean() == pytest.approx(level, rel=0.1)


def test_a_wrong_width_is_that_of_the_assumed_psf(many):
    microscope = next(m for m in many if m.assumed_width > 1.15 and m.optics.modality == "confocal")
    right = assumed_psf(vars_of(microscope, assumed_width=1.0), (24, 48, 48))
    wide = assumed_psf(microscope, (24, 48, 48))
    _, y, x = np.divide(
        fwhm_um(wide.data, wide.voxel_size_um), fwhm_um(right.data, right.voxel_size_um)
    )
    assert (y, x) == pytest.approx((microscope.assumed_width,) * 2, rel=0.05)


def vars_of(microscope, **changes):
    return type(microscope)(**{**vars(microscope), **changes})


def test_a_pattern_is_the_same_in_every_plane():
    camera = PatternedCamera(
        offset=100, gain=2, read_noise=0.5, offset_spread=8, gain_spread=0.05, pattern_seed=4
    )
    photons = np.full((200, 40, 40), 50.0, np.float32)
    counts = camera.expose(photons, seeded(0))
    pattern = counts.mean(axis=0)
    spread = (8**2 + (0.05 * 2 * 50) ** 2) ** 0.5
    assert pattern.std() == pytest.approx(spread, rel=0.15)
    assert (
        np.corrcoef(pattern.ravel(), camera.expose(photons, seeded(1)).mean(axis=0).ravel())[0, 1]
        > 0.95
    )
    plain = PatternedCamera(offset=100, gain=2, read_noise=0.5)
    same = SimulatedCamera(offset=100, gain=2, read_noise=0.5)
    np.testing.assert_array_equal(plain.expose(photons, seeded(2)), same.expose(photons, seeded(2)))
