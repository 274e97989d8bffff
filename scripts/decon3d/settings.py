"""The config as validated, immutable settings: every rule of the config lives here, once.

`load_settings` checks everything at once and raises one `ConfigError` that lists all problems.
The JSON schema in `workflow/schemas` is generated from these classes. Lengths are micrometres,
triples are in the order Z, Y, X.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from decon3d.errors import ConfigError, UserError
from decon3d.networks.description import load_info

NAME = r"^[A-Za-z0-9_-]+$"
RESERVED_METHODS = {"input", "truth"}
Recipe = Literal[
    "rln_mixed", "spheres", "spheres_2x", "spheres_3x", "spheres_4x", "neurodecon", "broad",
    "tubules", "membranes", "nuclei", "er_network",
]  # fmt: skip
RECIPES: tuple[str, ...] = get_args(Recipe)

Name = Annotated[str, Field(pattern=NAME)]
Shape = tuple[PositiveInt, PositiveInt, PositiveInt]


def _plausible_voxel(value: float) -> float:
    if not 0.001 <= value <= 20:
        hint = f"{value:g} nm is {value / 1000:g} µm" if value > 20 else "give micrometres"
        raise PydanticCustomError(
            "unit", "{value} µm is no voxel size of a light microscope ({hint})",
            {"value": f"{value:g}", "hint": hint},
        )  # fmt: skip
    return value


def _plausible_wavelength(value: float) -> float:
    if not 0.2 <= value <= 2:
        hint = f"{value:g} nm is {value / 1000:g} µm" if value > 2 else "give micrometres"
        raise PydanticCustomError(
            "unit", "{value} µm is no wavelength of visible light ({hint})",
            {"value": f"{value:g}", "hint": hint},
        )  # fmt: skip
    return value


Voxel = Annotated[float, AfterValidator(_plausible_voxel)]
VoxelSize = tuple[Voxel, Voxel, Voxel]
Wavelength = Annotated[float, AfterValidator(_plausible_wavelength)]
Index = Annotated[float, Field(ge=1.0, le=2.0)]
Stretch = Annotated[float, Field(ge=0.5, le=2.0)]


class _Settings(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )


Waves = Annotated[float, Field(ge=-1, le=1)]


class Aberrations(_Settings):
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


class Sted(_Settings):
    """The depletion of STED: a doughnut by a vortex plate (2D)."""

    depletion_um: Wavelength
    """Wavelength of the depletion laser, in µm."""
    saturation_factor: PositiveFloat
    """I_sted / I_sat: intensity at the doughnut's crest over that which halves the fluorescence."""


class Optics(_Settings):
    """What the microscope is; shared by all volumes and channels of a dataset."""

    modality: Literal["widefield", "confocal", "two_photon", "light_sheet", "sted"]
    """How the light is collected and the specimen lit."""
    numerical_aperture: Annotated[float, Field(gt=0, lt=2)]
    """Numerical aperture of the detecting objective."""
    immersion_index: Index = 1.515
    """Refractive index of the immersion medium."""
    sample_index: Index | None = None
    """Refractive index of the specimen's medium; null = as the immersion."""
    depth_um: Annotated[float, Field(ge=0)] = 0.0
    """Depth of the imaged structures below the coverslip, in µm."""
    model: Literal["vectorial", "scalar"] = "vectorial"
    """Diffraction model of the theoretical PSF."""
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
                "{n} is not above numerical_aperture {na}, and no lens collects beyond 90°: check "
                "both (water 1.333, glycerol 1.47, oil 1.515)",
                {"na": f"{aperture:g}", "n": f"{value:g}"},
            )
        return value

    @field_validator("sheet_thickness_um")
    @classmethod
    def _sheet(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is None and info.data.get("modality") == "light_sheet":
            raise PydanticCustomError("optics", "is missing; a light sheet needs its FWHM in µm")
        return value

    @field_validator("sted")
    @classmethod
    def _depletion(cls, value: Sted | None, info: ValidationInfo) -> Sted | None:
        modality = info.data.get("modality")
        if value is None and modality == "sted":
            raise PydanticCustomError(
                "optics",
                "is missing; STED needs its depletion, e.g. {example}",
                {"example": "{depletion_um: 0.592, saturation_factor: 20}"},
            )
        if value is not None and modality not in ("sted", None):
            raise PydanticCustomError(
                "optics", "belongs to `modality: sted`, not to {modality}", {"modality": modality}
            )
        return value

    @property
    def specimen_index(self) -> float:
        """Refractive index around the structures."""
        return self.immersion_index if self.sample_index is None else self.sample_index


class Camera(_Settings):
    """How photons become counts: counts = gain · photons + offset, plus read noise."""

    offset: Annotated[float, Field(ge=0)] | None = None
    """Counts of a dark image; null = the background level estimated from the data. Known, it lets
    Richardson-Lucy model the noise rightly, and take fewer iterations."""
    gain: PositiveFloat | None = None
    """Counts per photon; null = 1 where noise is simulated or read noise modelled, and estimated
    from variance against mean where photons are split (`stopping: rlgc`, `tune_on: data`)."""
    read_noise: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation of the read noise in photons, in RL's noise model and in simulation;
    null = 1 is assumed (in the model only beside a known offset)."""
    bits: Annotated[int, Field(ge=8, le=16)] | None = None
    """Bits of the converter: simulated images are whole counts and saturate at 2^bits - 1.
    Null = 16 for simulated volumes, which are files; phantoms are neither rounded nor clipped."""


class TheoryPsf(_Settings):
    """A PSF computed from the optics."""

    source: Literal["theory"] = "theory"
    """From theory."""


class FilePsf(_Settings):
    """A measured PSF: an image of one bead, on any voxel grid."""

    source: Literal["file"]
    """From a file."""
    path: str
    """TIFF of the PSF (Z Y X); environment variables are expanded."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size of that file (Z, Y, X), in µm; null = from its metadata."""
    accept_pedestal: bool = False
    """Confirm that more than half of the file's sum may be removed as camera pedestal."""


class BeadsPsf(_Settings):
    """A measured PSF: a stack of many beads, which are found, judged and averaged."""

    source: Literal["beads"]
    """From a bead stack."""
    path: str
    """TIFF, OME-TIFF or OME-Zarr of the beads; environment variables are expanded."""
    bead_diameter_um: Annotated[float, Field(gt=0, le=5)]
    """Diameter of the beads, in µm; it is deconvolved out of the PSF and kept in the pair."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size of that stack (Z, Y, X), in µm; null = from its metadata."""
    channel: Annotated[int, Field(ge=0)] = 0
    """Position on the channel axis of that stack, from 0."""
    half_width_um: VoxelSize | None = None
    """Half size (Z, Y, X) of the free space around a bead, in µm; null = 2.5 (light sheet 3,
    widefield 4) widths of the beads."""
    plane_tolerance_um: PositiveFloat | None = None
    """Beads farther than this from the median bead along Z are rejected; null = none are."""


Psf = Annotated[TheoryPsf | FilePsf | BeadsPsf, Field(discriminator="source")]
PSF_SOURCES: dict[str, type[_Settings]] = {"theory": TheoryPsf, "file": FilePsf, "beads": BeadsPsf}


class Normalisation(_Settings):
    """A fixed affine map (counts - offset) / scale, in place of the estimated one."""

    offset: Annotated[float, Field(ge=0)]
    """Counts that become 0."""
    scale: PositiveFloat
    """Counts above the offset that become 1."""


class Channel(_Settings):
    """One fluorophore: where it lies in the files and how it shines."""

    index: Annotated[int, Field(ge=0)] = 0
    """Position on the channel axis of the input, from 0."""
    emission_um: Wavelength
    """Wavelength of the emission peak, in µm."""
    excitation_um: Wavelength | None = None
    """Wavelength of the excitation, in µm. Confocal and STED: null = 0.93 × the emission;
    two-photon: the laser's, must be given."""
    psf: Psf = TheoryPsf()
    """Where the point spread function comes from."""
    normalisation: Normalisation | None = None
    """Fixed normalisation; null = estimated once over all volumes and time points."""


class VolumeEntry(_Settings):
    """One volume by name."""

    name: Name
    """Its name in the results."""
    path: str
    """TIFF, OME-TIFF or OME-Zarr; environment variables are expanded."""
    reference: str | None = None
    """A volume of the same grid that is taken as the truth in the evaluation."""


class Simulation(_Settings):
    """A volume that the workflow makes itself, with its truth."""

    shape: Shape
    """Voxels (Z, Y, X)."""
    recipe: Recipe = "rln_mixed"
    """Phantom recipe of the object."""
    photons: PositiveFloat = 200.0
    """Mean photons of the brightest 0.1 % of the voxels."""
    background_photons: Annotated[float, Field(ge=0)] = 5.0
    """Photons of the even background."""


def _one_group(value: str | None) -> str | None:
    try:
        groups = 1 if value is None else re.compile(value).groups
    except re.error as error:
        raise PydanticCustomError(
            "pairs", "is no regular expression: {reason}", {"reason": str(error)}
        ) from None
    if groups != 1:
        raise PydanticCustomError(
            "pairs", "needs one group in parentheses, which names the specimen: '(fish[0-9]+)_'"
        )
    return value


Share = Annotated[float, Field(gt=0, lt=1)]


class MeasuredPairs(_Settings):
    """Measured pairs of a raw and a true volume, in place of phantoms."""

    raw: str | list[str]
    """Volumes as the methods get them (low exposure, confocal …): a path, a folder, a glob, or a
    list of these."""
    truth: str | list[str]
    """What they should become (high exposure, STED …), on the same voxel grid: as many files, in
    the same order."""
    specimen: Annotated[str | None, AfterValidator(_one_group)] = None
    """Regular expression whose one group finds the specimen's name in the raw file's name; null =
    every pair is a specimen of its own. Pairs of one specimen stay in one split."""
    val: Share = 0.15
    """Share of the specimens that pick the best weights and tune the baselines; at least one."""
    test: Share = 0.15
    """Share of the specimens that the report's numbers are measured on; at least one."""
    shape: Shape | None = None
    """Voxels (Z, Y, X) of the tiles that pairs are cut into; null = the smallest pair's, at most
    64 × 256 × 256."""
    tiles: PositiveInt = 4
    """Tiles of a training pair, the brightest ones, at most; validation and test take one each."""
    max_shift_um: PositiveFloat = 2.0
    """A pair whose truth lies farther off is refused, in µm; smaller shifts are undone."""
    max_drift_um: PositiveFloat = 0.5
    """A pair whose parts (halves along Z, lateral quarters) are shifted differently by more than
    this is refused, in µm: no translation lays it on top of each other."""


def _crop(value: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    for axis, (start, stop) in zip("ZYX", value, strict=True):
        if stop <= start:
            raise ValueError(f"along {axis}, {stop} is not behind {start}; give [start, stop]")
    return value


Bounds = tuple[Annotated[int, Field(ge=0)], PositiveInt]


class Preview(_Settings):
    """What `snakemake preview` shows."""

    volume: Name | None = None
    """Name of a volume; null = the first."""
    roi: Annotated[tuple[Bounds, Bounds, Bounds], AfterValidator(_crop)] | None = None
    """Crop, [start, stop] in voxels along Z, Y, X; null = 32 × 160 × 160 where there is most
    light."""


class Dataset(_Settings):
    """Volumes that share a microscope: one PSF and one model per channel."""

    volumes: str | list[str | VolumeEntry] | None = None
    """A path, a glob, a list, or a sheet (.tsv / .csv with name, path, optional reference)."""
    simulate: dict[Name, Simulation] | None = None
    """Instead of `volumes`: volumes that the workflow makes itself, by name."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size (Z, Y, X), in µm; null = from the metadata of the first volume."""
    times: list[Annotated[int, Field(ge=0)]] | None = None
    """Time points to restore, from 0; null = all."""
    no_data: Literal["auto", "none"] | float = "auto"
    """Value of voxels without data (fill of deskewing, stitching or padding): `auto` finds it, as a
    value that whole places have and the dark does not; `none`; or a number. These voxels keep it;
    all else leaves them out. What is not finite has no data either."""
    pairs: MeasuredPairs | None = None
    """Measured pairs that networks are trained, baselines tuned and all methods tested on; null =
    phantoms."""
    optics: Optics
    camera: Camera = Camera()
    preview: Preview = Preview()
    channels: Annotated[dict[Name, Channel], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_source(self) -> "Dataset":
        if (self.volumes is None) == (self.simulate is None):
            raise PydanticCustomError(
                "volumes", "give exactly one of `volumes` (your files) and `simulate` (made here)"
            )
        if self.simulate is not None and self.voxel_size_um is None:
            raise PydanticCustomError(
                "volumes", "voxel_size_um is missing; simulated volumes have no metadata"
            )
        for name, channel in self.channels.items():
            if self.optics.modality == "two_photon" and channel.excitation_um is None:
                raise PydanticCustomError(
                    "channels",
                    "channels.{name}.excitation_um is missing; two-photon excitation needs the "
                    "laser's wavelength in µm, e.g. 0.92",
                    {"name": name},
                )
        indices = [channel.index for channel in self.channels.values()]
        if len(set(indices)) < len(indices):
            raise PydanticCustomError("channels", "two channels have the same index")
        if self.simulate is not None and max(indices) >= len(indices):
            raise PydanticCustomError(
                "channels",
                "the channels of simulated volumes have the indices 0, 1, … without gaps",
            )
        return self


class ObjectFile(_Settings):
    """A clean volume of your own as an object: random crops of it, flipped, scaled to 0 … 1."""

    path: str
    """TIFF, OME-TIFF or OME-Zarr, first time point and channel; variables are expanded."""
    voxel_size_um: VoxelSize | None = None
    """Its voxel size (Z, Y, X), in µm; null = from its metadata, else taken as the images'."""


class PsfVariation(_Settings):
    """How the PSF differs from volume to volume."""

    depth_um: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = None
    """Range of the depth below the coverslip, in µm, drawn evenly; null = `optics.depth_um`.
    Theoretical PSFs only."""
    width: tuple[Stretch, Stretch] | None = None
    """Range of a factor that stretches the PSF in all directions, drawn log-uniformly."""

    @model_validator(mode="after")
    def _ordered(self) -> "PsfVariation":
        for key in ("depth_um", "width"):
            low, high = getattr(self, key) or (0, 0)
            if low > high:
                raise PydanticCustomError(
                    "photons", "{key}: the lower bound comes first", {"key": key}
                )
        return self


class Split(_Settings):
    """One split of the phantoms."""

    count: PositiveInt
    """Volumes per recipe entry of weight 1 in `test`; volumes in all for `train` and `val`."""
    recipes: Annotated[dict[Name, PositiveFloat], Field(min_length=1)]
    """Recipes, or names of your own `objects`, with their weights."""
    doses: Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    """`test` only: photons; every object is imaged at each of them. Null = one image per object,
    the doses spread over `photons`."""
    psf_variation: PsfVariation | None = None
    """Another PSF in every volume, for robust training or tests; null = the channel's in all."""


class Phantoms(_Settings):
    """Simulated pairs for training, tuning and tests with a known truth."""

    shape: Shape = (48, 96, 96)
    """Voxels of each volume (Z, Y, X)."""
    train: Split = Split(count=16, recipes={"rln_mixed": 1})
    """What the networks learn from."""
    val: Split = Split(count=4, recipes={"rln_mixed": 1})
    """What picks the best weights and tunes the baselines."""
    test: Split = Split(count=8, recipes={"rln_mixed": 1, "tubules": 1})
    """What the report's numbers with truth are measured on."""
    photons: tuple[PositiveFloat, PositiveFloat] = (50.0, 500.0)
    """Range of the mean photons of the brightest 0.1 % of the voxels, drawn log-uniformly."""
    background_photons: Annotated[float, Field(ge=0)] = 5.0
    """Photons of the even background."""
    unit_um: PositiveFloat | None = None
    """Length, in µm, of which the recipes' sizes are multiples (but for rln_mixed, which is in
    voxels); null = the smallest voxel edge."""
    objects: dict[Name, ObjectFile] = {}
    """Clean volumes of your own by name; the names may stand among the `recipes`."""

    @model_validator(mode="after")
    def _ordered(self) -> "Phantoms":
        if self.photons[0] > self.photons[1]:
            raise PydanticCustomError("photons", "photons: the lower bound comes first")
        return self

    @model_validator(mode="after")
    def _known(self) -> "Phantoms":
        taken = sorted(set(RECIPES) & set(self.objects))
        if taken:
            raise PydanticCustomError(
                "phantoms",
                "phantoms.objects.{name}: this name is a recipe's; rename it",
                {"name": taken[0]},
            )
        known = {*RECIPES, *self.objects}
        for split in ("train", "val"):
            if getattr(self, split).doses is not None:
                raise PydanticCustomError(
                    "phantoms",
                    "phantoms.{split}.doses: only `test` has set doses; here phantoms.photons is "
                    "the range that they are drawn from",
                    {"split": split},
                )
        for split in ("train", "val", "test"):
            for name in sorted(set(getattr(self, split).recipes) - known):
                raise PydanticCustomError(
                    "phantoms",
                    "phantoms.{split}.recipes: {name} is neither a recipe nor one of "
                    "phantoms.objects; known: {known}",
                    {"split": split, "name": repr(name), "known": ", ".join(sorted(known))},
                )
        return self

    def of_split(self, split: str) -> "Phantoms":
        """Return what one split depends on: the objects of others are left out."""
        used = getattr(self, split).recipes
        objects = {name: entry for name, entry in self.objects.items() if name in used}
        return self.model_copy(update={"objects": objects})


Schedule = Annotated[
    Literal["exponential", "quarters", "plateau", "staircase", "cosine"],
    Field(
        description="How the rate falls: × `decay_rate` per `decay_steps`, continuously; halved "
        "after each quarter of the steps; halved after ten validations without progress; × "
        "`decay_rate` per `decay_steps`, in stairs; along a cosine to 0."
    ),
]


class Training(_Settings):
    """How a network is trained; the defaults are the network's own, where steps allow it."""

    steps: PositiveInt = 10_000
    """Optimiser steps."""
    batch: PositiveInt = 4
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (64, 64, 64)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 0.015
    """Rate of the first step."""
    schedule: Schedule = "exponential"
    decay_steps: PositiveInt = 600
    """Steps per decay of the rate (`exponential`, `staircase`)."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Factor of a decay (`exponential`, `staircase`); 0.5 halves it every `decay_steps`."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient of all weights together; null = any."""
    validate_every: PositiveInt = 200
    """Steps between two validations; the best weights are kept."""
    save_every: PositiveInt = 200
    """Steps between two savings of the whole state: what a killed training loses at most."""
    patience: PositiveInt | None = None
    """Validations without a better score after which the training ends; null = after all steps."""
    intensity_scale: tuple[PositiveFloat, PositiveFloat] | None = None
    """Range of a factor, drawn log-uniformly for each crop, on image and object alike. The noise
    grows with it: another gain, not another dose. Null = none."""
    start_from: str | None = None
    """Folder of a bundle of the same kind and options whose weights are trained on; null = from
    scratch. A rate below the usual one keeps what it knows."""
    precision: Literal["float32", "mixed"] = "float32"
    """`mixed`: layers work in float16 on a GPU, weights stay float32; on a CPU, which is no faster
    in float16, float32 is used and the log says so."""

    @field_validator("intensity_scale")
    @classmethod
    def _ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] > value[1]:
            raise PydanticCustomError("training", "the lower bound comes first")
        return value


class RlnTraining(Training):
    """RLN's training."""

    auxiliary_loss: bool = True
    """The loss on the first estimate (weight 0.1)."""
    gradients: Literal["straight_through", "exact"] = "straight_through"
    """Of the divisions and multiplications: the authors' custom gradients or the exact ones."""


class NeuroDeconTraining(Training):
    """NeuroDecon's training."""

    batch: PositiveInt = 2
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (32, 144, 144)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 1e-3
    """Rate of the first step."""
    schedule: Schedule = "staircase"
    decay_steps: PositiveInt = 12_500
    """Steps per decay of the rate (`exponential`, `staircase`)."""
    decay_rate: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Factor of a decay (`exponential`, `staircase`); 0.5 halves it every `decay_steps`."""


class CareTraining(Training):
    """CARE's training."""

    steps: PositiveInt = 40_000
    """Optimiser steps."""
    batch: PositiveInt = 16
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (16, 64, 64)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 4e-4
    """Rate of the first step."""
    schedule: Schedule = "plateau"
    validate_every: PositiveInt = 400
    """Steps between two validations; the best weights are kept."""


class RcanTraining(Training):
    """3D-RCAN's training."""

    steps: PositiveInt = 76_800
    """Optimiser steps: 300 epochs of 256."""
    batch: PositiveInt = 1
    """Crops per step; several GPUs split them evenly."""
    crop: Shape = (16, 256, 256)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 1e-4
    """Rate of the first step."""
    schedule: Schedule = "quarters"
    validate_every: PositiveInt = 256
    """Steps between two validations; the best weights are kept."""


class RlResidualTraining(Training):
    """The training of rl_residual."""

    steps: PositiveInt = 3000
    """Optimiser steps."""
    crop: Shape = (32, 32, 32)
    """Voxels of a crop (Z, Y, X); cut to the phantoms' shape where that is smaller."""
    learning_rate: PositiveFloat = 2e-3
    """Rate of the first step."""
    schedule: Schedule = "cosine"
    gradient_clip: PositiveFloat | None = 1.0
    """Largest norm of the gradient of all weights together; null = any."""


Tuned = Literal["tune"]
Stopping = Literal["fixed", "relative_change", "rlgc"]
TuneOn = Literal["phantoms", "data", "test_truth"]
ORACLE = "_oracle"
"""End of the names of methods that are tuned on the test truth."""
STOPPING_LIMIT = 500
"""Iterations that a stopping rule may take unless the config says otherwise."""


class _Method(_Settings):
    """What all methods have in common."""

    source: Name | None = None
    """Another method, whose restored volumes this one starts from (first denoise, then sharpen):
    negative counts become 0, the normalisation is theirs, and it is trained, tuned and tested on
    what that method makes of the training data. Null = the raw volumes."""


class _Iterative(_Method):
    """What Richardson-Lucy and RLTV have in common."""

    device: Literal["cpu", "gpu"] = "cpu"
    """Where volumes and test phantoms are restored. `gpu`: on one GPU, by the rules for GPUs; it
    needs CuPy (the extra `cupy`), fails without a GPU, and `restoration.memory_gb` is then the
    GPU's memory. Searches and stopping rules run on the CPU. Tested with a stand-in for CuPy's
    arrays only, not yet on a GPU; results differ from the CPU's by rounding."""

    @model_validator(mode="before")
    @classmethod
    def _limit(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("stopping", "fixed") == "fixed":
            return values
        # Momentum carries voxels past the point where the halves begin to disagree.
        slow = {"acceleration": "none"} if values["stopping"] == "rlgc" else {}
        return {"iterations": STOPPING_LIMIT, **slow, **values}

    @model_validator(mode="after")
    def _one_decision(self) -> "_Iterative":
        stopping, iterations = getattr(self, "stopping", ""), getattr(self, "iterations", 1)
        if stopping != "fixed" and iterations == "tune":
            raise PydanticCustomError(
                "tune",
                "iterations: tune and stopping: {rule} both decide the number of iterations; leave "
                "one of them out",
                {"rule": stopping},
            )
        if stopping == "rlgc" and getattr(self, "acceleration", "none") != "none":
            raise PydanticCustomError(
                "tune",
                "stopping: rlgc goes with acceleration: none: momentum runs on into the noise",
            )
        return self


class Rl(_Iterative):
    """Richardson-Lucy deconvolution."""

    kind: Literal["rl"]
    """Richardson-Lucy."""
    iterations: PositiveInt | Tuned = 15
    """Iterations, or `tune`: the best by `tune_on`; with a stopping rule the most (default 500)."""
    stopping: Stopping = "fixed"
    """`fixed`; `relative_change`: below 1 % per iteration; `rlgc`: each voxel stops when two
    halves of its photons disagree, all when < 1 % of a sample's voxels move."""
    tune_on: TuneOn = "phantoms"
    """What `tune` searches on: `phantoms` (val split); `data` (held-out photons, no truth);
    `test_truth` (an oracle: the method's name must end in _oracle)."""
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """Momentum; without it about twice as many iterations are needed. With `stopping: rlgc` none,
    since momentum runs on into the noise (7 dB lost at 50 photons)."""
    back_projector: Literal["matched", "wiener_butterworth"] = "matched"
    """`wiener_butterworth` (Guo 2020): one or two iterations, with acceleration: none."""

    @model_validator(mode="after")
    def _unmatched(self) -> "Rl":
        if self.back_projector != "matched" and (
            self.acceleration != "none" or self.stopping != "fixed"
        ):
            raise PydanticCustomError(
                "tune",
                "back_projector: {name} goes with acceleration: none and stopping: fixed (1 or 2 "
                "iterations): it diverges otherwise",
                {"name": self.back_projector},
            )
        return self


class Rltv(_Iterative):
    """Richardson-Lucy deconvolution with total variation (Dey 2006)."""

    kind: Literal["rltv"]
    """Richardson-Lucy with total variation."""
    iterations: PositiveInt | Tuned = "tune"
    """Iterations, or `tune`: the best by `tune_on`, together with tv_weight; with a stopping rule
    the most (default 500)."""
    tv_weight: PositiveFloat | Tuned | Literal["snr"] = "tune"
    """λ of the total variation, differences relative to the smallest voxel; or `tune`; or `snr`:
    50 / (SNR · smallest voxel in nm), from the brightest place of a sample (Laasmaa 2011)."""
    stopping: Stopping = "fixed"
    """`fixed`; `relative_change`: below 1 % per iteration; `rlgc`: each voxel stops when two
    halves of its photons disagree, all when < 1 % of a sample's voxels move."""
    tune_on: TuneOn = "phantoms"
    """What `tune` searches on: `phantoms` (val split); `data` (held-out photons, no truth);
    `test_truth` (an oracle: the method's name must end in _oracle)."""
    acceleration: Literal["heavy_ball", "none"] = "heavy_ball"
    """Momentum; without it about twice as many iterations are needed. With `stopping: rlgc` none,
    since momentum runs on into the noise (7 dB lost at 50 photons)."""

    @model_validator(mode="after")
    def _together(self) -> "Rltv":
        if (self.iterations == "tune") != (self.tv_weight == "tune"):
            raise PydanticCustomError(
                "tune", "iterations and tv_weight are tuned together: give `tune` for both or none"
            )
        return self


class Rln(_Method):
    """The Richardson-Lucy network (Li et al. 2022), trained on the pairs."""

    kind: Literal["rln"]
    """The Richardson-Lucy network."""
    epsilon: PositiveFloat = 1e-4
    """Added to the denominators of the network's two divisions."""
    training: RlnTraining = RlnTraining()


class NeuroDecon(_Method):
    """NeuroDecon (Sachuk et al. 2025), trained on the pairs."""

    kind: Literal["neurodecon"]
    """NeuroDecon."""
    large: bool = False
    """The large form: 6,058,690 parameters in place of 1,509,331."""
    training: NeuroDeconTraining = NeuroDeconTraining()


class Care(_Method):
    """CARE's U-Net (Weigert et al. 2018), trained on the pairs."""

    kind: Literal["care"]
    """CARE."""
    depth: Annotated[int, Field(ge=1, le=4)] = 2
    """Levels below the first."""
    probabilistic: bool = False
    """Learn the scale of a Laplace distribution beside the mean."""
    training: CareTraining = CareTraining()


class Rcan(_Method):
    """3D-RCAN (Chen et al. 2021), trained on the pairs."""

    kind: Literal["rcan"]
    """3D-RCAN."""
    groups: PositiveInt = 5
    """Residual groups."""
    blocks: PositiveInt = 3
    """Residual blocks per group."""
    channels: PositiveInt = 32
    """Channels of every convolution."""
    reduction: PositiveInt = 8
    """Factor by which the attention narrows the channels."""
    residual_scaling: PositiveFloat = 1.0
    """Weight of a block's residual."""
    loss: Literal["mae", "mse"] = "mae"
    """Mean absolute or mean squared error."""
    attention: Literal["calibrated", "per_block"] = "calibrated"
    """Pooled vectors fixed on a sample of the data, so that any tiling restores the same, or those
    of each block, as published."""
    training: RcanTraining = RcanTraining()


class RlEstimate(_Settings):
    """A run of Richardson-Lucy (heavy ball) that a network looks at."""

    iterations: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (25,)
    """Iterations after which it does, ascending; an input channel each."""
    tv_weight: Annotated[float, Field(ge=0)] = 0.0
    """λ of the total variation, as RLTV's; 0 = none."""

    @field_validator("iterations")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise PydanticCustomError("tune", "the iterations do not ascend")
        return value


class RlResidual(_Method):
    """A network of this project that learns what Richardson-Lucy leaves undone."""

    kind: Literal["rl_residual"]
    """Richardson-Lucy's residual."""
    estimates: Annotated[tuple[RlEstimate, ...], Field(min_length=1)] = (
        RlEstimate(iterations=(8, 25)),
        RlEstimate(iterations=(50,), tv_weight=0.0005),
        RlEstimate(iterations=(50,), tv_weight=0.002),
    )
    """What the network looks at beside the image; it corrects the last estimate of the last run."""
    channels: PositiveInt = 12
    """Channels of the convolutions at full resolution; twice as many at half."""
    biases: bool = False
    """Whether the convolutions have biases. Without, a network that is given twice the counts
    returns twice the counts, whatever the normalisation."""
    training: RlResidualTraining = RlResidualTraining()


class Bundle(_Method):
    """A network that was trained before: no training, the bundle's folder is used."""

    kind: Literal["bundle"]
    """An existing bundle."""
    bundle: str
    """Folder with model.keras and model.json; variables are expanded, `{channel}` is the
    channel's name."""


Trained = Rln | NeuroDecon | Care | Rcan | RlResidual
Method = Annotated[Rl | Rltv | Trained | Bundle, Field(discriminator="kind")]
METHOD_KINDS: dict[str, type[_Settings]] = {
    "rl": Rl,
    "rltv": Rltv,
    "rln": Rln,
    "neurodecon": NeuroDecon,
    "care": Care,
    "rcan": Rcan,
    "rl_residual": RlResidual,
    "bundle": Bundle,
}
CLASSICAL = (Rl, Rltv)


class Restoration(_Settings):
    """How volumes are cut, worked on and written."""

    parts: PositiveInt = 1
    """Independent jobs per dataset and method."""
    memory_gb: PositiveFloat = 2.0
    """Memory that one job may use for its block, in GB."""
    engine: Literal["auto", "tensorflow", "openvino"] = "auto"
    """What computes networks. `openvino` is faster on CPUs (the extra `openvino`); `auto` takes it
    where it is installed and the profile gives the restorations no GPU, else TensorFlow."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of networks' convolutions. `bfloat16` is faster where the CPU (AVX512_BF16, AMX) or GPU has
    it. It moves RLN with its published weights by 6e-4 of the maximum on average, but single voxels
    by up to 3 %: to look at, not to measure."""
    output_dtype: Literal["float32", "input"] = "float32"
    """Type of the restored counts; `input` rounds and clips to the input's, and reports it."""
    ome_tiff: bool = False
    """Write each restored volume as an OME-TIFF (BigTIFF, pyramid), too, beside its OME-Zarr."""


class Settings(_Settings):
    """The whole config."""

    schema_version: Literal[1] = 1
    """Version of this config format."""
    seed: Annotated[int, Field(ge=0)] = 1
    """Everything random follows from it."""
    require_gpu: bool = True
    """A job that was given a GPU and does not see it fails; false = it works on the CPU."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Datasets by name."""
    methods: Annotated[dict[Name, Method], Field(min_length=1)]
    """Restoration methods by name; the kind defaults to the name."""
    phantoms: Phantoms | None = None
    """Null = made with the defaults if a method trains or tunes, else not at all."""
    restoration: Restoration = Restoration()

    @model_validator(mode="after")
    def _names(self) -> "Settings":
        taken = RESERVED_METHODS & set(self.methods)
        if taken:
            raise PydanticCustomError(
                "methods",
                "methods.{name}: this name is reserved for the report's own rows; rename it",
                {"name": min(taken)},
            )
        for name, method in self.methods.items():
            if is_oracle(method) != name.endswith(ORACLE):
                raise PydanticCustomError(
                    "methods",
                    "methods.{name}: tune_on: test_truth (with iterations: tune) makes an oracle, "
                    "and an oracle's name ends in {end}; no other method's does",
                    {"name": name, "end": ORACLE},
                )
        return self

    @model_validator(mode="after")
    def _sources(self) -> "Settings":
        for name, method in self.methods.items():
            chain = [name]
            while (source := self.methods[chain[-1]].source) is not None:
                if source not in self.methods:
                    raise PydanticCustomError(
                        "methods",
                        "methods.{name}.source: there is no method {source}; known: {known}",
                        {"name": chain[-1], "source": repr(source),
                         "known": ", ".join(n for n in self.methods if n != chain[-1])},
                    )  # fmt: skip
                if source in chain:
                    raise PydanticCustomError(
                        "methods",
                        "methods.{name}.source: {circle} is a circle; one of them has to start "
                        "from the raw volumes",
                        {"name": name, "circle": " → ".join([*chain, source])},
                    )
                chain.append(source)
            if method.source is not None and counts_photons(method):
                raise PydanticCustomError(
                    "methods",
                    "methods.{name}: tune_on: data, stopping: rlgc and tv_weight: snr judge by the "
                    "noise of photons, which restored volumes (source: {source}) no longer have",
                    {"name": name, "source": method.source},
                )
        return self

    @model_validator(mode="after")
    def _training_data(self) -> "Settings":
        if self.phantoms is not None and all(d.pairs for d in self.datasets.values()):
            raise PydanticCustomError(
                "methods",
                "phantoms: every dataset has measured pairs, so that none are made; leave this out",
            )
        return self

    @model_validator(mode="after")
    def _depths(self) -> "Settings":
        measured = [
            f"datasets.{name}.channels.{channel}.psf"
            for name, dataset in self.datasets.items()
            for channel, value in dataset.channels.items()
            if value.psf.source != "theory"
        ]
        for split in ("train", "val", "test") if self.phantoms and measured else ():
            variation = getattr(self.phantoms, split).psf_variation
            if variation and variation.depth_um:
                raise PydanticCustomError(
                    "phantoms",
                    "phantoms.{split}.psf_variation.depth_um: {key} is measured, and how it would "
                    "look at another depth is not known; vary its width",
                    {"split": split, "key": measured[0]},
                )
        return self

    @property
    def simulated_pairs(self) -> Phantoms | None:
        """The phantoms to make, or None where nothing asks for them."""
        needed = any(
            is_trained(m) or (is_tuned(m) and getattr(m, "tune_on", "") != "data")
            for m in self.methods.values()
        ) and not all(dataset.pairs for dataset in self.datasets.values())
        return self.phantoms or (Phantoms() if needed else None)

    def has_pairs(self, dataset: str) -> bool:
        """Say whether a dataset has pairs with truth, measured ones or phantoms."""
        return self.datasets[dataset].pairs is not None or self.simulated_pairs is not None


def is_tuned(method: _Settings) -> bool:
    """Say whether a method's parameters are searched."""
    return getattr(method, "iterations", None) == "tune"


def is_oracle(method: _Settings) -> bool:
    """Say whether a method is tuned on the test truth itself, so that it is no competitor."""
    return is_tuned(method) and getattr(method, "tune_on", None) == "test_truth"


def needs_sample(method: _Settings) -> bool:
    """Say whether preparing a method needs blocks of the data themselves, and so some work."""
    return (
        getattr(method, "stopping", "fixed") != "fixed"
        or getattr(method, "tv_weight", None) == "snr"
        or getattr(method, "attention", None) == "calibrated"
        or isinstance(method, Bundle)  # may hold a network whose attention is calibrated
    )


def counts_photons(method: _Settings) -> bool:
    """Say whether a method's parameters follow from the noise of its input's photons."""
    return (
        (is_tuned(method) and getattr(method, "tune_on", None) == "data")
        or getattr(method, "stopping", None) == "rlgc"
        or getattr(method, "tv_weight", None) == "snr"
    )


def is_trained(method: _Settings) -> bool:
    """Say whether a method trains a network."""
    return hasattr(method, "training")


def is_network(method: _Settings) -> bool:
    """Say whether a method restores with a network."""
    return not isinstance(method, CLASSICAL)


def may_use_gpu(method: _Settings) -> bool:
    """Say whether a method's restorations may use a GPU, and so go to the rules for GPUs."""
    return is_network(method) or getattr(method, "device", "cpu") == "gpu"


_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}|\$(\w+)")


def expand_path(text: str) -> str:
    """Expand `~`, `$NAME`, `${NAME}` and `${NAME:-default}` in a path, as a shell would.

    Raises
    ------
    UserError
        If a variable is not set and has no default.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        found = os.environ.get(name) or match[2]
        if found is None:
            raise UserError(f"the environment variable {name} is not set (in {text!r})")
        return found

    return os.path.expanduser(_VARIABLE.sub(value, text))


def load_settings(config: dict[str, Any]) -> Settings:
    """Validate a config.

    Parameters
    ----------
    config
        The parsed YAML; not changed.

    Raises
    ------
    ConfigError
        With every problem of the config, missing files included.
    """
    try:
        settings = Settings.model_validate(_with_kinds(config))
    except ValidationError as error:
        problems = [_explain(e) for e in error.errors(include_url=False)]
        raise ConfigError(list(dict.fromkeys(problems)) + _missing_files(config)) from None
    problems = _missing_files(config) or _wrong_starts(settings)
    if problems:
        raise ConfigError(problems)
    return settings


def _wrong_starts(settings: Settings) -> list[str]:
    """List the trainings that start from a bundle that cannot be read or is of another kind."""
    problems = []
    for name, method in settings.methods.items():
        start = getattr(getattr(method, "training", None), "start_from", None)
        if start is None:
            continue
        key = f"methods.{name}.training.start_from"
        try:
            kind = load_info(expand_path(start)).kind
        except UserError as error:
            problems.append(f"{key}: {error}")
            continue
        if kind != method.kind:
            problems.append(f"{key}: {start} holds a network of kind {kind}, not {method.kind}")
    return problems


def _with_kinds(config: dict[str, Any]) -> dict[str, Any]:
    """Let a method's kind default to `bundle` where one is named, else to the method's name."""
    methods = config.get("methods")
    if not isinstance(methods, dict):
        return config
    kinds = {}
    for name, method in methods.items():
        method = {} if method is None else method
        if isinstance(method, dict) and "kind" not in method:
            method = {"kind": "bundle" if "bundle" in method else str(name), **method}
        kinds[name] = method
    return {**config, "methods": kinds}


def _missing_files(config: dict[str, Any]) -> list[str]:
    """List the files that the config names and that are not there, whatever else is wrong."""
    problems = []

    def check(key: str, path: Any) -> None:
        if not isinstance(path, str):
            return
        try:
            expanded = expand_path(path)
        except UserError as error:
            problems.append(f"{key}: {error}")
            return
        if any(c in expanded for c in "*?["):
            from decon3d.volumes.inputs import matches

            if not matches(expanded):
                problems.append(f"{key}: no file matches {expanded}")
        elif not Path(expanded).exists():
            problems.append(f"{key}: there is no file {expanded}")

    def table(value: Any) -> dict[str, Any]:
        return value if isinstance(value, dict) else {}

    for name, dataset in table(config.get("datasets")).items():
        dataset = table(dataset)
        key = f"datasets.{name}"
        volumes = dataset.get("volumes")
        for i, entry in enumerate(volumes if isinstance(volumes, list) else [volumes]):
            at = f"{key}.volumes[{i}]" if isinstance(volumes, list) else f"{key}.volumes"
            if isinstance(entry, dict):
                check(f"{at}.path", entry.get("path"))
                check(f"{at}.reference", entry.get("reference"))
            else:
                check(at, entry)
        for channel, value in table(dataset.get("channels")).items():
            check(f"{key}.channels.{channel}.psf.path", table(table(value).get("psf")).get("path"))
        for role in ("raw", "truth"):
            entries = table(dataset.get("pairs")).get(role)
            for entry in entries if isinstance(entries, list) else [entries]:
                check(f"{key}.pairs.{role}", entry)
    problems += _bundle_problems(table(config.get("methods")), table(config.get("datasets")))
    for name, method in table(config.get("methods")).items():
        start = table(table(method).get("training")).get("start_from")
        check(f"methods.{name}.training.start_from", start)
    for name, entry in table(table(config.get("phantoms")).get("objects")).items():
        check(f"phantoms.objects.{name}.path", table(entry).get("path"))
    return problems


def bundle_path(bundle: str, channel: str) -> str:
    """Return the folder that `methods.<name>.bundle` names for a channel."""
    return expand_path(bundle.replace("{channel}", channel))


def _bundle_problems(methods: dict[str, Any], datasets: dict[str, Any]) -> list[str]:
    """Check the bundles that the config names, and read what they say of themselves."""
    channels = {
        str(channel)
        for dataset in datasets.values()
        if isinstance(dataset, dict) and isinstance(dataset.get("channels"), dict)
        for channel in dataset["channels"]
    }
    problems = []
    for name, method in methods.items():
        bundle = method.get("bundle") if isinstance(method, dict) else None
        if not isinstance(bundle, str):
            continue
        for channel in sorted(channels) or [""]:
            try:
                folder = Path(bundle_path(bundle, channel))
                if not folder.is_dir():
                    raise UserError(f"there is no folder {folder}")
                info = load_info(folder)
                if info.kind not in METHOD_KINDS:
                    raise UserError(f"{folder} holds a network that is not known here: {info.kind}")
                if not (folder / "model.keras").is_file():
                    raise UserError(f"{folder / 'model.keras'} is missing")
            except UserError as error:
                problems.append(f"methods.{name}.bundle: {error}")
    return list(dict.fromkeys(problems))


_UNION_TAGS = {
    *METHOD_KINDS,
    *PSF_SOURCES,
    "VolumeEntry",
    "str",
    "list[union[str,VolumeEntry]]",
    "list[str]",
}


def _explain(error: Any) -> str:
    """Turn one of pydantic's findings into `key.path: what is wrong; what would be right`."""
    path = ""
    for part in error["loc"]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]" and not _is_tag(part, path):
            path += f".{part}" if path else str(part)
    key = path.rsplit(".", 1)[-1]
    given = error.get("input")
    match error["type"]:
        case "extra_forbidden":
            text = f"unknown key{_did_you_mean(error['loc'])}"
        case "missing":
            text = "is missing; it has no default"
        case "union_tag_invalid":
            known = error["ctx"]["expected_tags"].replace("'", "")
            what = "kind of method" if path.startswith("methods") else "source"
            text = f"{error['ctx']['tag']!r} is no {what}; known: {known}"
        case "string_pattern_mismatch":
            text = f"{given!r} is no usable name; use letters, digits, _ and - only"
        case kind if kind in (
            "unit",
            "optics",
            "volumes",
            "pairs",
            "channels",
            "photons",
            "tune",
            "training",
        ):
            text = error["msg"]
        case "methods" | "phantoms":
            return error["msg"]
        case "union_tag_not_found":
            text = f"needs the key {error['ctx']['discriminator']}"
        case _:
            text = f"{_lower(error['msg'])}, not {given!r}"
    return f"{path or key}: {text}"


def _is_tag(part: str, path: str) -> bool:
    """Tell the names of union members in pydantic's locations from real keys."""
    return (
        part in _UNION_TAGS
        and (
            re.fullmatch(r"methods\.[^.]+|.*\.psf|.*\.(volumes|raw|truth)(\[\d+\])?", path)
            is not None
        )
    ) or re.fullmatch(r"int|float|literal\[.*\]|constrained-(int|float)", part) is not None


def _lower(message: str) -> str:
    message = message.removeprefix("Input ")
    return message[:1].lower() + message[1:]


def _did_you_mean(location: tuple[Any, ...]) -> str:
    """Name the known keys beside an unknown one, the closest first."""
    model: Any = Settings
    for part in location[:-1]:
        if part in METHOD_KINDS:
            model = METHOD_KINDS[part]
        elif part in PSF_SOURCES:
            model = PSF_SOURCES[part]
        elif part in getattr(model, "model_fields", {}):
            model = _inner_model(model.model_fields[part].annotation)
    known = list(getattr(model, "model_fields", {}))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known here: {', '.join(known)}" if known else ""


def _inner_model(annotation: Any) -> Any:
    """Find the settings class inside an annotation such as `dict[Name, Dataset] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, _Settings):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _inner_model(inner)
        if found is not None:
            return found
    return None
