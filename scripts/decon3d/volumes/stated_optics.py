"""A file's metadata about its microscope; only compared with the config."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stated:
    """A file's metadata about the microscope; None and empty = not in the file."""

    numerical_aperture: float | None = None
    """Of the objective."""
    immersion_index: float | None = None
    """Refractive index of the objective's medium, from the microscope's settings."""
    emission_um: tuple[float | None, ...] = ()
    """By channel, in µm."""
    excitation_um: tuple[float | None, ...] = ()
    """By channel, in µm."""
    acquired: str | None = None
    """Day of the acquisition, YYYY-MM-DD."""


NOTHING = Stated()
