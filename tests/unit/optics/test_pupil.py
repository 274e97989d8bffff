"""The two-dimensional pupil: against radial quadrature, brute force in vectors, Maréchal's law."""

import numpy as np
import pytest

from decon3d.optics.diffraction import Lens, radial_intensity
from decon3d.optics.focus import locate_focus, strehl_ratio
from decon3d.optics.psf import fwhm_um
from decon3d.optics.pupil import pupil_intensity
from decon3d.optics.resampling import core_centroid
from decon3d.optics.theory import _on_voxels, _on_voxels_without_symmetry, theoretical_psf
from decon3d.optics.zernike import ZERNIKE, zernike
from decon3d.settings import Aberrations, Optics

STED = {"depletion_um": 0.592, "saturation_factor": 4}


def optics(**keys) -> Optics:
    return Optics(**{"modality": "widefield", "numerical_aperture": 1.4, **keys})


def test_polynomials_are_orthonormal_over_the_pupil():
    rho = np.sqrt((np.arange(400) + 0.5) / 400)[:, None]  # even in area
    phi = 2 * np.pi * np.arange(64) / 64
    rho, phi = np.broadcast_arrays(rho, phi)
    values = [zernike(name, rho, phi).ravel() for name in ZERNIKE]
    assert np.cov(values, bias=True) == pytest.approx(np.eye(len(values)), abs=1e-4)
    assert np.mean(values, axis=1) == pytest.approx(0, abs=1e-4)
    assert zernike("coma_x", np.ones(1), np.zeros(1)) == pytest.approx(np.sqrt(8))
    assert set(Aberrations.model_fields) == set(ZERNIKE)


@pytest.mark.parametrize("model", ["vectorial", "scalar"])
@pytest.mark.parametrize("vortex", [False, True])
@pytest.mark.parametrize(
    "lens",
    [
        Lens(1.4, 1.515, 1.515, 0.0, 0.525),
        Lens(1.4, 1.515, 1.36, 5.0, 0.525),  # cut by the critical angle
        Lens(1.2, 1.333, 1.38, 3.0, 0.525, aberrations=(("spherical", 0.05), ("defocus", -0.04))),
    ],
)
def test_symmetric_lenses_agree_with_radial_quadrature(lens, model, vortex):
    lens = Lens(
        *[getattr(lens, n) for n in list(lens.__dataclass_fields__)[:5]],
        model,
        lens.aberrations,
        vortex,
    )
    y, x = np.linspace(-1, 1.3, 5), np.linspace(-0.5, 1, 4)
    z = lens.depth_um + np.linspace(-1, 2, 5)
    found = pupil_intensity(lens, z_um=z, y_um=y, x_um=x)
    radii = np.hypot.outer(y, x)
    expected = radial_intensity(lens, r_um=radii.ravel(), z_um=z).T.reshape(found.shape)
    # a vortex has no phase in the middle of the pupil: there the sums converge more slowly
    assert np.abs(found - expected).max() < (1e-6 if vortex else 1e-10) * expected.max()


def focused_by_vectors(lens: Lens, z: float, y: float, x: float) -> float:
    """Sum plane waves that are bent by the lens and refracted at the interface, as vectors.

    Török & Varga 1997 in its first form: unpolarised light from the pupil focused through the
    interface, |E|² at the point; a Riemann sum. By reciprocity it is the image of an isotropic
    emitter, with the point reflected at the axis.
    """
    n1, n2, k0 = lens.immersion_index, lens.sample_index, 2 * np.pi / lens.wavelength_um
    edge = np.arcsin(min(lens.numerical_aperture, n2) / n1)
    theta = ((np.arange(700) + 0.5) / 700 * edge)[:, None]
    phi = 2 * np.pi * np.arange(180) / 180
    c1, s1 = np.cos(theta), np.sin(theta)
    s2 = n1 * s1 / n2
    c2 = np.sqrt(1 - s2**2)
    ts = 2 * n1 * c1 / (n1 * c1 + n2 * c2)
    tp = 2 * n1 * c1 / (n2 * c1 + n1 * c2)
    flat = np.ones_like(theta)
    s_hat = np.stack([-np.sin(phi) * flat, np.cos(phi) * flat, 0 * phi * flat])
    p_hat = np.stack([c2 * np.cos(phi), c2 * np.sin(phi), s2 * np.ones_like(phi)])
    # a ray from the pupil at φ runs back towards the axis; (-x, -y) is the reflected point
    path = n1 * s1 * (np.cos(phi) * x + np.sin(phi) * y) + n2 * c2 * lens.depth_um - n1 * c1 * z
    rho = n1 * s1 / lens.numerical_aperture
    for name, rms_um in lens.aberrations:
        path = path + rms_um * zernike(name, rho, phi)
    wave = np.sqrt(c1) * s1 * np.exp(1j * k0 * path)
    total = 0.0
    for along_p, along_s in ((np.cos(phi), -np.sin(phi)), (np.sin(phi), np.cos(phi))):
        field = (wave * (along_p * tp * p_hat + along_s * ts * s_hat)).sum(axis=(1, 2))
        total += float(np.sum(np.abs(field) ** 2))
    return total


@pytest.mark.parametrize(
    "lens",
    [
        Lens(1.3, 1.515, 1.38, 6.0, 0.525),
        Lens(1.2, 1.333, 1.42, 4.0, 0.6, aberrations=(("coma_x", 0.06), ("trefoil_y", 0.04))),
        Lens(1.3, 1.515, 1.515, 0.0, 0.525, aberrations=(("astigmatism_45", 0.05),)),
    ],
)
def test_index_mismatch_and_aberrations_agree_with_brute_force_in_vectors(lens):
    z = lens.depth_um * lens.immersion_index / lens.sample_index + np.array([-0.4, 0.1, 0.8])
    y, x = np.array([-0.25, 0.0]), np.array([0.0, 0.3])
    found = pupil_intensity(lens, z_um=z, y_um=y, x_um=x)
    expected = np.array([[[focused_by_vectors(lens, a, b, c) for c in x] for b in y] for a in z])
    difference = found / found.sum() - expected / expected.sum()
    assert np.abs(difference).max() < 1e-3 * (found / found.sum()).max()


def test_agrees_with_psfmodels():
    """The GPL package that many use; its radial grid is coarse. Only where it is installed."""
    psfmodels = pytest.importorskip("psfmodels")
    depth, ni, ns = 3.0, 1.515, 1.38
    params = {
        "NA": 1.3,
        "ni": ni,
        "ni0": ni,
        "ns": ns,
        "ng": 1.515,
        "ng0": 1.515,
        "ti0": 150.0,
        "tg": 170.0,
        "tg0": 170.0,
    }
    z = np.arange(2, 5, 0.1)
    for model in ("vectorial", "scalar"):
        theirs = getattr(psfmodels, f"{model}_psf")(
            z, nx=21, dxy=0.05, pz=depth, params=params, wvl=0.525
        )[:, 10, 10:]
        # theirs counts from the place where the paraxial focus lies at the depth
        ours = radial_intensity(
            Lens(1.3, ni, ns, depth, 0.525, model),
            r_um=0.05 * np.arange(11),
            z_um=z + depth * (ni / ns - 1),
        ).T
        assert np.abs(ours / ours.max() - theirs / theirs.max()).max() < 0.02


@pytest.mark.parametrize("name", ["spherical", "coma_y", "astigmatism_0", "quadrafoil_x"])
def test_strehl_ratio_of_small_aberrations(name):
    """Maréchal: S ≈ exp(-(2πσ)²); exact to second order, in the scalar model of even light."""
    for waves in (0.02, 0.05):
        lens = Lens(0.8, 1.33, 1.33, 0.0, 0.5, "scalar", ((name, 0.5 * waves),))
        origin = np.zeros(1)
        on_axis = [
            pupil_intensity(each, z_um=origin, y_um=origin, x_um=origin).item()
            for each in (lens, Lens(0.8, 1.33, 1.33, 0.0, 0.5, "scalar"))
        ]
        law = np.exp(-((2 * np.pi * waves) ** 2))
        assert on_axis[0] / on_axis[1] == pytest.approx(law, abs=0.6 * (2 * np.pi * waves) ** 4)
        assert law - 0.005 < strehl_ratio(lens) < 1


def test_light_is_kept_and_the_transfer_function_ends_at_twice_na_over_wavelength():
    lens = Lens(1.2, 1.333, 1.333, 0.0, 0.5, aberrations=(("coma_x", 0.05), ("trefoil_x", 0.03)))
    places = 0.1 * np.arange(-60, 61)
    plane = pupil_intensity(lens, z_um=np.array([0.3]), y_um=places, x_um=places)[0]
    assert plane.sum() * 0.1**2 == pytest.approx(1, abs=0.03)
    window = np.hanning(121)
    otf = np.abs(np.fft.fft2(plane * np.outer(window, window)))
    frequency = np.hypot.outer(*[np.fft.fftfreq(121, 0.1)] * 2)
    cutoff = 2 * 1.2 / 0.5
    assert otf[frequency > 1.06 * cutoff].max() < 1e-4 * otf[0, 0]
    assert otf[(frequency > 0.75 * cutoff) & (frequency < 0.8 * cutoff)].max() > 1e-2 * otf[0, 0]


@pytest.mark.parametrize(
    ("keys", "voxel"),
    [
        ({}, (0.25, 0.1, 0.1)),
        ({"modality": "confocal"}, (0.2, 0.1, 0.1)),
        ({"modality": "two_photon"}, (0.3, 0.12, 0.1)),
        ({"modality": "sted", "sted": STED}, (0.2, 0.05, 0.05)),
        (
            {
                "modality": "light_sheet",
                "sheet_thickness_um": 0.5,
                "sample_index": 1.45,
                "depth_um": 3,
            },
            (0.2, 0.1, 0.1),
        ),
    ],
)
def test_without_aberrations_both_ways_give_the_same_voxels(keys, voxel):
    microscope, focus = locate_focus(optics=optics(**keys), emission_um=0.525, excitation_um=0.8)
    shape = (5, 9, 9)
    radial = _on_voxels(microscope, focus.centre_um, shape, voxel)
    full = _on_voxels_without_symmetry(microscope, focus.centre_um, shape, voxel)
    assert np.abs(full - radial).max() < 1e-3 * radial.max()


def aberrated(name, waves, shape=(1, 25, 25), **keys):
    return theoretical_psf(
        optics=optics(
            numerical_aperture=1.2, immersion_index=1.333, aberrations={name: waves}, **keys
        ),
        emission_um=0.525,
        voxel_size_um=(0.1, 0.08, 0.08),
        shape=shape,
    )


def test_coma_has_its_tail_where_its_name_says_and_stays_centred():
    along_x, along_y = aberrated("coma_x", 0.12), aberrated("coma_y", 0.12)
    assert along_x[0] == pytest.approx(along_y[0].T, abs=2e-3 * along_x.max())
    assert along_x[0] == pytest.approx(along_x[0, ::-1], abs=2e-3 * along_x.max())
    stack = aberrated("coma_x", 0.12, shape=(13, 11, 11))
    assert core_centroid(stack) == pytest.approx((6, 5, 5), abs=0.1)
    third_moment = (along_x[0].sum(axis=0) * np.arange(-12, 13) ** 3).sum()
    flipped = (aberrated("coma_x", -0.12)[0].sum(axis=0) * np.arange(-12, 13) ** 3).sum()
    # rays from the rim meet where -∂W/∂q throws them: at negative X for a positive coma
    assert third_moment < 0 < flipped


def test_astigmatism_turns_between_its_two_foci():
    psf = aberrated("astigmatism_0", 0.12, shape=(13, 15, 15))
    wide = [fwhm_um(psf[[i]], (1, 1, 1))[1:] for i in (2, 10)]
    assert (wide[0][0] / wide[0][1] - 1) * (wide[1][0] / wide[1][1] - 1) < -0.01
    assert psf[2] == pytest.approx(psf[10].T, abs=5e-3 * psf.max())
