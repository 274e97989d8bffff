"""Does the PSF fit: too wide is refuted by sharp images, too narrow by small objects only."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from decon3d import paths
from decon3d.classical.operators import Blur
from decon3d.evaluation.psf_fit import PsfFit, check_psf
from decon3d.evaluation.psf_sharpness import SIGNIFICANT, sharper_than, stretched
from decon3d.evaluation.psf_spots import measure_spots
from decon3d.optics.psf import Psf, normalised_psf, save_psf
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.ellipsoids import ball, draw_ellipsoids
from decon3d.phantoms.grids import Grid
from decon3d.phantoms.imaging import SimulatedCamera, form_image, margins, simulate
from decon3d.report.run_status import psf_cards
from decon3d.settings import Optics
from support.report_tree import make_settings

VOXEL = (0.2, 0.08, 0.08)
CAMERA = SimulatedCamera(offset=100, gain=2.0, read_noise=1.0, bits=16)
KNOWN = {"dark_level": 98.0, "gain": 2.0}


@cache
def right_psf() -> Psf:
    optics = Optics(modality="confocal", numerical_aperture=1.3, immersion_index=1.515)
    data = theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=VOXEL)
    return normalised_psf(data, VOXEL, {})


@cache
def spots(diameter_um: float = 0.08) -> np.ndarray:
    """Balls of one size in cells of 16 × 16 × 16 voxels, 300 photons at the peak."""
    rng = np.random.default_rng(1)
    around = margins(right_psf().data)
    shape = np.array((32, 64, 64)) + 2 * np.array(around)
    balls = [
        ball(
            # On voxels: drawing and the PSF both average over voxels, a camera does it once.
            (np.array(place) * 16 + 8.5 + rng.integers(-2, 3, 3) + around) * VOXEL,
            diameter_um / 2,
            brightness=rng.uniform(0.5, 1),
        )
        for place in np.ndindex(2, 4, 4)
    ]
    z, y, x = (int(n) for n in shape)
    drawn = draw_ellipsoids(balls, Grid((z, y, x), VOXEL, 0.08), overlap="sum")
    return form_image(
        drawn, psf=right_psf().data, photons=300, background_photons=20, camera=CAMERA, rng=rng
    ).images[0]


@cache
def network() -> np.ndarray:
    return simulate(
        "er_network",
        shape=(16, 40, 40),
        psf=right_psf().data,
        voxel_size_um=VOXEL,
        photons=300,
        background_photons=30,
        camera=CAMERA,
        rng=np.random.default_rng(1),
    ).images[0]


@cache
def fit_of_network(width: float) -> PsfFit:
    psf = right_psf() if width == 1 else stretched(right_psf(), width, width)
    return check_psf([network()], psf=psf, **KNOWN)


def test_spots_are_as_wide_as_the_right_psf_makes_them() -> None:
    found = measure_spots([spots()], psf=right_psf(), bead_um=0.08)
    assert found is not None and found.count >= 10
    assert found.lateral[0] == pytest.approx(1, abs=0.01)
    assert found.axial[0] == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize(("width", "verdict"), [(0.8, "too narrow"), (1.25, "too wide")])
def test_spots_tell_a_psf_that_is_25_percent_off(width: float, verdict: str) -> None:
    psf = stretched(right_psf(), width, width)
    found = check_psf([spots()], psf=psf, dark_level=98.0, gain=None)
    assert found.verdict == verdict
    assert found.width is not None and found.width[0] == pytest.approx(1 / width, abs=0.07)


def test_spheres_of_one_size_do_not_make_the_psf_too_narrow() -> None:
    large = spots(0.35)
    undeclared = check_psf([large], psf=right_psf(), dark_level=98.0, gain=None)
    assert undeclared.spots is not None and undeclared.spots.lateral[0] > 1.1
    assert undeclared.verdict == "cannot tell"
    declared = check_psf([large], psf=right_psf(), dark_level=98.0, gain=None, bead_um=0.35)
    assert declared.too_narrow is False


def test_an_image_is_sharper_than_a_psf_that_is_too_wide_and_not_than_the_right_one() -> None:
    assert fit_of_network(1.25).verdict == "too wide"
    width = fit_of_network(1.25).width
    assert width is not None and 0.7 < width[0] < 0.9
    right = fit_of_network(1.0)
    assert right.too_wide is None  # not refuted, which is no proof
    assert right.sharpness is not None and right.sharpness < SIGNIFICANT
    assert right.verdict == "cannot tell"


def test_expected_counts_of_an_object_are_never_sharper_than_its_psf() -> None:
    # Without noise in the judging half, any object ⊗ PSF has a product ≥ 0 with the pattern.
    rng = np.random.default_rng(2)
    points = np.zeros((40, 60, 60), np.float32)
    points[tuple(rng.integers(8, n - 8, 30) for n in points.shape)] = 3e4
    psf = normalised_psf(right_psf().data[13:24, 12:29, 12:29], VOXEL, {})
    model = Blur((30, 44, 44), psf=psf.data)
    expected = model.forward(points + 5)
    noisy = rng.poisson(expected).astype(np.float32)
    found = sharper_than([(noisy, expected, None)], psf=psf)
    assert found.by_noise < SIGNIFICANT


def test_one_hot_pixel_is_no_evidence() -> None:
    flat = np.random.default_rng(3).poisson(50, (16, 32, 32)) * 2.0 + 98
    flat[8, 16, 16] = 4000
    found = check_psf([flat], psf=right_psf(), **KNOWN)
    assert found.verdict == "cannot tell"


@pytest.mark.parametrize(
    ("known", "words"),
    [({"gain": None}, "gain"), ({"gain": 2.0, "correlation": 0.3}, "correlated")],
)
def test_what_is_not_tested_is_said(known: dict, words: str) -> None:
    found = check_psf([network()], psf=right_psf(), dark_level=98.0, **known)
    assert (found.verdict, found.sharpness) == ("cannot tell", None)
    assert words in found.text


@pytest.mark.parametrize(
    "block",
    [
        np.full((1, 40, 40), 200.0),
        np.full((9, 12, 6), 98.0),
        np.full((9, 20, 20), 0.0),
        np.full((9, 20, 20), np.nan),
    ],
    ids=["one plane", "small", "below the dark level", "no data"],
)
def test_blocks_without_evidence_are_no_error(block: np.ndarray) -> None:
    assert check_psf([block], psf=right_psf(), **KNOWN).verdict == "cannot tell"
    assert check_psf([], psf=right_psf(), field=block, **KNOWN).verdict == "cannot tell"


def test_missing_and_saturated_voxels_are_left_out() -> None:
    damaged = network().astype(np.float32)
    damaged[4:6] = np.nan
    damaged[10, 20, 20:30] = 65535
    wide = stretched(right_psf(), 1.25, 1.25)
    assert check_psf([damaged], psf=wide, saturation=65535, **KNOWN).verdict == "too wide"


def test_the_page_warns_of_a_psf_that_does_not_fit(tmp_path: Path) -> None:
    for name in ("cell.tif", "truth.tif"):
        (tmp_path / name).touch()
    settings = make_settings(tmp_path)
    save_psf(right_psf(), tmp_path / paths.psf("demo", "signal"))
    found = check_psf([spots()], psf=stretched(right_psf(), 1.25, 1.25), dark_level=98.0, gain=None)
    found.save(tmp_path / paths.psf_fit("demo", "signal"))
    (card,) = psf_cards(tmp_path, dataset="demo", settings=settings)
    assert [w for w in card["warnings"] if "too wide" in w]
    assert ("fit_to_the_data.verdict", "too wide") in card["rows"]
