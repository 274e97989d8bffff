"""What is known of a trained network: the bundle's `model.json`, read without TensorFlow."""

from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from decon3d.errors import UserError
from decon3d.files import read_json

SCHEMA_VERSION = 1
_strict = ConfigDict(extra="forbid")
Range = tuple[float, float]


@dataclass(frozen=True, config=_strict)
class Estimate:
    """A run of Richardson-Lucy (heavy ball) that a network looks at beside the image.

    Attributes
    ----------
    iterations
        After how many, ascending; an input channel each.
    tv_weight
        λ of the total variation; 0 = none.
    """

    iterations: tuple[int, ...]
    tv_weight: float = 0.0


@dataclass(frozen=True, config=_strict)
class TrainedOn:
    """The data that a network has seen: what it may be trusted on.

    Attributes
    ----------
    volumes, shape
        Number of training volumes and their voxels (Z, Y, X).
    law
        How counts became network units, in words.
    offset_counts, scale_counts
        Smallest and largest offset and scale of that law, in counts.
    noise
        Smallest and largest standard deviation of the background, in network units.
    made_as
        What the store says of itself: recipes and the range of photons, or specimens; the method
        that restored its images, if one did.
    """

    volumes: int
    shape: tuple[int, int, int]
    law: str
    offset_counts: Range
    scale_counts: Range
    noise: Range
    made_as: dict[str, Any]


@dataclass(frozen=True, config=_strict)
class BundleInfo:
    """What `model.json` holds. Triples are Z, Y, X.

    Attributes
    ----------
    schema_version
        Of this file.
    kind, options
        The network and the options that it was built with.
    input_channels
        Channels of its input: the image and the estimates.
    halo, stride
        Voxels of context that a block needs, and the grid that blocks must keep.
    bytes_per_voxel
        Memory that a restoration takes per voxel of a block.
    global_means
        Whether it averages over whole blocks, so that its attention is to be calibrated.
    target_kernel
        What the network restores: `object` = the object itself, not a sharper image of it;
        `measured` = an image like the truths of its measured pairs.
    voxel_size_um, psf_fwhm_um, psf_fingerprint
        The microscope that it was trained for.
    trained_on
        Its training data.
    training
        Settings of the training.
    seed, stream
        Everything random followed from them.
    device
        What it was trained on, in words.
    best_step
        Step whose weights were kept: the smallest validation `nrmse`.
    validation
        Scores of those weights on the validation volumes, of the blurred `input` itself, and of
        the weights at the `start` where they were a bundle's.
    versions
        Of the software that trained it.
    model_sha256
        Of the file model.keras (its first 16 digits).
    weights_sha256
        Of the weights alone: two trainings that agree to the bit have the same.
    started_from
        `weights_sha256` of the bundle that the training started from; None = from scratch.
    estimates
        What it looks at beside the image, made with the PSF of the channel that it restores.
    """

    schema_version: int
    kind: str
    options: dict[str, Any]
    input_channels: int
    halo: tuple[int, int, int]
    stride: tuple[int, int, int]
    bytes_per_voxel: float
    global_means: bool
    target_kernel: str
    voxel_size_um: tuple[float, float, float]
    psf_fwhm_um: tuple[float, float, float]
    psf_fingerprint: str
    trained_on: TrainedOn
    training: dict[str, Any]
    seed: int
    stream: tuple[str, ...]
    device: str
    best_step: int
    validation: dict[str, dict[str, float]]
    versions: dict[str, str]
    model_sha256: str
    weights_sha256: str
    started_from: str | None = None
    estimates: tuple[Estimate, ...] = ()


def load_info(folder: str | Path) -> BundleInfo:
    """Read and check `model.json`.

    Raises
    ------
    UserError
        If it is missing, or not of this schema.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise UserError(
            f"{folder}: no model bundle here (model.json is missing); give the folder that "
            "`train` wrote, with model.keras and model.json"
        )
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version is {version}, this version of decon3d reads {SCHEMA_VERSION}"
        )
    try:
        return TypeAdapter(BundleInfo).validate_python(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()
        )
        raise UserError(f"{path}: {problems}") from None
