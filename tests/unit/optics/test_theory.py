"""Theoretical PSFs: published widths, symmetry, band limit, brute force."""

import numpy as np
import pytest
import scipy.io
from scipy.special import j0, j1, jn

from decon3d.errors import UserError
from decon3d.optics.diffraction import Lens, radial_intensity, through_pinhole
from decon3d.optics.psf import fwhm_um
from decon3d.optics.theory import describe_theory, theoretical_psf
from decon3d.settings import Optics


def optics(**keys) -> Optics:
    return Optics(**{"modality": "widefield", "numerical_aperture": 1.4, **keys})


@pytest.mark.parametrize(
    ("model", "lateral", "axial"), [("vectorial", 0.2116, 0.5121), ("scalar", 0.1929, 0.5170)]
)
def test_widths_at_na_14(model, lateral, axial):
    psf = theoretical_psf(
        optics=optics(model=model), emission_um=0.525, voxel_size_um=(0.02,) * 3, shape=(61,) * 3
    )
    assert fwhm_um(psf, (0.02,) * 3) == pytest.approx((axial, lateral, lateral), rel=5e-3)
    assert psf.dtype == np.float64
    assert psf.sum() == pytest.approx(1, abs=1e-12)
    assert np.abs(psf - psf[::-1]).max() <= 1e-6 * psf.max()
    assert np.abs(psf - psf.transpose(0, 2, 1)).max() <= 1e-12


def brute_force(lens: Lens, r: float, z: float) -> float:
    """Riemann sum over the pupil of a matched specimen, straight from the textbook."""
    n = lens.sample_index
    theta_max = np.arcsin(lens.numerical_aperture / n)
    theta = (np.arange(20000) + 0.5) / 20000 * theta_max
    k, s, c = 2 * np.pi / lens.wavelength_um, np.sin(theta), np.cos(theta)
    wave = np.exp(1j * k * n * z * c)
    if lens.model == "scalar":
        return abs(np.sum(j0(k * n * r * s) * wave * s * c)) ** 2
    v, a = k * n * r * s, np.sqrt(c)
    fields = (
        np.sum(a * s * (1 + c) * j0(v) * wave),
        np.sum(a * s**2 * j1(v) * wave),
        np.sum(a * s * (1 - c) * jn(2, v) * wave),
    )
    return abs(fields[0]) ** 2 + 2 * abs(fields[1]) ** 2 + abs(fields[2]) ** 2


@pytest.mark.parametrize("model", ["vectorial", "scalar"])
def test_agrees_with_brute_force(model):
    lens = Lens(1.4, 1.515, 1.515, 0.0, 0.525, model)
    r, z = np.array([0.0, 0.1, 0.33, 1.2]), np.array([-2.0, -0.4, 0.0, 0.7])
    ours = radial_intensity(lens, r_um=r, z_um=z)
    expected = np.array([[brute_force(lens, a, b) for b in z] for a in r])
    difference = ours / ours[0, 2] - expected / expected[0, 2]
    assert np.abs(difference).max() < 1e-8


def test_voxels_agree_with_brute_force():
    """Interpolation and voxel integration, on a coarse grid where they matter."""
    voxel = np.array([0.3, 0.1, 0.1])
    psf = theoretical_psf(
        optics=optics(), emission_um=0.525, voxel_size_um=tuple(voxel), shape=(7, 15, 15)
    )
    lens = Lens(1.4, 1.515, 1.515, 0.0, 0.525)
    sub = (np.arange(12) + 0.5) / 12 - 0.5

    def voxel_mean(z, y, x):
        radius = np.hypot.outer((y + sub) * 0.1, (x + sub) * 0.1).ravel()
        return radial_intensity(lens, r_um=radius, z_um=(z + sub) * 0.3).mean()

    peak = voxel_mean(0, 0, 0)
    for place in [(0, 0, 1), (0, 3, 2), (1, 0, 0), (2, 1, 5), (3, 7, 7)]:
        ours = psf[3 + place[0], 7 + place[1], 7 + place[2]] / psf[3, 7, 7]
        assert ours == pytest.approx(voxel_mean(*place) / peak, abs=1e-3)


def test_every_plane_holds_the_same_light():
    lens = Lens(0.8, 1.33, 1.38, 10.0, 0.6)
    r = np.linspace(0, 30, 1501)
    light = (
        2
        * np.pi
        * np.trapezoid(
            r[:, None] * radial_intensity(lens, r_um=r, z_um=np.array([9.6, 12.0])), r, axis=0
        )
    )
    assert light == pytest.approx([1, 1], abs=0.02)


def test_gibson_lanni_reference(reference_data):
    truth = scipy.io.loadmat(reference_data / "psf_reference" / "GT_63_63_31.mat")["GT"].T
    lens = Lens(1.4, 1.5, 1.33, 2.0, 0.61, "scalar")
    y, x = np.mgrid[-31:32, -31:32] * 0.1
    radii, index = np.unique(np.hypot(y, x).round(9), return_inverse=True)
    # The reference's Z is the thickness of the immersion; ours grows with depth.
    ours = radial_intensity(lens, r_um=radii, z_um=-np.arange(-15, 16) * 0.25)
    ours = np.moveaxis(ours[index.ravel()].reshape(63, 63, 31), -1, 0)
    assert np.abs(ours / ours.max() - truth / truth.max()).max() <= 1.5e-2


def test_index_mismatch_shifts_and_skews_but_stays_centred():
    deep = optics(sample_index=1.36, depth_um=8.0)
    psf, record = describe_theory(
        optics=deep, emission_um=0.525, voxel_size_um=(0.05, 0.1, 0.1), shape=(101, 21, 21)
    )
    assert np.abs(psf - psf[::-1]).max() > 0.05 * psf.max()
    # oil into water: the focus is found at a larger stage depth, between 8 n_i/n_s and above
    assert record["focus_shift_um"] > 8 * (1.515 / 1.36 - 1) * 0.9
    axis = psf[:, 10, 10]
    excess = np.clip(axis - axis.max() / 2, 0, None)
    assert abs(excess @ np.arange(-50, 51) / excess.sum()) * 0.05 < 0.05


def test_interface_without_contrast_changes_nothing():
    r, z = np.linspace(0, 1, 5), np.linspace(4, 6, 5)
    matched = radial_intensity(Lens(1.2, 1.333, 1.333, 5.0, 0.5), r_um=r, z_um=z)
    nearly = radial_intensity(Lens(1.2, 1.333, 1.333 + 1e-9, 5.0, 0.5), r_um=r, z_um=z)
    assert np.abs(matched - nearly).max() < 1e-5 * matched.max()


def test_otf_ends_at_twice_na_over_wavelength():
    psf = theoretical_psf(
        optics=optics(model="scalar"),
        emission_um=0.5,
        voxel_size_um=(1, 0.05, 0.05),
        shape=(1, 401, 401),
    )[0]
    otf = np.abs(np.fft.fft(psf.sum(axis=0) * np.hanning(401)))
    frequency = np.abs(np.fft.fftfreq(401, 0.05))
    cutoff = 2 * 1.4 / 0.5
    assert otf[frequency > 1.03 * cutoff].max() < 1e-4 * otf[0]
    assert otf[(frequency > 0.8 * cutoff) & (frequency < 0.85 * cutoff)].min() > 1e-2 * otf[0]


def test_pinhole_limits():
    """A closed pinhole sees the intensity, an open one all the light of the plane."""
    lens = Lens(1.2, 1.333, 1.333, 0.0, 0.5)
    r, z = np.array([0.0, 0.12, 0.3]), np.array([0.0, 0.6])
    plain = radial_intensity(lens, r_um=r, z_um=z)
    closed = through_pinhole(lens, 0.01, r_um=r, z_um=z) / (np.pi * 0.01**2)
    assert closed == pytest.approx(plain, abs=5e-3 * plain.max())
    assert through_pinhole(lens, 8.0, r_um=r, z_um=z) == pytest.approx(np.ones((3, 2)), abs=0.03)


def test_modalities_section_as_they_should():
    voxel = (0.05, 0.05, 0.05)
    widths = {}
    for name, keys in {
        "widefield": {},
        "confocal": {"pinhole_au": 0.05},
        "light_sheet": {"sheet_thickness_um": 0.4},
    }.items():
        psf = theoretical_psf(
            optics=optics(modality=name, **keys),
            emission_um=0.525,
            excitation_um=0.525,
            voxel_size_um=voxel,
            shape=(41, 31, 31),
        )
        widths[name] = np.array(fwhm_um(psf, voxel))
    # a closed pinhole at one wavelength squares the PSF: 1/√2 of the width, nearly
    assert widths["confocal"] / widths["widefield"] == pytest.approx([0.72] * 3, abs=0.02)
    axial = (widths["widefield"][0] ** -2 + 0.4**-2) ** -0.5
    assert widths["light_sheet"][0] == pytest.approx(axial, rel=0.02)


def test_support_follows_the_crop_rule():
    confocal, record = describe_theory(
        optics=optics(modality="confocal"), emission_um=0.525, voxel_size_um=(0.1, 0.05, 0.05)
    )
    assert all(n % 2 for n in confocal.shape)
    larger = theoretical_psf(
        optics=optics(modality="confocal"),
        emission_um=0.525,
        voxel_size_um=(0.1, 0.05, 0.05),
        shape=(151, 81, 81),
    )
    inside = tuple(
        slice((n - m) // 2, (n + m) // 2) for n, m in zip(larger.shape, confocal.shape, strict=True)
    )
    assert larger[inside].sum() > 0.965
    widefield, wide = describe_theory(
        optics=optics(), emission_um=0.525, voxel_size_um=(0.2, 0.1, 0.1)
    )
    assert 2 * 6 * 0.52 / 0.2 + 3 < widefield.shape[0] <= 2 * 18 * 0.52 / 0.2 + 3
    assert 0.97 < wide["support"]["focal_plane_energy_kept"] < 1
    assert 0 < wide["support"]["edge_plane_energy_kept"] < 0.9
    assert record["support"]["light_kept"] == pytest.approx(0.959, abs=0.002)


def test_even_shape_is_refused():
    with pytest.raises(UserError, match="odd"):
        theoretical_psf(optics=optics(), emission_um=0.5, voxel_size_um=(0.1,) * 3, shape=(4, 5, 5))


@pytest.mark.parametrize("voxel", [(0.001, 0.001, 0.001), (0.3, 0.001, 0.001)])
@pytest.mark.parametrize("aberrations", [{}, {"coma_x": 0.1}])
def test_a_psf_larger_than_memory_is_refused(voxel, aberrations):
    with pytest.raises(UserError, match=r"GB; the limit is 67,108,864 points; check voxel_size_um"):
        theoretical_psf(
            optics=optics(aberrations=aberrations), emission_um=0.525, voxel_size_um=voxel
        )
