"""PSF files as users have them: with a pedestal, a second bead, on another grid, broken."""

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.optics.measured import psf_from_file
from decon3d.optics.psf import fwhm_um
from support.gaussians import gaussian
from support.volumes import own_volume

VOXEL = (0.2, 0.1, 0.1)
SIGMA = (2.5, 1.5, 1.5)
SHAPE = (33, 48, 49)


def bead(centre=(16.3, 22.7, 24.2), height=2000.0, noise=4.0, sigma=SIGMA, shape=SHAPE):
    image = gaussian(shape, centre, sigma)
    image *= height / image.max()
    return image + np.random.default_rng(1).normal(0, noise, shape)


def make(tmp_path, image, *, voxel=VOXEL, target=(0.25, 0.1, 0.1), **options):
    path = tmp_path / "bead.tif"
    tifffile.imwrite(path, image.astype(np.float32), photometric="minisblack")
    return psf_from_file(
        path, voxel_size_um=voxel, target_voxel_size_um=target, key="ch.psf", **options
    )


def expected_width(target=(0.25, 0.1, 0.1)):
    return [
        2.3548 * np.sqrt((s * v) ** 2 + max(v, t) ** 2 / 12)
        for s, v, t in zip(SIGMA, VOXEL, target, strict=True)
    ]


def test_one_bead(tmp_path):
    psf = make(tmp_path, bead())
    assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-5)
    assert all(n % 2 for n in psf.data.shape)
    assert np.unravel_index(psf.data.argmax(), psf.data.shape) == tuple(
        n // 2 for n in psf.data.shape
    )
    assert fwhm_um(psf.data, psf.voxel_size_um) == pytest.approx(expected_width(), rel=0.03)
    assert psf.record["shift_voxels"] == pytest.approx([-0.3, 0.8, -0.2], abs=0.1)


def test_an_ome_zarr_gives_the_psf_of_the_same_tiff(tmp_path):
    image = bead().astype(np.float32)
    own_volume(tmp_path / "b.zarr", image, chunk=(8, 48, 49), voxel_size_um=VOXEL)
    found = psf_from_file(tmp_path / "b.zarr", target_voxel_size_um=(0.25, 0.1, 0.1))
    assert np.array_equal(found.data, make(tmp_path, image).data)
    assert found.record["file"]["path"].endswith("b.zarr")


def test_pedestal_is_named_and_removed_only_when_confirmed(tmp_path):
    plain = make(tmp_path, bead())
    image = bead() + 500
    with pytest.raises(UserError, match=r"ch\.psf\.accept_pedestal: true"):
        make(tmp_path, image)
    psf = make(tmp_path, image, accept_pedestal=True)
    assert psf.record["pedestal"]["counts"] == pytest.approx(500, abs=0.02)
    share = 500 * image.size / image.sum()
    assert psf.record["pedestal"]["share_of_sum_removed"] == pytest.approx(share, rel=2e-3)
    assert psf.data.shape == plain.data.shape
    assert np.abs(psf.data - plain.data).max() < 2e-3 * plain.data.max()


def test_second_bead_is_removed_and_named(tmp_path):
    alone = make(tmp_path, bead())
    image = bead() + bead((14, 40, 38), height=700, noise=0)
    psf = make(tmp_path, image)
    (other,) = psf.record["other_beads_removed"]
    assert other["voxel"] == pytest.approx([14, 40, 38], abs=1)
    assert fwhm_um(psf.data, psf.voxel_size_um) == pytest.approx(
        fwhm_um(alone.data, alone.voxel_size_um), rel=0.01
    )
    assert psf.data.shape == pytest.approx(alone.data.shape, abs=2)


def test_single_bad_voxels_are_mended(tmp_path):
    image = bead()
    image[5, 5, 5] = 60000
    image[16, 30, 30] = np.nan
    psf = make(tmp_path, image)
    assert (psf.record["hot_voxels_mended"], psf.record["nan_voxels_mended"]) == (1, 1)
    assert fwhm_um(psf.data, psf.voxel_size_um) == pytest.approx(expected_width(), rel=0.03)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (bead() + bead((16, 29, 24), height=1500, noise=0), "too close to separate two beads"),
        (bead(centre=(16, 0.4, 24)), "cut off by the edge of the image along Y"),
        (np.full(SHAPE, np.nan), "NaN"),
        (np.zeros(SHAPE), "all voxels are 0"),
        (bead(height=0.1), "no bead is above the noise"),
        (np.minimum(bead(), 900), "saturated"),
        (bead()[16], "no Z stack"),
        (bead().transpose(1, 0, 2), "longest along Y"),
        (bead() - bead(height=1000, sigma=(5, 3, 3)), "negative lobes"),
    ],
)
def test_unusable_files_are_refused(tmp_path, image, message):
    with pytest.raises(UserError, match=message):
        make(tmp_path, image, voxel=(0.1, 0.1, 0.1) if "longest" in message else VOXEL)


def test_voxel_size_from_imagej_and_ome(tmp_path):
    image = bead().astype(np.float32)
    for name, options in {
        "imagej.tif": {
            "imagej": True,
            "resolution": (1 / 0.1, 1 / 0.1),
            "metadata": {"axes": "ZYX", "spacing": 0.2, "unit": "um"},
        },
        "ome.tif": {
            "ome": True,
            "metadata": {
                "axes": "ZYX",
                "PhysicalSizeZ": 200,
                "PhysicalSizeZUnit": "nm",
                "PhysicalSizeY": 0.1,
                "PhysicalSizeX": 0.1,
            },
        },
    }.items():
        tifffile.imwrite(tmp_path / name, image, **options)
        psf = psf_from_file(tmp_path / name, target_voxel_size_um=VOXEL)
        assert psf.record["file"]["voxel_size_um"] == pytest.approx(VOXEL, rel=1e-5)
    odd = psf_from_file(
        tmp_path / "ome.tif", voxel_size_um=(0.25, 0.1, 0.1), target_voxel_size_um=VOXEL
    )
    assert any("file states [0.2, 0.1, 0.1]" in text for text in odd.record["warnings"])
    tifffile.imwrite(tmp_path / "bare.tif", image)
    with pytest.raises(UserError, match=r"psf\.voxel_size_um is missing"):
        psf_from_file(tmp_path / "bare.tif", target_voxel_size_um=VOXEL)


def test_light_sheet_file(reference_data):
    """FWHM within 3 % of Gaussians fitted to the raw file (3D, ±12 × ±7 × ±7 voxels)."""
    psf = psf_from_file(
        reference_data / "lightsheet" / "psf.tif",
        voxel_size_um=(0.1, 0.1019, 0.1019),
        target_voxel_size_um=(0.157, 0.1019, 0.1019),
        accept_pedestal=True,
    )
    assert psf.record["pedestal"]["share_of_sum_removed"] == pytest.approx(0.99, abs=0.005)
    assert fwhm_um(psf.data, psf.voxel_size_um) == pytest.approx((0.7005, 0.3106, 0.3083), rel=0.03)
