"""Sections of the config about volumes and the camera that recorded them."""

from typing import Annotated

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Files, Name, Section
from decon3d.volumes.normalisation import Normalisation


class VolumeEntry(Section):
    """One volume by name."""

    name: Name
    """Name of the volume in the results."""
    path: str
    """TIFF, OME-TIFF, OME-Zarr, or a folder with a TIFF for each plane; environment variables are
    expanded."""
    reference: str | None = None
    """A volume on the same voxel grid that the evaluation uses as the truth."""


class CameraSection(Section):
    """How photons become counts: counts = gain · photons + offset, plus read noise.

    `volumes.camera.resolve_camera` turns it into the library's `Camera`.
    """

    offset: Annotated[float, Field(ge=0)] | None = None
    """Counts of a dark image. Null = from the data: a line is fitted to the noise variance as a
    function of the counts. Its slope is the gain, and its zero is offset - gain · read_noise².
    Warnings on the page list further assumptions."""
    gain: PositiveFloat | None = None
    """Counts per photon. Null = from the data: the slope of the noise variance as a function of the
    counts. If the data do not allow this, 1 is assumed, and methods that need photons (`stopping:
    rlgc`, `tune_on: data`) stop with an error."""
    read_noise: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation of the read noise in photons; null = from the data if `offset` is given.
    Otherwise, at most 1 is assumed, since without dark frames the data only give a combination of
    offset and read noise."""
    bits: Annotated[int, Field(ge=8, le=16)] | None = None
    """Bits of the camera's converter. Integer counts saturate at 2^bits - 1. Null = OME's
    SignificantBits of the file, else the bits of its data type; 16 for simulated volumes. Phantoms
    are neither rounded nor clipped."""

    dark: Files | None = None
    """Frames without light, recorded with the same camera settings as the data: a file with many
    frames, a glob pattern, or a list. At least 10 frames; 100 are better. Before all other steps,
    the offset of each pixel is then corrected to the mean offset of all pixels, and bad pixels are
    replaced by the median of their neighbours."""
    flat: Files | None = None
    """Frames of uniform, constant light at about half of the camera's range, given in the same way
    as `dark`. The gain is measured from them, and the gain of each pixel is corrected to the mean
    gain of all pixels."""

    @property
    def is_known(self) -> bool:
        """Whether offset, gain and read noise are all given."""
        return None not in (self.offset, self.gain, self.read_noise)

    @field_validator("flat")
    @classmethod
    def _with_dark(cls, value: Files | None, info: ValidationInfo) -> Files | None:
        if value is not None and info.data.get("dark") is None:
            raise PydanticCustomError("camera", "the gain also needs dark frames; add `dark`")
        return value


class NormalisationSection(Section):
    """A fixed affine map (counts - offset) / scale, instead of the estimated one."""

    offset: Annotated[float, Field(ge=0)]
    """Counts that map to 0."""
    scale: PositiveFloat
    """Counts above the offset that map to 1."""

    @property
    def law(self) -> Normalisation:
        """The library's `Normalisation`."""
        return Normalisation(self.offset, self.scale)
