"""Kinds of microscope: one entry each, with everything that distinguishes it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Modality:
    """How a microscope illuminates the specimen and collects the light.

    Attributes
    ----------
    label
        Its name in sentences: "a … microscope".
    excitation
        Light everywhere, in a sheet, or in a focus; of two photons, the emitted light is
        collected without forming an image.
    depleted
        Whether a doughnut of light depletes the surroundings of the focus (STED).
    bead_reach
        Half-width of the crop around a bead, in FWHM of the beads, if the config gives none.
        The wider the crop, the fewer beads are isolated. A pinhole or two-photon excitation
        removes the light from out of focus, so a bead is dark at that distance; in widefield it
        is not.
    axial_bound, lateral_bound
        Half-width of the largest support, in axial and lateral FWHM. The axial tail of a
        widefield PSF never ends and its energy per plane does not fall, so the support must be
        bounded by a rule. Light from beyond the support is restored as false structure: with a
        third of these planes, a widefield nucleus in a stack of 12 µm gets ghosts above and below
        it. Laterally
        there is room for the cone of defocus. Where the illumination ends the cone, its planes
        are dim but large: a confocal PSF that ends where its axis falls below a thousandth of
        the peak lacks 8 to 10 % of its light, which makes objects too dim by as much. Within
        eight widths all but 4 % of it lies, the rest thinly spread; twice as many would double
        every block's halo for 2 %.
    """

    label: str
    excitation: Literal["even", "sheet", "one_photon", "two_photon"]
    depleted: bool = False
    bead_reach: float = 2.5
    axial_bound: float = 8.0
    lateral_bound: float = 8.0

    @property
    def sectioning(self) -> bool:
        """Whether light from out of focus is weak: it ends with the illumination."""
        return self.excitation != "even"

    @property
    def focused(self) -> bool:
        """Whether the objective focuses the excitation, so that its wavelength counts."""
        return self.excitation in ("one_photon", "two_photon")


MODALITIES: dict[str, Modality] = {
    "widefield": Modality(
        label="widefield", excitation="even", bead_reach=4.0, axial_bound=18.0, lateral_bound=20.0
    ),
    "confocal": Modality(label="confocal", excitation="one_photon"),
    "two_photon": Modality(label="two-photon", excitation="two_photon", axial_bound=5.0),
    "light_sheet": Modality(label="light-sheet", excitation="sheet", bead_reach=3.0),
    "sted": Modality(label="STED", excitation="one_photon", depleted=True),
}
"""By the config's word."""
