"""Sections of the config about volumes and the camera that recorded them."""

from typing import Annotated

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from decon3d.field_types import Files, Name, Section
from decon3d.volumes.normalisation import Normalisation


class VolumeEntry(Section):
    """One volume by name."""

    name: Name
    """Its name in the results."""
    path: str
    """TIFF, OME-TIFF, OME-Zarr, or a folder with a TIFF for each plane; environment variables are
    expanded."""
    reference: str | None = None
    """A volume of the same grid that is taken as the truth in the evaluation."""


class CameraSection(Section):
    """How photons become counts: counts = gain · photons + offset, plus read noise.

    `volumes.camera.resolve_camera` turns it into the library's `Camera`.
    """

    offset: Annotated[float, Field(ge=0)] | None = None
    """Counts of a dark image; null = from the data: the noise's variance over the counts gives the
    gain and the counts at which it is 0 (offset - gain · read_noise²). The page's warnings list
    further assumptions."""
    gain: PositiveFloat | None = None
    """Counts per photon; null = the slope of the noise's variance over the counts. If the data do
    not allow that, 1 is assumed, and methods that need photons (`stopping: rlgc`, `tune_on: data`)
    stop with an error."""
    read_noise: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation of the read noise in photons; null = from the data if the offset is known,
    else at most 1 is assumed, since the data without dark frames only give a combination of the
    two."""
    bits: Annotated[int, Field(ge=8, le=16)] | None = None
    """Bits of the converter: whole counts saturate at 2^bits - 1. Null = the file's (OME's
    SignificantBits), else those of its type; 16 for simulated volumes; phantoms are neither rounded
    nor clipped."""

    dark: Files | None = None
    """Frames without light, with the camera's settings of the data: a file with many frames, a
    pattern, or a list; at least 10 frames, 100 are better. Before all other steps, each pixel's
    offset is then replaced by their mean, and bad pixels by the median of their neighbours."""
    flat: Files | None = None
    """Frames of uniform, constant light at about half of the camera's range, given as `dark`. The
    gain is measured from them, and each pixel's gain is replaced by the mean."""

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
