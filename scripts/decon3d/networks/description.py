"""What is known of a trained network: the bundle's `model.json`, read without TensorFlow."""

import json
import zipfile
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from decon3d.errors import DamagedError, UserError, reading, reason
from decon3d.files import read_json
from decon3d.networks.kind import ESTIMATES_VERSION, Estimate
from decon3d.networks.registry import NETWORKS

SCHEMA_VERSION = 1
_strict = ConfigDict(extra="forbid")
Range = tuple[float, float]
_Positive = Annotated[int, Field(ge=1)]
_Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, config=_strict)
class MicroscopeRange:
    """The microscopes of a training in which every volume has its own.

    Attributes
    ----------
    modalities
        Number of volumes by type of microscope.
    axial_fwhm_voxels, lateral_fwhm_voxels
        Smallest and largest width of the PSF, in voxels.
    anisotropy
        Smallest and largest ratio of the voxel size along Z to that along Y.
    numerical_aperture
        Smallest and largest; None = not recorded.
    """

    modalities: dict[str, int]
    axial_fwhm_voxels: Range
    lateral_fwhm_voxels: Range
    anisotropy: Range
    numerical_aperture: Range | None = None


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
        The store's attributes: recipes and the range of photons, or specimens; the method that
        restored its images, if any.
    microscopes
        Those of its volumes, where each has its own; None = all of the bundle's one.
    """

    volumes: int
    shape: tuple[int, int, int]
    law: str
    offset_counts: Range
    scale_counts: Range
    noise: Range
    made_as: dict[str, Any]
    microscopes: MicroscopeRange | None = None


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
        The microscope that it was trained for; where `trained_on.microscopes` lists many, that of
        the dataset.
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
    estimates_version
        Of the laws by which these estimates follow PSF and dose.
    """

    schema_version: int
    kind: str
    options: dict[str, Any]
    input_channels: _Positive
    halo: tuple[_Count, _Count, _Count]
    stride: tuple[_Positive, _Positive, _Positive]
    bytes_per_voxel: Annotated[float, Field(gt=0, allow_inf_nan=False)]
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
    estimates_version: int = ESTIMATES_VERSION


def load_info(folder: str | Path) -> BundleInfo:
    """Read and check `model.json`.

    Raises
    ------
    UserError
        If it is missing, cannot be read, or is not of this schema.
    """
    path = Path(folder) / "model.json"
    if not path.is_file():
        raise UserError(
            f"{folder} is not a model bundle (model.json is missing); give the folder that `train` "
            "wrote, with model.keras and model.json"
        )
    with reading(str(path)):
        content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version is {version}, but this version of decon3d reads "
            f"{SCHEMA_VERSION}; train the network again"
        )
    made_by = content.get("estimates_version", 0) if content.get("estimates") else ESTIMATES_VERSION
    if made_by != ESTIMATES_VERSION:
        raise UserError(
            f"{path}: the network was trained with Richardson-Lucy estimates of version {made_by}, "
            f"but this version of decon3d makes version {ESTIMATES_VERSION}; train it again"
        )
    try:
        return TypeAdapter(BundleInfo).validate_python(content)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Input ').lower()}"
            for e in error.errors()
        )
        raise UserError(f"{path}: {problems}; copy the bundle again from its source") from None


def check_bundle(folder: str | Path) -> BundleInfo:
    """Compare a bundle's files with each other, as far as that needs no TensorFlow.

    Raises
    ------
    UserError
        If a file is missing or cannot be read, or `model.keras` holds another kind of network or
        takes other channels than `model.json` says.
    """
    info = load_info(folder)
    path = Path(folder) / "model.keras"
    if not path.is_file():
        raise DamagedError(
            path, "is missing beside model.json", files=[path.with_name("model.json")]
        )
    try:
        with zipfile.ZipFile(path) as archive:
            model = json.loads(archive.read("config.json"))["config"]
        name = str(model["name"]).removesuffix("_large")
        channels = model["layers"][0]["config"]["batch_shape"][-1]
    except Exception as error:  # of a file that is cut off: zipfile, zlib, JSON, lookups
        beside = path.with_name("model.json")
        raise DamagedError(path, f"cannot be read: {reason(error)}", files=[beside]) from None
    if name in NETWORKS and name != info.kind:
        raise UserError(
            f"{path} holds a network of kind {name}, but model.json says {info.kind}; copy the "
            "whole folder of the bundle again"
        )
    if channels != info.input_channels:
        raise UserError(
            f"{path} takes {channels} channel(s), but model.json says {info.input_channels}; copy "
            "the whole folder of the bundle again"
        )
    return info
