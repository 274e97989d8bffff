"""Section of the config about restoration."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from decon3d.field_types import Section


class Restoration(Section):
    """How volumes are divided, restored and written."""

    parts: PositiveInt = 1
    """Number of independent jobs that restore a dataset by one method. Each restores a share of the
    volumes, one after the other; on a cluster, e.g. a quarter of the cores."""
    memory_gb: PositiveFloat = 2.0
    """Memory that one job may use for its block, in GB."""
    engine: Literal["auto", "tensorflow", "openvino"] = "auto"
    """Software that computes networks. `openvino` is faster on CPUs; install it with the extra
    `openvino`. `auto` selects OpenVINO if it is installed and the profile requests no GPU for
    restorations, else TensorFlow."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of networks' convolutions. `bfloat16` is faster if the CPU (AVX512_BF16, AMX) or
    GPU supports it. It changes RLN with its published weights by 6e-4 of the maximum on average,
    but single voxels by up to 3 %. Use it for viewing, not for measurements."""
    output_dtype: Literal["float32", "input"] = "float32"
    """Data type of the restored volumes. `input`: that of the input; counts are rounded and
    clipped, and the report states how many voxels were clipped."""
    ome_tiff: bool = False
    """Also write each restored volume as an OME-TIFF (BigTIFF, pyramid), beside its OME-Zarr."""
