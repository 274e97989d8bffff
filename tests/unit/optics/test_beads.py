"""Bead stacks whose beads and PSF are known: which are used, where they lie, what comes out."""

import numpy as np
import pytest
import tifffile
from scipy import fft, signal

from decon3d.errors import UserError
from decon3d.optics.ball import FWHM_OF_SIGMA
from decon3d.optics.bead_average import average_beads
from decon3d.optics.bead_detection import Candidate
from decon3d.optics.bead_field import asymmetry, field_variation
from decon3d.optics.beads import psf_from_beads
from decon3d.optics.build import make_psf
from decon3d.optics.psf import fwhm_um, load_psf, normalised_psf, save_psf
from decon3d.report.beads import draw_beads
from decon3d.settings import Channel, Optics
from support.gaussians import gaussian

VOXEL = (0.15, 0.06, 0.06)
FWHM = (0.6, 0.25, 0.22)
SIGMA = tuple(f / FWHM_OF_SIGMA / v for f, v in zip(FWHM, VOXEL, strict=True))
DIAMETER = 0.2
SHAPE = (41, 166, 136)
FULL = 4095
NOT_USED = {
    0: "clipped",
    1: "clipped",
    2: "clipped",
    5: "dim",
    7: "saturated",
    10: "overlapping",
    12: "odd",
    15: "off_plane",
    20: "overlapping",
}


def beads_through(psf_sigma, places, heights, shape=SHAPE):
    """Balls seen through a Gaussian, averaged over voxels, by their transfer functions."""
    large = [n + 40 for n in shape]  # nothing wraps into the stack
    k = np.meshgrid(
        *(np.fft.fftfreq(n) for n in large[:2]),
        np.fft.rfftfreq(large[2]),
        indexing="ij",
        sparse=True,
    )
    u = np.pi * DIAMETER * np.sqrt(sum((f / v) ** 2 for f, v in zip(k, VOXEL, strict=True)))
    u[0, 0, 0] = 1
    seen = 3 * (np.sin(u) - u * np.cos(u)) / u**3
    seen[0, 0, 0] = 1
    for f, s in zip(k, psf_sigma, strict=True):
        seen = seen * np.exp(-2 * (np.pi * f * s) ** 2) * np.sinc(f)
    top = seen.sum() * 2 / np.prod(large)  # about the peak: the half grid counts twice
    spectrum = 0
    for place, height in zip(places, heights, strict=True):
        waves = [np.exp(-2j * np.pi * f * (p + 20)) for f, p in zip(k, place, strict=True)]
        spectrum = spectrum + height / top * (waves[0] * waves[1] * waves[2])
    return fft.irfftn(spectrum * seen, large)[20:-20, 20:-20, 20:-20]


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """Places, path: 20 beads on a jittered lattice, and one beside number 10."""
    rng = np.random.default_rng(4)
    places = [
        [
            20 + rng.uniform(-3, 3),
            23 + 30 * row + rng.uniform(-1, 1),
            23 + 30 * column + rng.uniform(-1, 1),
        ]
        for row in range(5)
        for column in range(4)
    ]
    places[0][2], places[1][0], places[2][1] = 3.4, 4.6, 2.2
    places[15][0] = 28.3
    places.append([places[10][0] + 0.4, places[10][1] + 9.1, places[10][2] - 3.2])
    heights = rng.uniform(800, 1500, len(places))
    heights[5], heights[7] = 13, 7000
    wide = [s * (1.0, 1.0, 1.6)[axis] for axis, s in enumerate(SIGMA)]
    usual = [i for i in range(len(places)) if i != 12]
    image = beads_through(SIGMA, [places[i] for i in usual], heights[usual])
    image += beads_through(wide, [places[12]], heights[[12]])
    image = rng.poisson(np.clip(image, 0, None) + np.linspace(10, 30, SHAPE[0])[:, None, None])
    path = tmp_path_factory.mktemp("beads") / "beads.ome.tif"
    metadata = {
        "axes": "CZYX",
        **{f"PhysicalSize{a}": v for a, v in zip("ZYX", VOXEL, strict=True)},
    }
    counts = np.minimum(image + 100, FULL).astype(np.uint16)
    tifffile.imwrite(path, np.stack([counts * 0 + 7, counts]), ome=True, metadata=metadata)
    return np.array(places), path


def make(path, **options):
    return psf_from_beads(
        path,
        **{
            "bead_diameter_um": DIAMETER,
            "target_voxel_size_um": VOXEL,
            "channel": 1,
            "expected_fwhm_um": (0.5, 0.2, 0.2),
            "plane_tolerance_um": 0.75,
            **options,
        },
    )


@pytest.fixture(scope="module")
def psf(stack):
    return make(stack[1])


def test_the_right_beads_are_used_and_the_reasons_are_right(stack, psf):
    places, _ = stack
    found = psf.record["candidates"]
    seen = {}
    for bead in found:
        distance = np.linalg.norm((places - bead["voxel"]) * VOXEL, axis=1)
        assert distance.min() < (0.3 if bead["kind"] == "dim" else 0.15), bead
        seen[int(distance.argmin())] = bead
    assert {i: b["kind"] for i, b in seen.items() if not b["used"]} == NOT_USED
    assert len(seen) == len(found) == 21
    assert psf.record["beads"]["used"] == 12
    assert "voxels from the stack's face along X" in seen[0]["reason"]
    assert "wide along X" in seen[12]["reason"]


def test_a_configured_size_that_contradicts_the_stack_is_recorded(stack):
    z, y, x = VOXEL
    odd = make(stack[1], voxel_size_um=(1.1 * z, y, x), plane_tolerance_um=1)
    assert any("but the file states" in text for text in odd.record["warnings"])


def test_places_are_known_to_a_tenth_of_a_voxel(stack, psf):
    places, _ = stack
    for bead in psf.record["candidates"]:
        if bead["used"]:
            assert np.abs(places - bead["voxel"]).max(axis=1).min() < 0.1


@pytest.mark.parametrize("target", [VOXEL, (0.3, 0.1, 0.1)])
def test_widths_come_back_within_three_percent(stack, psf, target):
    made = psf if target == VOXEL else make(stack[1], target_voxel_size_um=target)
    scale = [max(t, v) / v for t, v in zip(target, VOXEL, strict=True)]
    sigma = [s / f for s, f in zip(SIGMA, scale, strict=True)]
    shape = (41, 61, 61)
    voxel = tuple(v * f for v, f in zip(VOXEL, scale, strict=True))
    truth = fwhm_um(gaussian(shape, (20, 30, 30), sigma), voxel)
    assert fwhm_um(made.data, target) == pytest.approx(truth, rel=0.03)
    measured = fwhm_um(made.companions["bead_measured"].data, target)
    assert np.greater(measured[1:], np.multiply(truth[1:], 1.05)).all()  # the bead widens it


@pytest.mark.parametrize(("voxel", "error"), [((0.05,) * 3, 0.02), (VOXEL, 0.03)])
def test_the_pair_is_exact(stack, voxel, error):
    """S ⊗ m = (S ⊗ b) ⊗ h for the true h, taken at points: b's voxels average already.

    Up to the noise of m (1.5 to 2 %) and, where voxels are nearly as long as the bead, as along Z
    in `VOXEL`, up to what such voxels cannot sample (1.6 % for a noiseless m).
    """
    psf = make(stack[1], target_voxel_size_um=voxel)
    m, b = (psf.companions[name].data.astype(float) for name in ("bead_measured", "bead_ideal"))
    assert m.shape == b.shape and m.min() >= 0
    assert (m.sum(), b.sum()) == pytest.approx((1, 1), abs=1e-5)
    sigma = np.multiply(SIGMA, VOXEL) / voxel
    half = [int(np.ceil(4 * s)) for s in sigma]
    h = np.ones((1, 1, 1))
    for axis, (n, s) in enumerate(zip(half, sigma, strict=True)):
        line = np.exp(-0.5 * (np.arange(-n, n + 1) / s) ** 2)
        h = h * line.reshape([-1 if a == axis else 1 for a in range(3)])
    h /= h.sum()
    structure = np.zeros((20, 40, 40))
    rng = np.random.default_rng(0)
    structure[tuple(rng.integers(0, n, 60) for n in structure.shape)] = rng.uniform(0.5, 1, 60)

    def difference(kernel):
        blurred = signal.fftconvolve(structure, m)
        again = signal.fftconvolve(signal.fftconvolve(structure, kernel), h)
        inner = [
            slice((a - n) // 2, (a - n) // 2 + n)
            for a, n in zip(again.shape, blurred.shape, strict=True)
        ]
        return np.linalg.norm(again[tuple(inner)] - blurred) / np.linalg.norm(blurred)

    assert difference(b) < error
    assert (
        difference(gaussian(b.shape, np.array(b.shape) // 2, (1e-3,) * 3)) > 0.08
    )  # without the bead the two do not agree


def test_noise_left_is_what_averaging_leaves(psf):
    """Background of 20 photons: noise √20 over the summed heights of the used beads."""
    heights = [b["counts"] for b in psf.record["candidates"] if b["used"]]
    expected = np.sqrt(20 * len(heights)) / np.sum(heights)
    # placing a bead between voxels smooths its noise, by at most √2 per axis
    assert 0.4 * expected < psf.record["noise_left"]["of_peak"] < 1.1 * expected
    assert psf.record["noise_left"]["half_split_of_peak"] < 0.02


def test_a_speck_on_one_bead_does_not_reach_the_average():
    rng = np.random.default_rng(0)
    bead = gaussian((9, 15, 15), (4, 7, 7), (1.5, 2, 2))
    bead /= bead.max()
    crops = [h * bead + rng.normal(0, 1, bead.shape) for h in (80, 100, 120, 90, 110, 100)]
    clean = average_beads(crops, [80, 100, 120, 90, 110, 100], noise=1.0)
    crops[2][1, 12, 2] += 60
    mended = average_beads(crops, [80, 100, 120, 90, 110, 100], noise=1.0)
    assert np.abs(mended.data - clean.data).max() < 0.001
    assert mended.outliers > 0


def test_widths_over_the_field_are_compared():
    """Eight beads, those at larger X wider along Y by 20 %."""
    rng = np.random.default_rng(0)
    beads = [
        Candidate(
            (10.0, 20.0, x),
            100.0,
            (0.6, (0.24 if x > 50 else 0.2) + rng.normal(0, 0.002), 0.2),
            50.0,
        )
        for x in (10.0, 20.0, 30.0, 40.0, 60.0, 70.0, 80.0, 90.0)
    ]
    (half,) = field_variation(beads, (21, 101, 101))
    assert (half["axis"], half["width"], half["beads"]) == ("X", "Y", [4, 4])
    assert half["change"] == pytest.approx(0.2, abs=0.02) and half["uncertainty"] < 0.02
    assert field_variation(beads[:4], (21, 101, 101)) == []


def test_asymmetry_of_a_tilted_psf():
    z, y, x = (g - n // 2 for g, n in zip(np.indices((21, 31, 31)), (21, 31, 31), strict=True))
    data = np.exp(-(z**2) / 18 - y**2 / 8 - (x - 0.5 * z) ** 2 / 8)
    found = asymmetry(data, (0.2, 0.1, 0.1))
    assert found["tilt"] == pytest.approx([0, 0.25], abs=0.01)
    assert found["mirrored"][1] == pytest.approx(0, abs=1e-3) and found["mirrored"][2] > 0.1


@pytest.mark.parametrize("modality", ["two_photon", "sted"])
def test_beads_of_two_photon_and_sted_are_cut_out_as_confocal_ones(stack, psf, modality):
    assert np.allclose(make(stack[1], modality=modality).data, psf.data)


def test_stacks_that_cannot_be_used_are_refused(stack, tmp_path):
    _, path = stack
    with pytest.raises(UserError, match=r"psf\.channel is 2, but .* has 2 channels"):
        make(path, channel=2)
    with pytest.raises(UserError, match="all voxels are 7"):
        make(path, channel=0)
    with pytest.raises(UserError, match=r"none of 21 beads .*21 clipped.*half_width_um"):
        make(path, half_width_um=(4, 1, 1))
    with pytest.raises(UserError, match="does not exist"):
        make(tmp_path / "no.tif")
    noise = np.random.default_rng(0).normal(100, 5, (20, 40, 40)).astype(np.float32)
    tifffile.imwrite(tmp_path / "noise.tif", noise)
    with pytest.raises(UserError, match=r"psf\.voxel_size_um is missing"):
        make(tmp_path / "noise.tif", channel=0)
    with pytest.raises(UserError, match="no bead is above the noise"):
        make(tmp_path / "noise.tif", channel=0, voxel_size_um=VOXEL)


def test_the_reference_beads(reference_data, tmp_path):
    """Four beads, all free and alike; widths against 3D Gaussians fitted to the raw stack."""
    optics = Optics(modality="confocal", numerical_aperture=1.4)

    def from_beads(diameter_um):
        path = str(reference_data / "beads" / "beads.tif")
        psf = {"source": "beads", "path": path, "bead_diameter_um": diameter_um}
        channel = Channel(emission_um=0.46, excitation_um=0.405, psf=psf)
        return make_psf(
            optics=optics, channel=channel, voxel_size_um=(0.125, 0.045, 0.045), key="psf"
        )

    made = from_beads(0.175)
    assert made.record["beads"]["used"] == 4
    assert made.record["beads"]["fwhm_um"] == pytest.approx((0.593, 0.228, 0.172), rel=0.06)
    assert (
        np.array(made.record["beads"]["fwhm_um"]) > fwhm_um(made.data, made.voxel_size_um)
    ).all()
    assert 0 < made.record["distance_from_theory"] < 0.5
    assert any("larger than the width of their image" in w for w in made.record["warnings"])
    save_psf(made, tmp_path / "psf.tif")
    assert np.array_equal(load_psf(tmp_path / "psf.tif").data, made.data)
    assert tifffile.imread(tmp_path / "beads.tif").shape == (4, 25, 51, 39)
    assert tifffile.imread(tmp_path / "bead_ideal.tif").sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match=r"along X.*psf\.bead_diameter_um"):
        from_beads(0.2)  # the image is no wider than such a ball alone
    _, _, rows = draw_beads(tmp_path / "psf.tif")
    facts = dict(rows)
    assert facts["Beads used"] == "4 of 4"
    assert facts["Change of the widths over the field"] == "too few beads to compare"
    save_psf(normalised_psf(made.data, made.voxel_size_um, {}), tmp_path / "psf.tif")
    assert not (tmp_path / "bead_measured.tif").exists()
