"""Two-photon and STED against the formulas of a textbook; the keys that they need.

A kind of microscope is one entry of `optics.modalities`.
"""

import subprocess
import sys

import numpy as np
import pytest
from scipy.special import j1

from decon3d.errors import ConfigError, UserError
from decon3d.optics.build import make_psf
from decon3d.optics.diffraction import Lens, radial_intensity
from decon3d.optics.psf import fwhm_um
from decon3d.optics.theory import describe_theory, theoretical_psf
from decon3d.settings import Channel, Optics, load_settings
from support.configs import simulated_dataset
from support.paths import ROOT

VOXEL = (0.08, 0.012, 0.012)


def psf(modality="sted", voxel=VOXEL, shape=(9, 33, 33), excitation_um=0.64, **keys):
    return theoretical_psf(
        optics=Optics(modality=modality, numerical_aperture=1.4, immersion_index=1.515, **keys),
        emission_um=0.67,
        excitation_um=excitation_um,
        voxel_size_um=voxel,
        shape=shape,
    )


def depletion(factor):
    return {"depletion_um": 0.775, "saturation_factor": factor}


def test_two_photon_is_the_square_of_the_excitation():
    two = psf("two_photon", excitation_um=0.92)
    one = theoretical_psf(
        optics=Optics(modality="widefield", numerical_aperture=1.4, immersion_index=1.515),
        emission_um=0.92,
        voxel_size_um=VOXEL,
        shape=(9, 33, 33),
    )
    assert two / two.max() == pytest.approx((one / one.max()) ** 2, abs=2e-3)


def test_doughnut_is_dark_on_its_axis_and_keeps_its_light():
    r = np.linspace(0, 6, 2401)
    for model in ("vectorial", "scalar"):
        lens = Lens(1.4, 1.515, 1.515, 0.0, 0.775, model, vortex=True)
        light = radial_intensity(lens, r_um=r, z_um=np.array([0.0, 1.0]))
        assert light[0].max() < 1e-12 * light.max()
        assert 2 * np.pi * np.trapezoid(r * light[:, 0], r) == pytest.approx(1, abs=0.03)
    # scalar, low aperture: |2π ∫ J₁|² has its crest at k NA r = 2.48 (numerical quadrature)
    weak = Lens(0.1, 1.0, 1.0, 0.0, 0.5, "scalar", vortex=True)
    r = np.linspace(0, 8, 4001)
    crest = r[radial_intensity(weak, r_um=r, z_um=np.zeros(1))[:, 0].argmax()]
    rho = (np.arange(2000) + 0.5) / 2000
    v = np.linspace(1, 4, 1501)
    expected = v[np.abs((j1(np.outer(v, rho)) * rho).sum(axis=1)).argmax()]
    assert 2 * np.pi / 0.5 * 0.1 * crest == pytest.approx(expected, rel=2e-3)


def test_sted_narrows_as_the_square_root_law_says():
    """Westphal & Hell 2005 (PRL 94, 143903): the width falls as 1 / √(1 + a I/I_sat)."""
    plain = psf("confocal")
    assert psf(sted=depletion(1e-9)) == pytest.approx(plain, abs=1e-8)
    factors = np.array([5.0, 15.0, 45.0])
    widths = np.array([fwhm_um(psf(sted=depletion(f)), VOXEL) for f in factors])
    assert (np.diff(widths[:, 2]) < 0).all()
    confocal = fwhm_um(plain, VOXEL)
    curvature = ((confocal[2] / widths[:, 2]) ** 2 - 1) / factors
    assert curvature == pytest.approx([curvature.mean()] * 3, rel=0.15)
    # a vortex leaves the axis dark: no gain along z
    assert widths[:, 0] == pytest.approx([confocal[0]] * 3, rel=0.05)


def test_two_photon_needs_the_laser_and_sted_its_depletion():
    with pytest.raises(UserError, match="excitation_um is missing"):
        psf("two_photon", excitation_um=None)

    def said(modality, **optics):
        dataset = simulated_dataset(
            optics={"modality": modality, "numerical_aperture": 1.0, **optics}
        )
        config = {"datasets": {"d": dataset}, "methods": {"rl": {}}}
        with pytest.raises(ConfigError) as caught:
            load_settings(config)
        (line,) = caught.value.problems
        return line

    assert said("two_photon").startswith(
        "datasets.d: channels.gfp.excitation_um is missing; two-photon excitation needs"
    )
    assert said("sted").startswith("datasets.d.optics.sted: is missing; STED needs")
    assert "needs `modality: sted`, but the modality is confocal" in said(
        "confocal", sted=depletion(20)
    )
    assert "did you mean spherical?" in said("widefield", aberrations={"spherica": 0.1})


def test_the_record_says_what_was_computed():
    channel = Channel(emission_um=0.525, excitation_um=0.92)
    optics = Optics(
        modality="two_photon",
        numerical_aperture=0.8,
        immersion_index=1.33,
        aberrations={"spherical": 0.05},
    )
    record = make_psf(
        optics=optics, channel=channel, voxel_size_um=(0.5, 0.2, 0.2), key="psf"
    ).record
    assert record["excitation_um"] == 0.92
    assert record["optics"]["aberrations"] == {"spherical": 0.05}
    assert record["strehl_ratio"] == pytest.approx(np.exp(-((2 * np.pi * 0.05) ** 2)), abs=0.001)


def test_sted_states_the_light_beyond_its_support():
    """Far from the focus nothing is depleted, so that the haze is a larger share than without."""
    _, record = describe_theory(
        optics=Optics(
            modality="sted", numerical_aperture=1.4, immersion_index=1.515, sted=depletion(20)
        ),
        emission_um=0.67,
        excitation_um=0.64,
        voxel_size_um=(0.25, 0.06, 0.06),
    )
    # 0.842 and 0.799 of the light within frames of 15 and 30 µm, whose rest falls as 1 / depth
    assert record["support"]["light_kept"] == pytest.approx(0.759, abs=0.01)


def test_a_channel_may_have_a_pinhole_of_its_own():
    optics = Optics(modality="confocal", numerical_aperture=1.2, immersion_index=1.333)
    narrow = optics.model_copy(update={"pinhole_au": 0.5})
    made = [
        make_psf(
            optics=o,
            channel=Channel(emission_um=0.525, pinhole_au=p),
            voxel_size_um=(0.2, 0.1, 0.1),
            key="k",
        ).data
        for o, p in ((optics, None), (optics, 0.5), (narrow, None))
    ]
    np.testing.assert_array_equal(made[1], made[2])
    assert made[0].max() < 0.98 * made[1].max()


NEW = """
from decon3d.optics import modalities
modalities.MODALITIES["spinning_disk"] = modalities.Modality(
    label="spinning-disk confocal", excitation="one_photon")
import numpy as np
from decon3d.config_reference import page_text
from decon3d.optics.theory import theoretical_psf
from decon3d.report.methods_text import restoration_summary
from decon3d.settings import Optics

def psf(modality):
    optics = Optics(modality=modality, numerical_aperture=1.2, immersion_index=1.333)
    return theoretical_psf(
        optics=optics, emission_um=0.525, voxel_size_um=(0.3, 0.1, 0.1), shape=(9, 9, 9))

assert np.array_equal(psf("spinning_disk"), psf("confocal"))
assert not np.allclose(psf("spinning_disk"), psf("widefield"))
assert "`spinning_disk`" in page_text()
assert Optics(modality="spinning_disk", numerical_aperture=1.2).kind.label.startswith("spinning")
"""


def test_a_new_modality_is_one_entry():
    scripts = ROOT / "scripts"
    done = subprocess.run([sys.executable, "-c", NEW], cwd=scripts, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
