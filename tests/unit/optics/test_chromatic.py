"""Shifts between channels, from simulated beads that shine in both."""

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from decon3d.classical.operators import Blur
from decon3d.classical.richardson_lucy import richardson_lucy
from decon3d.errors import UserError
from decon3d.optics.build import make_psf
from decon3d.optics.chromatic import displaced, shift_between
from decon3d.optics.resampling import core_centroid
from decon3d.settings import Channel, Optics
from support.simulated_beads import write_beads

VOXEL = (0.2, 0.07, 0.07)
OPTICS = Optics(modality="confocal", numerical_aperture=1.1, immersion_index=1.333)
SHIFT = (0.62, -0.35, 1.4)
"""Of the second channel, in voxels (Z, Y, X)."""


def channel(psf=None, **options):
    found = {"source": "beads", **psf, **options} if psf else {"source": "theory"}
    return Channel(emission_um=0.525, psf=found)


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Beads of 0.05 µm in two channels, and one that shines in the second only."""
    path = tmp_path_factory.mktemp("beads") / "two.tif"
    bead = make_psf(optics=OPTICS, channel=channel(), voxel_size_um=VOXEL, key="k").data
    write_beads(path, bead, shift=SHIFT)
    return {"path": str(path), "bead_diameter_um": 0.05, "voxel_size_um": VOXEL}


def made(stack, **options):
    used = channel(stack, channel=1, reference_channel=0, **options)
    return make_psf(optics=OPTICS, channel=used, voxel_size_um=VOXEL, key="k")


def test_a_shift_is_found_to_a_twentieth_of_a_voxel_and_reported(stack):
    psf = made(stack)
    found = psf.record["chromatic"]
    assert np.divide(found["shift_um"], VOXEL) == pytest.approx(SHIFT, abs=0.05)
    assert found["beads"] == 11 and not found["undone"]
    assert (np.divide(found["error_um"], VOXEL) < 0.05).all()
    assert "the beads are shifted by +0.12" in psf.record["warnings"][-1]
    assert core_centroid(psf.data) == pytest.approx(np.array(psf.data.shape) // 2, abs=0.05)


def test_an_aligned_psf_lies_where_the_channel_does(stack):
    psf = made(stack, align=True)
    moved = np.subtract(core_centroid(psf.data), np.array(psf.data.shape) // 2)
    assert moved == pytest.approx(SHIFT, abs=0.06)
    assert psf.data.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert psf.record["chromatic"]["undone"] and "the beads are shifted" not in str(
        psf.record["warnings"]
    )


def test_channels_without_common_beads_are_not_aligned(stack, tmp_path):
    counts = tifffile.imread(stack["path"])
    counts[:, 0] = np.random.default_rng(2).poisson(5, counts[:, 0].shape) + 100
    tifffile.imwrite(tmp_path / "x.tif", counts, imagej=True, metadata={"axes": "ZCYX"})
    other = {**stack, "path": str(tmp_path / "x.tif")}
    with pytest.raises(
        UserError, match=r"k\.align: only 0 beads of .*x.tif can be seen in both channels 1 and 0"
    ):
        made(other, align=True)
    assert "so their shift is not known" in made(other).record["warnings"][-1]


def test_pairs_of_different_beads_do_not_count():
    rng = np.random.default_rng(3)
    reference = rng.uniform(0, 50, (40, 3))
    other = reference + (0.1, 0.02, -0.03) + 0.01 * rng.standard_normal((40, 3))
    other[:5] += (0.5, 0.2, 0.2)  # something else beside the bead
    found = shift_between(reference, rng.permutation(other[:35]), fwhm_um=(0.9, 0.3, 0.3))
    assert found.shift_um == pytest.approx((0.1, 0.02, -0.03), abs=0.01)
    assert 28 <= found.beads <= 31 and max(found.error_um) < 0.005
    assert shift_between(reference, reference + 20, fwhm_um=(0.1, 0.1, 0.1)) is None


def test_a_displaced_psf_keeps_its_light():
    point = np.zeros((9, 11, 11))
    point[4, 5, 5] = 1
    psf = ndimage.gaussian_filter(point, 1.0)
    for shift in ((0, 0, 0), (0.5, 0, -2.3), (-1, 1, 0)):
        moved = displaced(psf, shift)
        assert all(n % 2 for n in moved.shape)
        assert moved.sum() == pytest.approx(psf.sum(), rel=0.002)


def test_channels_restored_with_aligned_psfs_lie_on_each_other():
    point = np.zeros((11, 15, 15))
    point[5, 7, 7] = 1
    centred = ndimage.gaussian_filter(point, (1.5, 1.4, 1.4)).astype(np.float32)
    moved = displaced(centred, SHIFT).astype(np.float32)
    seen = np.zeros((24, 40, 40))
    seen[12, 20, 20] = seen[8, 28, 12] = 4000
    seen = ndimage.gaussian_filter(seen, (1.5, 1.4, 1.4))
    images = [seen, ndimage.shift(seen, SHIFT, order=5)]
    places = []
    for image, psf in zip(images, (centred, moved / moved.sum()), strict=True):
        counts = (np.clip(image, 0, None) + 10).astype(np.float32)
        model = Blur(counts.shape, psf=psf)
        found = richardson_lucy(
            counts,
            model=model,
            iterations=30,
            tv_weight=0.0,
            background=10.0,
            initial=float(image.mean()),
        )
        places.append(ndimage.center_of_mass(found[:, 10:30, 14:32] * (found[:, 10:30, 14:32] > 5)))
    assert places[1] == pytest.approx(places[0], abs=0.05)
