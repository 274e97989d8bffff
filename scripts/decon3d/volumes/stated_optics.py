"""A file's metadata about its microscope; only compared with the config."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stated:
    """A file's metadata about the microscope; None and empty = not in the file.

    Attributes
    ----------
    numerical_aperture
        Numerical aperture of the objective.
    immersion_index
        Refractive index of the objective's medium, from the microscope's settings.
    emission_um
        Emission wavelength of each channel, in µm.
    excitation_um
        Excitation wavelength of each channel, in µm.
    acquired
        Day of the acquisition, YYYY-MM-DD.
    """

    numerical_aperture: float | None = None
    immersion_index: float | None = None
    emission_um: tuple[float | None, ...] = ()
    excitation_um: tuple[float | None, ...] = ()
    acquired: str | None = None


NOTHING = Stated()
