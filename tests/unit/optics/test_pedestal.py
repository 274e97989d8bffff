"""PSF files of an independent model, with and without a pedestal: all light and nothing else."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage, signal

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.errors import UserError
from decon3d.optics.build import make_psf
from decon3d.settings import Channel, Optics
from support.debye import debye_psf

VOXEL = (0.2, 0.1, 0.1)
WATER = {"numerical_aperture": 1.2, "immersion_index": 1.333, "model": "scalar"}
WIDEFIELD = Optics(modality="widefield", **WATER)
CONFOCAL = Optics(modality="confocal", pinhole_au=0.01, **WATER)
COLOURS = {"na": 1.2, "index": 1.333, "emission_um": 0.525}


@pytest.fixture(scope="module")
def cone():
    psf = debye_psf((31, 97, 97), VOXEL, **COLOURS)
    return 2e4 * psf / psf.max()


@pytest.fixture(scope="module")
def spot():
    psf = debye_psf((31, 65, 65), VOXEL, excitation_um=0.488, **COLOURS)
    return 2e4 * psf / psf.max()


@pytest.fixture
def make(tmp_path):
    def from_image(image, optics=WIDEFIELD, voxel=VOXEL, **options):
        path = tmp_path / "psf.tif"
        tifffile.imwrite(path, image.astype(np.float32), photometric="minisblack")
        psf = {"source": "file", "path": str(path), "voxel_size_um": voxel, **options}
        channel = Channel(emission_um=0.525, excitation_um=0.488, psf=psf)
        return make_psf(optics=optics, channel=channel, voxel_size_um=VOXEL, key="ch.psf")

    return from_image


@pytest.mark.parametrize(("level", "noisy"), [(0, False), (200, False), (200, True)])
def test_a_widefield_file_keeps_its_light(make, cone, level, noisy) -> None:
    """The outer eighth, which its cone reaches, would take a third of the sum."""
    image = cone + level
    if noisy:
        image = np.random.default_rng(1).poisson(image)
    psf = make(image, accept_pedestal=True)
    removed = (psf.record["pedestal"]["counts"] - level) * cone.size / cone.sum()
    assert removed == pytest.approx(0, abs=0.015)
    assert psf.record["warnings"] == []
    middle = tuple(n // 2 for n in cone.shape)
    truth = cone / cone.sum()
    assert psf.data.max() == pytest.approx(truth[middle], rel=0.02)
    inner = tuple(
        slice((n - m) // 2, (n + m) // 2) for n, m in zip(psf.data.shape, (31, 89, 89), strict=True)
    )
    difference = psf.data[inner] - truth[:, 4:93, 4:93]
    assert np.abs(difference).sum() < (0.2 if noisy else 0.02)


def test_a_cut_cone_is_told(make, cone) -> None:
    """A frame half as wide leaves a sixth of the light out; inside it the file stands as it is."""
    crop = cone[:, 24:73, 24:73]
    psf = make(crop)
    assert psf.record["support"]["beyond_frame"] == pytest.approx(
        1 - crop.sum() / cone.sum(), abs=0.01
    )
    assert any("cuts off" in w for w in psf.record["warnings"])
    assert psf.data.max() == pytest.approx(crop.max() / crop.sum(), rel=0.02)


def test_a_confocal_crop_is_continued(make, spot) -> None:
    crop = spot[8:-8, 26:-26, 26:-26]
    psf = make(crop, CONFOCAL)
    missing = 1 - crop.sum() / spot.sum()
    assert missing > 0.03
    assert psf.record["support"]["share_from_theory"] == pytest.approx(missing, abs=0.01)
    assert psf.data.max() == pytest.approx(spot.max() / spot.sum(), rel=0.01)


def test_the_given_pedestal_is_taken_and_compared(make, cone) -> None:
    image = cone + 100
    given = make(image, pedestal=100)
    assert given.record["pedestal"]["counts"] == 100 and given.record["warnings"] == []
    kept = make(image, pedestal="none")
    assert kept.record["pedestal"]["counts"] == 0
    assert any("`pedestal` is 0 counts" in w for w in kept.record["warnings"])


def test_a_file_without_a_dark_place_says_so(make, cone) -> None:
    psf = make(cone[:, 42:55, 42:55] + 20)
    assert psf.record["pedestal"]["counts"] == 0
    assert any("too small for a place without light" in w for w in psf.record["warnings"])


def test_a_cone_that_was_cut_off_is_told(make, cone) -> None:
    """As a program does that subtracts the edge's median."""
    level = np.median(cone[0])
    psf = make(np.clip(cone - 2 * level, 0, None))
    assert any("something may have been subtracted" in w for w in psf.record["warnings"])


def test_a_widefield_file_for_a_confocal_is_told(make, cone) -> None:
    psf = make(cone, CONFOCAL)
    assert any("optical sectioning is weaker than" in w for w in psf.record["warnings"])


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2)])
def test_a_centre_in_the_corner_is_told_by_its_name(make, cone, axes) -> None:
    with pytest.raises(UserError, match="fftshift"):
        make(np.fft.ifftshift(cone, axes=axes))


def test_a_widefield_file_restores_the_light(make, cone) -> None:
    """Balls in the middle of a stack that the file's own PSF blurred: all of their light."""
    rng = np.random.default_rng(0)
    truth = np.zeros((36, 120, 120))
    z, y, x = np.indices(truth.shape)
    for _ in range(8):
        place = rng.uniform((15, 45, 45), (21, 75, 75))
        ball = ((z - place[0]) * 2) ** 2 + (y - place[1]) ** 2 + (x - place[2]) ** 2 < 16
        truth[ball] += rng.uniform(2000, 20000)
    blurred = signal.fftconvolve(truth, cone / cone.sum(), mode="same")
    image = rng.poisson(np.clip(blurred, 0, None) + 10).astype(np.float32)
    restored = richardson_lucy(
        image,
        model=Blur(image.shape, psf=make(cone).data),
        background=10.0,
        iterations=25,
        initial=float(image.mean() - 10),
    )
    near = ndimage.binary_dilation(truth > 0, iterations=4)
    assert restored.sum() == pytest.approx(truth.sum(), rel=0.02)
    assert restored[near].sum() == pytest.approx(truth.sum(), rel=0.02)
