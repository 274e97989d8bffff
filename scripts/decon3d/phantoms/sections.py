"""Sections of the config about simulated volumes: phantoms, and volumes with their truth."""

from typing import Annotated, Literal, get_args

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Axes, Name, Section, Series, Shape, Stretch, VoxelSize
from decon3d.volumes.sections import CameraSection

Recipe = Literal[
    "mixture",
    "rln_mixed",
    "spheres",
    "spheres_2x",
    "spheres_3x",
    "spheres_4x",
    "neurodecon",
    "broad",
    "tubules",
    "membranes",
    "nuclei",
    "textured_nuclei",
    "haze",
    "er_network",
]
RECIPES: tuple[str, ...] = get_args(Recipe)
TRUTH_SIGMA = {"rln_mixed": 0.7}
"""σ, in voxels, of the Gaussian that is part of a recipe's objects; others have none."""


class Simulation(Section):
    """A simulated volume with its truth."""

    shape: Shape
    """Voxels (Z, Y, X)."""
    recipe: Recipe = "rln_mixed"
    """Phantom recipe of the object."""
    photons: PositiveFloat = 200.0
    """Mean photons of the brightest 0.1 % of the voxels."""
    background_photons: Annotated[float, Field(ge=0)] = 5.0
    """Photons of the uniform background."""


class ObjectFile(Section):
    """A clean volume of your own as an object: random crops of it, flipped, scaled to 0 … 1."""

    path: str
    """TIFF, OME-TIFF or OME-Zarr, first time point and channel; variables are expanded."""
    voxel_size_um: VoxelSize | None = None
    """Its voxel size (Z, Y, X), in µm; null = from its metadata, else that of the dataset."""
    series: Series | None = None
    """Name or number of its image in that file, if that holds several; null = the only one."""
    axes: Axes | None = None
    """Axes of that file, e.g. ZYX; null = from its metadata."""


class PsfVariation(Section):
    """How the PSF differs from volume to volume."""

    depth_um: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] | None = None
    """Range of the depth below the coverslip, in µm, drawn uniformly; null = `optics.depth_um`.
    Theoretical PSFs only."""
    width: tuple[Stretch, Stretch] | None = None
    """Range of a factor that stretches the PSF in all directions, drawn log-uniformly."""

    @model_validator(mode="after")
    def _ordered(self) -> "PsfVariation":
        for key in ("depth_um", "width"):
            low, high = getattr(self, key) or (0, 0)
            if low > high:
                raise PydanticCustomError(
                    "photons", "{key}: give the lower bound first", {"key": key}
                )
        return self


MicroscopeKind = Literal["widefield", "confocal", "light_sheet", "two_photon"]


class Microscopes(Section):
    """A whole microscope that is drawn for every volume, for one network for many microscopes."""

    modalities: Annotated[dict[MicroscopeKind, PositiveFloat], Field(min_length=1)] = {  # noqa: RUF012
        "widefield": 0.45,
        "confocal": 0.2,
        "light_sheet": 0.2,
        "two_photon": 0.15,
    }
    """Types of microscope with their weights. Objective, indices, depth, wavelengths, voxels and
    camera are drawn, too."""
    photons: tuple[PositiveFloat, PositiveFloat] = (3.0, 3000.0)
    """Range of the mean photons of the brightest 0.1 % of the voxels above the background, drawn
    log-uniformly."""
    wrong_psf: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Share of the volumes whose assumed PSF is wrong: up to 25 % too wide or too narrow, or
    without an aberration that the microscope has."""

    @model_validator(mode="after")
    def _ordered(self) -> "Microscopes":
        if self.photons[0] > self.photons[1]:
            raise PydanticCustomError("photons", "photons: give the lower bound first")
        return self


class Split(Section):
    """One split of the phantoms."""

    count: PositiveInt
    """Number of volumes: for `train` and `val`, of all recipes together; for `test`, of each recipe
    with weight 1."""
    recipes: Annotated[dict[Name, PositiveFloat], Field(min_length=1)]
    """Recipes, or names of your own `objects`, with their weights."""
    doses: Annotated[list[PositiveFloat], Field(min_length=1)] | None = None
    """For `test` only: doses in photons. Every object is imaged at each dose. Null = one image per
    object, with doses spread over `photons`."""
    psf_variation: PsfVariation | None = None
    """A different PSF for every volume, for robust training or tests; null = the channel's PSF for
    all."""
    microscopes: Microscopes | None = None
    """For `train` and `val` only: a different microscope for every volume, to train one network for
    many microscopes. `photons`, `background_photons` and `unit_um` of the phantoms then apply to
    the other splits only. Null = the dataset's microscope."""

    @model_validator(mode="after")
    def _one_way_to_vary(self) -> "Split":
        if self.microscopes is not None and self.psf_variation is not None:
            raise PydanticCustomError(
                "photons",
                "psf_variation and microscopes both vary the PSF; remove one of them",
            )
        return self


class Phantoms(Section):
    """Simulated pairs for training, tuning and tests with a known truth."""

    shape: Shape = (48, 96, 96)
    """Voxels of each volume (Z, Y, X)."""
    train: Split = Split(count=16, recipes={"mixture": 1})
    """Training data of the networks."""
    val: Split = Split(count=4, recipes={"mixture": 1})
    """Data for choosing the best weights and tuning classical methods."""
    test: Split = Split(count=8, recipes={"mixture": 1, "membranes": 1})
    """Data for the report's numbers with truth."""
    photons: tuple[PositiveFloat, PositiveFloat] | None = None
    """Range of the mean photons of the brightest 0.1 % of the voxels above the background, drawn
    log-uniformly. Null = the range in your data, measured in blocks when the phantoms are first
    made. Volumes added later do not change it; the report warns if they differ."""
    background_photons: Annotated[float, Field(ge=0)] | None = None
    """Photons of the uniform background; null = measured in the darkest regions of your data."""
    unit_um: PositiveFloat | None = None
    """Unit of the recipes' sizes, in µm (except rln_mixed, which is in voxels); null = the smallest
    voxel edge."""
    objects: dict[Name, ObjectFile] = {}  # noqa: RUF012 (pydantic copies it)
    """Your own noise-free volumes by name. Use these names in `recipes`."""

    @model_validator(mode="after")
    def _ordered(self) -> "Phantoms":
        if self.photons and self.photons[0] > self.photons[1]:
            raise PydanticCustomError("photons", "photons: give the lower bound first")
        return self

    def needs_data(self, camera: CameraSection) -> bool:
        """Return whether light or camera come from the dataset's volumes."""
        return None in (self.photons, self.background_photons) or not camera.is_known

    @model_validator(mode="after")
    def _known(self) -> "Phantoms":
        taken = sorted(set(RECIPES) & set(self.objects))
        if taken:
            raise PydanticCustomError(
                "phantoms",
                "phantoms.objects.{name}: a recipe has this name; rename the object",
                {"name": taken[0]},
            )
        if self.test.microscopes is not None:
            raise PydanticCustomError(
                "phantoms",
                "phantoms.test.microscopes: the test phantoms have the dataset's microscope; "
                "remove this key, or move it to `train` and `val`",
            )
        known = {*RECIPES, *self.objects}
        for split in ("train", "val"):
            if getattr(self, split).doses is not None:
                raise PydanticCustomError(
                    "phantoms",
                    "phantoms.{split}.doses: only `test` takes doses; remove them, and set the "
                    "range with phantoms.photons",
                    {"split": split},
                )
        for split in ("train", "val", "test"):
            for name in sorted(set(getattr(self, split).recipes) - known):
                raise PydanticCustomError(
                    "phantoms",
                    "phantoms.{split}.recipes: unknown recipe {name}; known, with "
                    "phantoms.objects: {known}",
                    {"split": split, "name": repr(name), "known": ", ".join(sorted(known))},
                )
        return self

    def of_split(self, split: str) -> "Phantoms":
        """Return the settings of one split, without the objects of others."""
        used = getattr(self, split).recipes
        objects = {name: entry for name, entry in self.objects.items() if name in used}
        return self.model_copy(update={"objects": objects})
