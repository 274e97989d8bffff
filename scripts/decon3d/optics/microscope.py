"""The microscope: its lenses for illumination and detection, and the product that is its PSF."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from decon3d.errors import UserError
from decon3d.optics.arrays import Array
from decon3d.optics.diffraction import Lens, radial_intensity, through_pinhole
from decon3d.optics.pupil import pupil_intensity, pupil_through_pinhole
from decon3d.optics.sections import Optics

DEFAULT_EXCITATION = 0.93
"""Excitation over emission wavelength, where the excitation is not given."""


@dataclass(frozen=True)
class Microscope:
    """The PSF as a product: detection · excitation^photons · share left by depletion · sheet.

    Attributes
    ----------
    detection
        Lens that collects the light; None = all light is collected without an image (two-photon).
    pinhole_radius_um
        Radius of the pinhole, referred to the specimen, in µm; 0 = a camera without a pinhole.
    excitation
        Lens that focuses the excitation; None = the light is uniform (widefield) or a sheet.
    photons
        Photons that are absorbed together.
    depletion
        Lens of the doughnut (STED); None = no depletion.
    saturation_factor
        Depleting intensity at the doughnut's crest over the one that halves the fluorescence.
    crest
        Intensity of the unaberrated doughnut's crest, in the units of `radial_intensity`.
    sheet_fwhm_um, sheet_centre_um
        Full width at half maximum and centre (Z) of a light sheet, in µm; a width of 0 = none.
    """

    detection: Lens | None
    pinhole_radius_um: float = 0.0
    excitation: Lens | None = None
    photons: int = 1
    depletion: Lens | None = None
    saturation_factor: float = 0.0
    crest: float = 1.0
    sheet_fwhm_um: float = 0.0
    sheet_centre_um: float = 0.0

    @property
    def lens(self) -> Lens:
        """The lens by which the focus is found."""
        lens = self.detection or self.excitation
        assert lens is not None  # no microscope is without either
        return lens

    @property
    def symmetric(self) -> bool:
        """Whether the PSF is the same in all directions about the axis."""
        lenses = (self.detection, self.excitation, self.depletion)
        return all(lens.symmetric for lens in lenses if lens)

    @property
    def lateral_unit_um(self) -> float:
        """Period of the finest lateral detail; a depleted spot is smaller by √(1 + I/I_sat)."""
        fields = [(self.detection, 1), (self.excitation, self.photons)]
        frequency = sum(count / lens.lateral_unit_um for lens, count in fields if lens)
        return float(1 / (frequency * np.sqrt(1 + self.saturation_factor)))

    @property
    def axial_unit_um(self) -> float:
        """Period of the finest axial detail."""
        fields = [(self.detection, 1), (self.excitation, self.photons)]
        frequency = sum(count / lens.axial_unit_um for lens, count in fields if lens)
        return 1 / (frequency + (1 / self.sheet_fwhm_um if self.sheet_fwhm_um else 0.0))

    def on_radii(self, *, r_um: Array, z_um: Array) -> Array:
        """Detected light per point of the specimen, not normalised; symmetric lenses only.

        Parameters
        ----------
        r_um, z_um
            Distances from the axis, shape (R,), and focus positions, shape (Z,), in µm.

        Returns
        -------
        numpy.ndarray
            Shape (R, Z), float64.
        """
        return self._product(
            lambda lens: radial_intensity(lens, r_um=r_um, z_um=z_um),
            lambda lens, radius: through_pinhole(lens, radius, r_um=r_um, z_um=z_um),
            z_um,
        )

    def on_grid(self, *, z_um: Array, y_um: Array, x_um: Array) -> Array:
        """Compute the same through two-dimensional pupils, for any lenses.

        Parameters
        ----------
        z_um, y_um, x_um
            Focus positions and places, in µm; Y and X evenly spaced with one step.

        Returns
        -------
        numpy.ndarray
            Shape (Z, Y, X), float64.
        """
        return self._product(
            lambda lens: pupil_intensity(lens, z_um=z_um, y_um=y_um, x_um=x_um),
            lambda lens, radius: pupil_through_pinhole(
                lens, radius, z_um=z_um, y_um=y_um, x_um=x_um
            ),
            z_um[:, None, None],
        )

    def _product(
        self, light: Callable[[Lens], Array], pinhole: Callable[[Lens, float], Array], z_um: Array
    ) -> Array:
        factors = []
        if self.detection:
            radius = self.pinhole_radius_um
            factors.append(pinhole(self.detection, radius) if radius else light(self.detection))
        if self.excitation:
            factors.append(light(self.excitation) ** self.photons)
        if self.depletion:
            # I_sat halves the fluorescence (Klar et al. 2000, PNAS 97, 8206)
            share = light(self.depletion) / self.crest
            factors.append(np.exp(-np.log(2) * self.saturation_factor * share))
        if self.sheet_fwhm_um:
            away = (z_um - self.sheet_centre_um) / self.sheet_fwhm_um
            factors.append(np.exp(-4 * np.log(2) * away**2))
        result = factors[0]
        for factor in factors[1:]:
            result = result * factor
        return result


def excitation_wavelength(
    optics: Optics, *, emission_um: float, excitation_um: float | None
) -> float | None:
    """Wavelength of a focused excitation, in µm; None where the modality focuses none.

    Raises
    ------
    UserError
        If it is not given for two-photon excitation, where no default is near.
    """
    if not optics.kind.focused:
        return None
    if optics.kind.excitation == "two_photon" and excitation_um is None:
        raise UserError(
            "excitation_um is missing: two-photon excitation needs the laser's wavelength in µm, "
            "e.g. 0.92"
        )
    return excitation_um or DEFAULT_EXCITATION * emission_um


def set_up(optics: Optics, *, emission_um: float, excitation_um: float | None) -> Microscope:
    """Make the microscope of a config's optics; its sheet is still at 0.

    Parameters
    ----------
    optics
        From the config.
    emission_um, excitation_um
        Wavelengths in vacuum, in µm.

    Notes
    -----
    The aberrations are a path through the objective and the specimen, in waves of the emission
    (two-photon: of the excitation). Detection, excitation and depletion share the objective, so
    the path acts on each in its own wavelength. A light sheet comes through another lens.
    """
    focused = excitation_wavelength(optics, emission_um=emission_um, excitation_um=excitation_um)
    two_photon = optics.kind.excitation == "two_photon"
    wave_um = focused if two_photon and focused else emission_um
    aberrations = tuple((name, waves * wave_um) for name, waves in optics.aberrations.terms)

    def lens(wavelength_um: float) -> Lens:
        return Lens(
            optics.numerical_aperture,
            optics.immersion_index,
            optics.specimen_index,
            optics.depth_um,
            wavelength_um,
            optics.model,
            aberrations,
        )

    if focused is None:
        return Microscope(lens(emission_um), sheet_fwhm_um=optics.sheet_thickness_um or 0.0)
    if two_photon:
        return Microscope(None, excitation=lens(focused), photons=2)
    radius = optics.pinhole_au * 0.61 * emission_um / optics.numerical_aperture
    confocal = Microscope(lens(emission_um), radius, lens(focused))
    if not optics.kind.depleted:
        return confocal
    assert optics.sted is not None  # the config requires it
    doughnut = replace(lens(optics.sted.depletion_um), vortex=True)
    return replace(
        confocal,
        depletion=doughnut,
        saturation_factor=optics.sted.saturation_factor,
        crest=_crest(doughnut),
    )


def _crest(doughnut: Lens) -> float:
    """Largest intensity of the doughnut without aberrations and mismatch."""
    ideal = replace(doughnut, aberrations=(), sample_index=doughnut.immersion_index, depth_um=0.0)
    r = np.linspace(0, 2 * ideal.lateral_unit_um, 401)
    return float(radial_intensity(ideal, r_um=r, z_um=np.zeros(1)).max())
