"""The PSF's files, and from a channel of the config to a PSF."""

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.files import read_record
from decon3d.optics.build import make_psf
from decon3d.optics.psf import (
    description,
    fingerprint,
    fwhm_um,
    half_width,
    is_compact,
    load_psf,
    normalised_psf,
    save_psf,
)
from decon3d.settings import Channel, Optics
from support.gaussians import gaussian

VOXEL = (0.2, 0.1, 0.1)
OPTICS = Optics(modality="confocal", numerical_aperture=1.2, immersion_index=1.333)


def test_width_of_a_gaussian_off_the_grid():
    data = gaussian((25, 25, 25), (12.4, 11.7, 12.0), (2.0, 1.2, 1.5))
    expected = [
        2.3548 * np.sqrt(s**2 + 1 / 12) * v for s, v in zip((2.0, 1.2, 1.5), VOXEL, strict=True)
    ]
    assert fwhm_um(data, VOXEL) == pytest.approx(expected, rel=0.01)


def test_files_round_trip(tmp_path):
    psf = make_psf(
        optics=OPTICS, channel=Channel(emission_um=0.525), voxel_size_um=VOXEL, key="psf"
    )
    save_psf(psf, tmp_path / "deep" / "psf.tif")
    again = load_psf(tmp_path / "deep" / "psf.tif")
    assert np.array_equal(again.data, psf.data)
    assert again.voxel_size_um == VOXEL
    assert fingerprint(again) == fingerprint(psf)
    record = read_record(tmp_path / "deep" / "psf.json")
    assert record == description(psf)
    assert record["source"] == "theory"
    assert record["excitation_um"] == pytest.approx(0.93 * 0.525)
    with tifffile.TiffFile(tmp_path / "deep" / "psf.tif") as tif:
        assert tif.imagej_metadata["spacing"] == 0.2
        assert tif.series[0].axes == "ZYX"


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    psf = normalised_psf(gaussian((5, 5, 5), (2, 2, 2), (1, 1, 1)), VOXEL, {})
    save_psf(psf, tmp_path / "psf.tif")
    other = normalised_psf(gaussian((5, 5, 5), (2, 2, 2), (1, 1, 2)), VOXEL, {})
    tifffile.imwrite(tmp_path / "psf.tif", other.data)
    with pytest.raises(UserError, match="fingerprint"):
        load_psf(tmp_path / "psf.tif")
    (tmp_path / "psf.json").unlink()
    with pytest.raises(UserError, match=r"psf\.json is missing"):
        load_psf(tmp_path / "psf.tif")


def test_fingerprint_sees_values_and_voxel_size():
    data = gaussian((5, 5, 5), (2, 2, 2), (1, 1, 1))
    prints = {
        fingerprint(normalised_psf(d, v, {}))
        for d, v in ((data, VOXEL), (data, (0.2, 0.1, 0.11)), (np.sqrt(data), VOXEL))
    }
    assert len(prints) == 3
    assert all(len(p) == 16 for p in prints)


def test_compactness():
    compact = normalised_psf(gaussian((13, 13, 13), (6, 6, 6), (1, 1, 1)), VOXEL, {})
    wide = make_psf(
        optics=Optics(modality="widefield", numerical_aperture=1.2, immersion_index=1.333),
        channel=Channel(emission_um=0.525),
        voxel_size_um=VOXEL,
        key="psf",
    )
    assert is_compact(compact)
    assert not is_compact(wide)
    assert half_width(compact) == (6, 6, 6)


def test_wrong_voxel_size_of_a_file_is_refused(tmp_path):
    path = tmp_path / "bead.tif"
    sigma = (2.0, 1.0, 1.0)  # 0.94 × 0.24 × 0.24 µm: what this confocal may show
    image = 1e6 * gaussian((31, 31, 31), (15, 15, 15), sigma)
    tifffile.imwrite(path, image.astype(np.float32))

    def make(voxel):
        psf = {"source": "file", "path": str(path), "voxel_size_um": voxel}
        channel = Channel(emission_um=0.525, psf=psf)
        return make_psf(optics=OPTICS, channel=channel, voxel_size_um=VOXEL, key="c.psf")

    assert make(VOXEL).record["source"] == "file"
    with pytest.raises(UserError, match=r"along Z.*c\.psf\.voxel_size_um"):
        make((0.05, 0.1, 0.1))
    assert any("wrong voxel size" in w for w in make((1.0, 0.1, 0.1)).record["warnings"])
