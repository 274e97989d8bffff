"""Sections of the config about the microscope: optics, PSF, channel. Lengths in µm."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Axes, Index, Section, Series, VoxelSize, Wavelength
from decon3d.optics.modalities import MODALITIES, Modality
from decon3d.volumes.sections import NormalisationSection

if TYPE_CHECKING:
    ModalityName = str
else:
    ModalityName = Literal[tuple(MODALITIES)]

Waves = Annotated[float, Field(ge=-1, le=1)]


class Aberrations(Section):
    """Zernike aberrations of the objective and the specimen, each by its RMS in waves.

    Noll's normalisation and axes; see `decon3d.optics.zernike`.
    """

    defocus: Waves = 0.0
    """Noll 4."""
    astigmatism_0: Waves = 0.0
    """Astigmatism along X and Y; Noll 6."""
    astigmatism_45: Waves = 0.0
    """Astigmatism along the diagonals; Noll 5."""
    coma_x: Waves = 0.0
    """Coma along X; Noll 8."""
    coma_y: Waves = 0.0
    """Coma along Y; Noll 7."""
    trefoil_x: Waves = 0.0
    """Trefoil, cosine; Noll 10."""
    trefoil_y: Waves = 0.0
    """Trefoil, sine; Noll 9."""
    spherical: Waves = 0.0
    """Primary spherical aberration; Noll 11."""
    secondary_astigmatism_0: Waves = 0.0
    """Secondary astigmatism along X and Y; Noll 12."""
    secondary_astigmatism_45: Waves = 0.0
    """Secondary astigmatism along the diagonals; Noll 13."""
    quadrafoil_x: Waves = 0.0
    """Quadrafoil, cosine; Noll 14."""
    quadrafoil_y: Waves = 0.0
    """Quadrafoil, sine; Noll 15."""
    secondary_spherical: Waves = 0.0
    """Secondary spherical aberration; Noll 22."""

    @property
    def terms(self) -> tuple[tuple[str, float], ...]:
        """Names and values of those that are not 0."""
        return tuple((name, value) for name, value in self if value)


class Sted(Section):
    """The depletion of STED: a doughnut by a vortex plate (2D)."""

    depletion_um: Wavelength
    """Wavelength of the depletion laser, in µm."""
    saturation_factor: PositiveFloat
    """I_sted / I_sat: peak intensity of the doughnut, divided by the intensity that halves the
    fluorescence."""


class Optics(Section):
    """The microscope, the same for all volumes and channels of a dataset."""

    modality: ModalityName
    """Type of microscope."""
    numerical_aperture: Annotated[float, Field(gt=0, lt=2)]
    """Numerical aperture of the detecting objective."""
    immersion_index: Index = 1.515
    """Refractive index of the immersion medium."""
    sample_index: Index | None = None
    """Refractive index of the specimen's medium; null = that of the immersion medium."""
    depth_um: Annotated[float, Field(ge=0)] = 0.0
    """Depth of the imaged structures below the coverslip, in µm."""
    model: Literal["vectorial", "scalar"] = "vectorial"
    """Diffraction model of the theoretical PSF. `scalar` (Gibson & Lanni) has no polarisation and
    lacks the objective's aplanatic factor. Its PSF is 3 % (NA 0.8) to 9 % (NA 1.4, oil) narrower
    laterally and up to 1 % longer axially. Use it to compare with other software."""
    pinhole_au: PositiveFloat = 1.0
    """Confocal and STED only: pinhole diameter in Airy units."""
    sheet_thickness_um: PositiveFloat | None = None
    """Light sheet only: full width at half maximum of the sheet, in µm."""
    sted: Sted | None = None
    """STED only: the depletion."""
    aberrations: Aberrations = Aberrations()
    """Zernike aberrations, each an RMS in waves of the emission (two-photon: of the excitation)."""

    # Field validators, not one of the whole model: they run whatever else is wrong here.
    @field_validator("immersion_index")
    @classmethod
    def _above_aperture(cls, value: float, info: ValidationInfo) -> float:
        aperture = info.data.get("numerical_aperture")
        if aperture is not None and aperture >= value:
            raise PydanticCustomError(
                "optics",
                "{n} must be greater than numerical_aperture {na}; check both (water 1.333, "
                "glycerol 1.47, oil 1.515)",
                {"na": f"{aperture:g}", "n": f"{value:g}"},
            )
        return value

    @field_validator("sheet_thickness_um")
    @classmethod
    def _sheet(cls, value: float | None, info: ValidationInfo) -> float | None:
        kind = MODALITIES.get(info.data.get("modality", ""))
        if value is None and kind is not None and kind.excitation == "sheet":
            raise PydanticCustomError(
                "optics", "is missing; a light sheet needs its thickness (FWHM) in µm"
            )
        return value

    @field_validator("sted")
    @classmethod
    def _depletion(cls, value: Sted | None, info: ValidationInfo) -> Sted | None:
        modality = info.data.get("modality")
        if modality is None:  # wrong itself
            return value
        if value is None and MODALITIES[modality].depleted:
            raise PydanticCustomError(
                "optics",
                "is missing; STED needs the depletion, e.g. {example}",
                {"example": "{depletion_um: 0.592, saturation_factor: 20}"},
            )
        if value is not None and not MODALITIES[modality].depleted:
            raise PydanticCustomError(
                "optics",
                "needs `modality: sted`, but the modality is {modality}; remove one of them",
                {"modality": modality},
            )
        return value

    @property
    def kind(self) -> Modality:
        """The entry of `modalities` for this kind of microscope."""
        return MODALITIES[self.modality]

    @property
    def specimen_index(self) -> float:
        """Refractive index around the structures."""
        return self.immersion_index if self.sample_index is None else self.sample_index


class TheoryPsf(Section):
    """A PSF computed from the optics."""

    source: Literal["theory"] = "theory"
    """From theory."""


class FilePsf(Section):
    """A measured PSF: an image of one bead, on any voxel grid."""

    source: Literal["file"]
    """From a file."""
    path: str
    """TIFF or OME-Zarr of the PSF (Z Y X); environment variables are expanded."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size of that file (Z, Y, X), in µm; null = from its metadata."""
    pedestal: Literal["auto", "none"] | Annotated[float, Field(ge=0)] = "auto"
    """Counts of camera offset and background in that file; they are subtracted. `auto`: measured
    where theory predicts no light. `none`: 0. Or a number of counts."""
    series: Series | None = None
    """Name or number of its image in that file, if that holds several; null = the only one."""
    axes: Axes | None = None
    """Axes of that file, e.g. ZYX; null = from its metadata."""
    accept_pedestal: bool = False
    """Confirm that more than half of the file's sum may be removed as a measured pedestal."""
    accept_mismatch: bool = False
    """Confirm that the PSF is right although its shape contradicts theory (step, axes, a second
    bead, a width that light cannot have)."""


class BeadImages(Section):
    """A stack of many beads, and how it is read."""

    path: str
    """TIFF, OME-TIFF or OME-Zarr of the beads; environment variables are expanded."""
    bead_diameter_um: Annotated[float, Field(gt=0, le=5)]
    """Diameter of the beads, in µm. The PSF is corrected for it by deconvolution."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size of that stack (Z, Y, X), in µm; null = from its metadata."""
    series: Series | None = None
    """Name or number of its image in that file, if that holds several; null = the only one."""
    axes: Axes | None = None
    """Axes of that file, e.g. CZYX; null = from its metadata."""
    half_width_um: VoxelSize | None = None
    """Half size (Z, Y, X) of the box around a bead, in µm. A bead is used only if its box is inside
    the stack and no other bright bead is in or close to it. Null = 2.5 widths of the bead images
    (light sheet 3, widefield 4)."""
    plane_tolerance_um: PositiveFloat | None = None
    """Beads that are farther than this from the median Z position are rejected, in µm; null = no
    limit."""
    accept_mismatch: bool = False
    """Confirm that the PSF is right although its shape contradicts theory (step, axes, a second
    bead, a width that light cannot have)."""


class BeadsPsf(BeadImages):
    """A measured PSF: a stack of many beads, which are found, judged and averaged."""

    source: Literal["beads"]
    """From a bead stack."""
    channel: Annotated[int, Field(ge=0)] = 0
    """Position on the channel axis of that stack, from 0."""
    reference_channel: Annotated[int, Field(ge=0)] | None = None
    """Position of another channel of that stack. The shift of the beads between the two channels is
    measured and reported. Null = not measured."""
    align: bool = False
    """Correct that shift: the PSF is displaced by it, so that the restored channel is registered
    with the reference channel. The beads must be visible in both channels."""

    @field_validator("align")
    @classmethod
    def _against(cls, value: bool, info: ValidationInfo) -> bool:
        if value and info.data.get("reference_channel") is None:
            raise PydanticCustomError(
                "psf", "needs `reference_channel`, the channel of the stack to align with"
            )
        return value


Psf = Annotated[TheoryPsf | FilePsf | BeadsPsf, Field(discriminator="source")]


PSF_SOURCES: dict[str, type[Section]] = {"theory": TheoryPsf, "file": FilePsf, "beads": BeadsPsf}


class ChannelOptics(Section):
    """A channel of a microscope: a laser, a filter and, in front of the detector, a pinhole."""

    emission_um: Wavelength
    """Wavelength of the emission peak, in µm."""
    excitation_um: Wavelength | None = None
    """Wavelength of the excitation, in µm. Confocal and STED: null = 0.93 × the emission;
    two-photon: the laser's wavelength, required."""
    pinhole_au: PositiveFloat | None = None
    """Confocal and STED only: diameter of this channel's pinhole in Airy units; null = the
    `pinhole_au` of the optics."""

    def optics_of(self, shared: Optics) -> Optics:
        """Return the microscope's optics in this channel."""
        if self.pinhole_au is None:
            return shared
        return shared.model_copy(update={"pinhole_au": self.pinhole_au})


class Channel(ChannelOptics):
    """A channel: one fluorophore."""

    index: Annotated[int, Field(ge=0)] = 0
    """Position on the channel axis of the input, from 0. If the input file names the channel,
    restored volumes keep that name; paths, tables and pages use the name in the config."""
    psf: Psf = TheoryPsf()
    """Source of the PSF: theory, a file, or a bead stack."""
    normalisation: NormalisationSection | None = None
    """Fixed normalisation; null = estimated once over all volumes and time points."""
    beads_um: Annotated[float, Field(gt=0, le=5)] | None = None
    """Only if the volumes show single beads: their diameter, in µm. The report then compares the
    widths of the bead images with the PSF, which shows whether the PSF is too wide or too narrow.
    Null = other objects."""


def check_excitation(optics: Optics, channels: Mapping[str, ChannelOptics]) -> None:
    """Refuse a two-photon microscope's channels that lack the laser's wavelength."""
    for name, channel in channels.items():
        if optics.kind.excitation == "two_photon" and channel.excitation_um is None:
            raise PydanticCustomError(
                "channels",
                "channels.{name}.excitation_um is missing; two-photon excitation needs the "
                "laser's wavelength in µm, e.g. 0.92",
                {"name": name},
            )
