"""Datasets in the config: volumes and measured pairs of one microscope."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Axes, Day, Name, Section, Series, VoxelSize
from decon3d.optics.sections import Channel, Optics, check_excitation
from decon3d.pairs.sections import MeasuredPairs
from decon3d.phantoms.sections import Simulation
from decon3d.volumes.sections import CameraSection, VolumeEntry


def _crop(value: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    for axis, (start, stop) in zip("ZYX", value, strict=True):
        if stop <= start:
            raise ValueError(
                f"along {axis}, {stop} is not greater than {start}; give [start, stop]"
            )
    return value


Bounds = tuple[Annotated[int, Field(ge=0)], PositiveInt]


class Preview(Section):
    """The crop that `decon3d preview` shows."""

    volume: Name | None = None
    """Name of a volume; null = the first."""
    roi: Annotated[tuple[Bounds, Bounds, Bounds], AfterValidator(_crop)] | None = None
    """Crop, [start, stop] in voxels along Z, Y, X; null = the brightest 32 × 160 × 160."""


class Dataset(Section):
    """Volumes that share a microscope: one PSF and one model per channel."""

    volumes: str | Annotated[list[str | VolumeEntry], Field(min_length=1)] | None = None
    """Your files: a path, a glob pattern, a list, or a sheet (.tsv or .csv with the columns name,
    path and, optionally, reference). A volume is a TIFF, OME-TIFF or OME-Zarr, a zarr array (with
    `axes` and `voxel_size_um`), or a folder with a TIFF for each plane of one channel, in the order
    of the numbers in their names. Without `series`, each image of a plate or a bioformats2raw
    folder is a volume, e.g. plate_A_1_0 for field 0 of well A/1. A path that exists is used as it
    is, even if it contains `*` or `[`."""
    simulate: Annotated[dict[Name, Simulation], Field(min_length=1)] | None = None
    """Simulated volumes by name, instead of `volumes`."""
    voxel_size_um: VoxelSize | None = None
    """Voxel size (Z, Y, X), in µm, instead of the metadata's; null = from the metadata of the first
    volume."""
    series: Series | None = None
    """Which image to read if a file contains several (positions, scenes): its name, or its number
    from 0; null = the only one. Also used for references and measured pairs."""
    axes: Axes | None = None
    """Axes of the files, slowest first, e.g. ZYX or TZCYX, instead of the metadata's; axes of
    length 1 may be left out. Null = from the metadata. Also used for references and pairs."""
    times: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Time points to restore, from 0; null = all."""
    no_data: Literal["auto", "none"] | float = "auto"
    """Value of voxels without data, as deskewing, stitching or padding leave them. `auto`: a value
    that fills whole regions and is not the dark level. `none`: all voxels have data. Or a number.
    These voxels keep their value and are excluded from all steps, as are NaN and infinite values.
    For measured pairs, `auto` uses the raw volume; its value applies to the truth, too."""
    instrument: str | None = None
    """Microscope and objective that recorded these volumes, e.g. `spinning1_60x` for the objective
    `60x` of `instruments/spinning1.yaml`. It provides the optics, the camera, and the wavelengths
    and PSFs of the channels with the same names. Keys of the dataset override it."""
    date: Day | None = None
    """Day of the acquisition, YYYY-MM-DD. The newest bead stack and camera frames of the instrument
    up to that day are used; null = the newest."""
    pairs: MeasuredPairs | None = None
    """Measured pairs to train networks, tune classical methods and test all methods; null =
    phantoms."""
    optics: Optics
    camera: CameraSection = CameraSection()
    preview: Preview = Preview()
    channels: Annotated[dict[Name, Channel], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_source(self) -> "Dataset":
        if (self.volumes is None) == (self.simulate is None):
            raise PydanticCustomError(
                "volumes",
                "give exactly one of `volumes` (your files) and `simulate` (simulated here)",
            )
        if self.simulate is not None and self.voxel_size_um is None:
            raise PydanticCustomError(
                "volumes", "voxel_size_um is missing; simulated volumes need it, as [Z, Y, X] in µm"
            )
        if self.camera.dark is not None and (self.simulate or self.pairs):
            what = "simulated volumes" if self.simulate else "measured pairs"
            raise PydanticCustomError(
                "camera",
                "camera.dark does not apply to {what}, only to volumes as the camera recorded "
                "them; remove it (camera: {none}), and give offset, gain and read_noise",
                {"what": what, "none": "{dark: null, flat: null}"},
            )
        check_excitation(self.optics, self.channels)
        indices = [channel.index for channel in self.channels.values()]
        if len(set(indices)) < len(indices):
            raise PydanticCustomError(
                "channels", "two channels have the same index; give each channel its own"
            )
        if self.simulate is not None and max(indices) >= len(indices):
            raise PydanticCustomError(
                "channels",
                "the channels of simulated volumes need the indices 0, 1, … without gaps",
            )
        return self
