"""Section of the config about restoration."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from decon3d.field_types import Section


class Restoration(Section):
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
