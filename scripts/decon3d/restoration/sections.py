"""Section of the config about restoration."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from decon3d.field_types import Section


class Restoration(Section):
    """How volumes are divided, restored and written."""

    parts: PositiveInt = 1
    """Independent jobs per dataset and method."""
    memory_gb: PositiveFloat = 2.0
    """Memory that one job may use for its block, in GB."""
    engine: Literal["auto", "tensorflow", "openvino"] = "auto"
    """Engine that computes networks. `openvino` is faster on CPUs (the extra `openvino`). `auto`
    selects it if it is installed and the profile gives the restorations no GPU, else TensorFlow."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of networks' convolutions. `bfloat16` is faster if the CPU (AVX512_BF16, AMX) or
    GPU supports it. It changes RLN with its published weights by 6e-4 of the maximum on average,
    but single voxels by up to 3 %. Use it for viewing, not for measurements."""
    output_dtype: Literal["float32", "input"] = "float32"
    """Type of the restored counts; `input` rounds and clips to the input's, and reports it."""
    ome_tiff: bool = False
    """Also write each restored volume as an OME-TIFF (BigTIFF, pyramid), beside its OME-Zarr."""
