"""Wrong steps, exchanged axes and second beads are refused by name; right PSFs are not."""

from itertools import pairwise

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from decon3d.errors import UserError
from decon3d.optics.build import make_psf
from decon3d.optics.mismatch import find_mismatch
from decon3d.optics.resampling import resample
from decon3d.optics.theory import theoretical_psf
from decon3d.settings import Channel, Optics

VOXEL = (0.2, 0.1, 0.1)
WATER = Optics(modality="widefield", numerical_aperture=1.2, immersion_index=1.333, model="scalar")


def psf(voxel=VOXEL, shape=(41, 41, 41), **changes):
    optics = WATER.model_copy(update=changes)
    return theoretical_psf(optics=optics, emission_um=0.525, voxel_size_um=voxel, shape=shape)


@pytest.fixture(scope="module")
def theory():
    return psf()


def look(measured, theory, file_voxel=VOXEL):
    return find_mismatch(measured, theory, voxel_size_um=VOXEL, file_voxel_size_um=file_voxel)


@pytest.mark.parametrize(
    "changes",
    [
        {"numerical_aperture": 1.08},
        {"numerical_aperture": 1.3},
        {"sample_index": 1.38, "depth_um": 10.0},
        {"sample_index": 1.38, "depth_um": 35.0},
    ],
)
@pytest.mark.parametrize("bead", [0.0, 0.9])
def test_right_psfs_are_not_refused(theory, changes, bead) -> None:
    """Another aperture or depth, with and without a bead of 0.2 µm."""
    measured = psf(**changes)
    if bead:
        measured = ndimage.gaussian_filter(measured, (bead / 2, bead, bead))
    assert look(measured, theory) is None


@pytest.mark.parametrize("name", ["spherical", "astigmatism_0", "coma_x", "secondary_spherical"])
def test_aberrations_are_not_refused(theory, name) -> None:
    aberrations = WATER.aberrations.model_copy(update={name: 0.12})
    assert look(psf(aberrations=aberrations), theory) is None


@pytest.mark.parametrize("factor", [0.5, 1.3, 2.0])
def test_a_wrong_step_is_found_with_the_right_one(theory, factor) -> None:
    found = look(psf(voxel=(0.2 / factor, 0.1, 0.1)), theory, (0.2 * factor, 0.1, 0.1))
    assert found is not None
    told = float(found.text.split("voxels of ")[1].split(" µm")[0])
    assert told == pytest.approx(0.2, rel=0.05)


def widened(measured, sigma_um, step=0.2):
    return ndimage.gaussian_filter(measured, (sigma_um / step, sigma_um / 0.1, sigma_um / 0.1))


@pytest.mark.parametrize("sigma_um", [0.045, 0.06])
@pytest.mark.parametrize(
    ("factor", "refused"), [(0.77, False), (1.3, False), (1.5, True), (2, True)]
)
def test_what_a_bead_leaves_of_the_evidence_for_a_wrong_step(theory, sigma_um, factor, refused):
    """Beads of 0.2 and 0.27 µm. An aperture 10 % too low explains a step of 1.3, but not of 1.5."""
    step = 0.2 / factor  # of the theory's voxels that the bead was recorded with
    measured = widened(psf(voxel=(step, 0.1, 0.1)), sigma_um, step)
    found = look(measured, theory, (0.2 * factor, 0.1, 0.1))
    assert (found is not None) is refused
    if found is not None:
        told = float(found.text.split("voxels of ")[1].split(" µm")[0])
        assert told == pytest.approx(0.2, rel=0.1)
    else:
        assert look(widened(psf(numerical_aperture=1.08), sigma_um), theory) is None  # as good


@pytest.mark.parametrize("axes", [(1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("depth", [0.12, 0.2, 0.3])
def test_exchanged_axes_are_found_on_any_voxels(theory, axes, depth) -> None:
    """At 0.2 × 0.1 µm a transposed PSF is almost as long and wide, in µm, as it should be."""
    voxel = (depth, 0.1, 0.1)
    shape = (2 * round(4 / depth) + 1, 61, 61)
    stored = np.transpose(psf(voxel=voxel, shape=shape), axes)
    laid = resample(stored, voxel_size_um=voxel, target_voxel_size_um=VOXEL)
    found = look(np.clip(laid, 0, None), theory, voxel)
    assert found is not None and f"Z and {'ZYX'[axes[0]]} exchanged" in found.text


@pytest.mark.parametrize("shift", [(0, 3, 0), (0, 2, 2), (2, 0, 0), (1, 3, 1)])
def test_a_touching_bead_is_found(theory, shift) -> None:
    found = look(theory + 0.7 * np.roll(theory, shift, (0, 1, 2)), theory)
    assert found is not None and "two beads touch" in found.text
    listed = found.text.split("[")[1].split("]")[0]
    assert [float(n) for n in listed.split(",")] == pytest.approx(shift, abs=0.1)


def test_the_config_confirms_a_mismatch(theory, tmp_path) -> None:
    path = tmp_path / "psf.tif"
    tifffile.imwrite(path, (1e4 * theory / theory.max()).astype(np.float32))

    def make(**options):
        section = {"source": "file", "path": str(path), "voxel_size_um": (0.4, 0.1, 0.1), **options}
        channel = Channel(emission_um=0.525, psf=section)
        return make_psf(optics=WATER, channel=channel, voxel_size_um=VOXEL, key="ch.psf")

    with pytest.raises(UserError, match=r"0\.2\d* µm along Z.*ch\.psf\.accept_mismatch: true"):
        make()
    record = make(accept_mismatch=True).record
    assert any("contradicts the dataset's optics" in w for w in record["warnings"])
    widths = record["fwhm_to_theory"]
    assert widths[0] > 1.8 and all(a >= b for a, b in pairwise(widths))
