"""A network that was trained for other data is said to be; a second step's input is clipped."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import zarr

from decon3d.files import write_json
from decon3d.networks.description import MicroscopeRange
from decon3d.report.recommendation import recommend
from decon3d.restoration import arrays
from decon3d.restoration.bundle_checks import training_mismatches, training_warnings
from decon3d.restoration.restorers import State
from support.records import bundle_info
from support.report_rows import settings, table
from support.volumes import own_volume, run_ingest

FITTING = {"voxel_size_um": (0.2, 0.1, 0.1), "psf_fwhm_um": (0.6, 0.25, 0.25), "noise": 0.015}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"voxel_size_um": (0.218, 0.1, 0.092)}, []),
        (
            {"voxel_size_um": (0.2, 0.1, 0.112)},
            [
                "the voxels are 0.2 × 0.1 × 0.112 µm wide (Z × Y × X), but the network was trained for 0.2 × 0.1 × 0.1 µm"
            ],
        ),
        (
            {"psf_fwhm_um": (0.5, 0.25, 0.25)},
            [
                "the point spread function is 0.5 × 0.25 × 0.25 µm wide (Z × Y × X), but the network was trained for 0.6 × 0.25 × 0.25 µm"
            ],
        ),
        ({"noise": 0.0215}, []),
        (
            {"noise": 0.05},
            [
                "there is more noise than the network was trained on: 5.00% of the brightness instead of 1.00% to 2.00%"
            ],
        ),
        (
            {"noise": 0.0},
            [
                "there is less noise than the network was trained on: 0.00% of the brightness instead of 1.00% to 2.00%"
            ],
        ),
    ],
)
def test_what_differs_by_more_than_a_tenth_is_said(change, said):
    assert training_mismatches(bundle_info(), **{**FITTING, **change}) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"voxel_size_um": (0.3, 0.1, 0.1), "psf_fwhm_um": (0.9, 0.3, 0.3)}, []),
        (
            {"psf_fwhm_um": (0.6, 0.25, 0.6)},
            [
                "the point spread function is 6 voxels wide laterally, but the network was trained for 1 to 5"
            ],
        ),
        (
            {"psf_fwhm_um": (0.6, 0.25, 0.08)},  # Y is within
            [
                "the point spread function is 0.8 voxels wide laterally, but the network was trained for 1 to 5"
            ],
        ),
        (
            {"voxel_size_um": (0.7, 0.1, 0.1), "psf_fwhm_um": (0.5, 0.25, 0.25)},
            [
                "the point spread function is 0.714 voxels wide axially, but the network was trained for 1 to 8",
                "the voxels are 7 times as large along Z as along Y, but the network was trained for 1 to 6",
            ],
        ),
        (
            {"noise": 0.05},
            [
                "there is more noise than the network was trained on: 5.00% of the brightness instead of 1.00% to 2.00%"
            ],
        ),
    ],
)
def test_a_network_for_many_microscopes_has_ranges(change, said):
    many = MicroscopeRange({"widefield": 2}, (1.0, 8.0), (1.0, 5.0), (1.0, 6.0))
    info = bundle_info()
    info = replace(info, trained_on=replace(info.trained_on, microscopes=many))
    assert training_mismatches(info, **{**FITTING, **change}) == said


WITHIN = {
    "voxel_size_um": (0.3, 0.1, 0.1),
    "psf_fwhm_um": (0.9, 0.3, 0.3),
    "noise": 0.015,
    "optics": {"modality": "confocal", "numerical_aperture": 1.2},
    "photons": 100.0,
}
OUTSIDE = {
    "modality": (
        {"optics": {"modality": "sted", "numerical_aperture": 1.2}},
        "the microscope is of the type sted, but the network was trained for confocal, widefield",
    ),
    "aperture": (
        {"optics": {"modality": "confocal", "numerical_aperture": 0.2}},
        "the numerical aperture is 0.2, but the network was trained for 0.4 to 1.42",
    ),
    "sampling": (
        {"psf_fwhm_um": (0.9, 0.8, 0.8)},
        "the point spread function is 8 voxels wide laterally, but the network was trained for 1 to 5",
    ),
    "axial_sampling": (
        {"psf_fwhm_um": (4.0, 0.3, 0.3)},
        "the point spread function is 13.3 voxels wide axially, but the network was trained for 1 to 8",
    ),
    "anisotropy": (
        {"voxel_size_um": (0.8, 0.1, 0.1)},
        "the voxels are 8 times as large along Z as along Y, but the network was trained for 1 to 6",
    ),
    "dim": (
        {"photons": 1.0},
        "the brightest structure has 1 photons, but the network was trained for 3 to 3e+03",
    ),
    "bright": (
        {"photons": 20_000.0},
        "the brightest structure has 2e+04 photons, but the network was trained for 3 to 3e+03",
    ),
    "noise": (
        {"noise": 0.05},
        "there is more noise than the network was trained on: 5.00% of the brightness instead of 1.00% to 2.00%",
    ),
}


def many_microscopes():
    ranges = ((1.0, 8.0), (1.0, 5.0), (1.0, 6.0), (0.4, 1.42))
    many = MicroscopeRange({"confocal": 3, "widefield": 2}, *ranges)
    info = bundle_info()
    trained_on = replace(info.trained_on, microscopes=many, made_as={"photons": [3.0, 3000.0]})
    return replace(info, trained_on=trained_on)


@pytest.mark.parametrize("cause", OUTSIDE)
def test_every_limit_of_a_network_for_many_microscopes_excludes_it(cause):
    change, said = OUTSIDE[cause]
    assert training_mismatches(many_microscopes(), **WITHIN) == []
    found = training_mismatches(many_microscopes(), **{**WITHIN, **change})
    assert found == [said]
    methods = {"rl": {}, "rl_residual": {"training": {}}}
    base = np.linspace(20, 30, 8)
    ahead = table({"input": list(base - 4), "rl": list(base), "rl_residual": list(base + 1)})
    (fitting,) = recommend(ahead, settings=settings(methods))
    assert fitting.method == "rl_residual"
    (outside,) = recommend(ahead, settings=settings(methods), misfits={"rl_residual": found})
    assert outside.method == "rl" and "was trained on different data" in outside.sentence
    assert [c.name for c in outside.vetoes("rl_residual")] == ["range"]


def test_what_is_not_known_of_a_microscope_is_not_compared():
    unknown = {**WITHIN, "optics": None, "photons": None}
    assert training_mismatches(many_microscopes(), **unknown) == []


def test_the_optics_and_the_dose_come_from_the_records(tmp_path):
    """As the plan compares them: the PSF's record, the prepared state, the bundle."""
    write_json(tmp_path / "model.json", asdict(many_microscopes()))
    optics = {"modality": "sted", "numerical_aperture": 1.2}
    write_json(tmp_path / "psf.json", {"fwhm_um": [0.9, 0.3, 0.3], "optics": optics})
    values = np.random.default_rng(0).normal(100, 2, (4, 8, 8)).astype(np.float32)
    store = tmp_path / "v.ome.zarr"
    own_volume(store, values, chunk=(4, 8, 8), voxel_size_um=(0.3, 0.1, 0.1), channel="gfp")
    record = run_ingest(store, tmp_path, channels={"gfp": 0})
    state = State("m", (0, 0, 0), (1, 1, 1), False, 4.0, {"scale": 150.0, "dose": 20_000.0})
    found = training_warnings(
        method="rl_residual",
        records=[record],
        channels={"gfp": 0},
        states={"gfp": state},
        bundles=[tmp_path / "model.json"],
        psfs=[tmp_path / "psf.tif"],
    )
    assert found == {"v": [OUTSIDE["modality"][1], OUTSIDE["bright"][1]]}


def test_negative_counts_of_a_restored_volume_are_read_as_zero(tmp_path):
    values = np.linspace(-50, 200, 4 * 8 * 8, dtype=np.float32).reshape(4, 8, 8)
    store = tmp_path / "first.ome.zarr"
    own_volume(store, values, chunk=(4, 8, 8), voxel_size_um=(0.2, 0.1, 0.1), channel="gfp")
    record = run_ingest(store, tmp_path, channels={"gfp": 0}, clip_at_zero=True)
    read = record.open().read(0, 0, (slice(None), slice(None), slice(None)))
    assert np.array_equal(read, np.maximum(values, 0))
    assert record.histogram(0).start == 0


def test_the_second_step_sees_what_the_first_makes_of_the_pairs(tmp_path, monkeypatch):
    class Brighter:
        def restore(self, block, origin, inner):
            return 2 * block[inner].astype(np.float32) - 100

    monkeypatch.setattr(arrays, "open_restorer", lambda state, **_: Brighter())
    image = np.random.default_rng(0).uniform(0, 200, (2, 4, 6, 6)).astype(np.float32)
    group = zarr.create_group(tmp_path / "val.zarr", attributes={"photons": [1, 2]})
    group["image"], group["object"] = image, image + 1
    arrays.restore_pairs(
        tmp_path / "val.zarr",
        tmp_path / "after.zarr",
        camera_offset=0.0,
        gpus=0,
        threads=1,
        prepare=lambda *_: State("m", (0, 0, 0), (1, 1, 1), True, 4.0, {}),
        name="denoised",
    )
    made = zarr.open_group(tmp_path / "after.zarr", mode="r")
    assert np.allclose(made["image"][:], np.maximum(2 * image - 100, 0))
    assert np.array_equal(made["object"][:], image + 1)
    assert {"photons": [1, 2], "source": "denoised"}.items() <= made.attrs.asdict().items()
