"""What a file states of its microscope; it is only compared with the config."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stated:
    """What a file states of the microscope; None and empty = nothing."""

    numerical_aperture: float | None = None
    """Of the objective."""
    immersion_index: float | None = None
    """Refractive index of the objective's medium, as the microscope's settings have it."""
    emission_um: tuple[float | None, ...] = ()
    """By channel, in µm."""
    excitation_um: tuple[float | None, ...] = ()
    """By channel, in µm."""
    acquired: str | None = None
    """Day of the acquisition, YYYY-MM-DD."""


NOTHING = Stated()
