"""Measured PSFs that are not what the config says: refused by name, or told, never silent."""

import re

import numpy as np
import pytest
import tifffile

from decon3d.errors import UserError
from decon3d.optics.build import make_psf
from decon3d.optics.psf import fwhm_um
from decon3d.optics.theory import theoretical_psf
from decon3d.report.run_status import psf_cards
from decon3d.settings import Channel, Optics, load_settings
from support.configs import simulated_dataset

LATTICE = Optics(
    modality="light_sheet", numerical_aperture=1.1, immersion_index=1.333, sheet_thickness_um=0.8
)
FITTED_UM = (0.7005, 0.3106, 0.3083)
"""Gaussians fitted to the raw light-sheet PSF (3D, ±12 × ±7 × ±7 voxels)."""


@pytest.fixture
def raw(reference_data):
    return tifffile.imread(reference_data / "lightsheet" / "psf.tif").astype(np.float32)


@pytest.fixture
def make(tmp_path):
    def from_image(image, *, voxel=(0.1, 0.1019, 0.1019), accept=True, optics=LATTICE):
        path = tmp_path / "bead.tif"
        tifffile.imwrite(path, image.astype(np.float32), photometric="minisblack")
        psf = {
            "source": "file",
            "path": str(path),
            "voxel_size_um": voxel,
            "accept_pedestal": accept,
        }
        return make_psf(
            optics=optics,
            channel=Channel(emission_um=0.525, psf=psf),
            voxel_size_um=(0.157, 0.1019, 0.1019),
            key="ch.psf",
        )

    return from_image


def second_bead(image, shift, height):
    return image + height * np.roll(image - 142, shift, axis=(0, 1, 2))


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image + 500,
        lambda image: second_bead(image, (8, -40, 30), 0.6),
        lambda image: second_bead(image, (0, -35, 0), 1.2),
        lambda image: image[:60, 1:, :127],
        lambda image: image[1:, :, 2:],
        lambda image: image[::-1],
        lambda image: image[:, :, ::-1],
        lambda image: image.transpose(0, 2, 1),
    ],
    ids=[
        "plain",
        "pedestal",
        "second",
        "brighter",
        "even",
        "odd",
        "mirror_z",
        "mirror_x",
        "swap_xy",
    ],
)
def test_light_sheet_file_is_mended_with_its_width(raw, make, change):
    psf = make(change(raw))
    assert fwhm_um(psf.data, psf.voxel_size_um) == pytest.approx(FITTED_UM, rel=0.03)
    assert psf.record["pedestal"]["share_of_sum_removed"] > 0.95
    assert psf.record["warnings"] == []
    assert abs(psf.record["axial_asymmetry"]) < 0.05  # so that a mirrored one is the same


def test_second_bead_is_in_the_record(raw, make):
    (other,) = make(second_bead(raw, (8, -40, 30), 0.6)).record["other_beads_removed"]
    assert other["voxel"] == pytest.approx([38, 31, 94], abs=1)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda image: image, {"accept": False}, r"99\.2% of the file's sum is a pedestal"),
        (lambda image: second_bead(image, (0, 12, 0), 0.6), {}, "too close to separate two beads"),
        (lambda image: image.transpose(1, 0, 2), {}, "longest along Y.*transposed"),
        (lambda image: image.transpose(2, 1, 0), {}, "longest along X.*transposed"),
        (lambda image: image, {"voxel": (0.05, 0.1019, 0.1019)}, r"along Z.*check ch\.psf\.voxel"),
        (lambda image: image * np.nan, {}, "NaN"),
        (lambda image: image * 0, {}, "all voxels are 0"),
        (lambda image: image.max() - image, {}, "no bead is above the noise"),
    ],
)
def test_light_sheet_file_is_refused_by_name(raw, make, change, options, message):
    with pytest.raises(UserError, match=message):
        make(change(raw), **options)


@pytest.mark.parametrize("factor", [0.5, 2.0, 3.0])
def test_a_far_wrong_step_is_refused_with_the_right_one(raw, make, factor):
    with pytest.raises(UserError, match=r"psf\.accept_mismatch: true") as refusal:
        make(raw, voxel=(0.1 * factor, 0.1019, 0.1019))
    fitting = re.search(r"voxels of ([\d.]+) µm along Z", str(refusal.value))
    assert fitting is not None and float(fitting[1]) == pytest.approx(0.1, rel=0.2)


@pytest.mark.parametrize("factor", [0.75, 1.25, 1.5])
def test_wrong_step_is_told_with_the_right_one(raw, make, factor):
    warnings = make(raw, voxel=(0.1 * factor, 0.1019, 0.1019)).record["warnings"]
    (told,) = [w for w in warnings if "would match" in w]
    fitting = float(told.split("wrong voxel size of the file (")[1].split(" µm")[0])
    assert fitting == pytest.approx(0.1, rel=0.06)


def test_a_published_psf_is_used_at_its_own_voxels_only(reference_data):
    """EPFL's bead, sampled down by 2 from 0.16 × 0.0645 µm; at those, it is half as wide as light."""
    optics = Optics(modality="widefield", numerical_aperture=1.4, immersion_index=1.515)

    def used(voxel):
        path = reference_data / "bead_epfl" / "psf.tif"
        section = {"source": "file", "path": str(path), "voxel_size_um": voxel}
        channel = Channel(emission_um=0.53, psf=section)
        return make_psf(optics=optics, channel=channel, voxel_size_um=voxel, key="ch.psf").record

    assert used((0.32, 0.129, 0.129))["fwhm_to_theory"] == pytest.approx([1, 0.83, 0.83], abs=0.03)
    with pytest.raises(
        UserError, match=r"voxels of 0\.30\d µm along Z instead of 0\.16 would match"
    ):
        used((0.16, 0.0645, 0.0645))


def test_other_oddities_are_told(raw, make):
    assert "background is negative" in make(raw - 400).record["warnings"][0]
    assert "as wide along Y" in make(second_bead(raw, (0, 4, 0), 0.6)).record["warnings"][0]
    assert "would match" in make(raw, voxel=(0.1, 0.15, 0.15)).record["warnings"][0]


def test_mirrored_bead_is_told_where_theory_leans(make):
    deep = Optics(
        modality="widefield",
        numerical_aperture=1.2,
        immersion_index=1.333,
        sample_index=1.4,
        depth_um=6,
    )
    voxel = (0.157, 0.1019, 0.1019)
    bead = theoretical_psf(optics=deep, emission_um=0.525, voxel_size_um=voxel, shape=(61, 61, 61))
    bead = 1e5 * bead / bead.max()
    plain, mirrored = (make(b, voxel=voxel, optics=deep).record for b in (bead, bead[::-1]))
    assert not [w for w in plain["warnings"] if "along Z" in w]
    assert plain["axial_asymmetry"] * mirrored["axial_asymmetry"] < 0
    assert any("mirrored along Z" in w for w in mirrored["warnings"])
    matched = deep.model_copy(update={"sample_index": None})
    told = make(bead, voxel=voxel, optics=matched).record["warnings"]
    assert any("do not explain" in w for w in told)


def test_warnings_reach_the_page(tmp_path):
    config = {"datasets": {"d": simulated_dataset()}, "methods": {"rl": {}}}
    folder = tmp_path / "results" / "d" / "psf" / "gfp"
    folder.mkdir(parents=True)
    (folder / "psf.json").write_text('{"warnings": ["a wrong step"], "source": "file"}')
    (card,) = psf_cards(tmp_path, dataset="d", settings=load_settings(config))
    assert card["warnings"] == ["a wrong step"]
