"""The bundle: a trained network with everything that one must know to use it again.

A folder with `model.keras` (the network), `model.json` (this module's `BundleInfo`) and
`history.csv` (how the training went).
"""

import hashlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

import decon3d
from decon3d import devices
from decon3d.errors import UserError
from decon3d.files import file_digest, read_json, write_json
from decon3d.networks.registry import network

SCHEMA_VERSION = 1
_strict = ConfigDict(extra="forbid")
Range = tuple[float, float]


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
        What the store says of itself: recipes, and the range of photons.
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
        Channels of its input.
    halo, stride
        Voxels of context that a block needs, and the grid that blocks must keep.
    target_kernel
        What the network restores: `object` = the object itself, not a sharper image of it.
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
        Scores of those weights on the validation volumes, and of the blurred `input` itself.
    versions
        Of the software that trained it.
    model_sha256
        Of the file model.keras (its first 16 digits).
    weights_sha256
        Of the weights alone: two trainings that agree to the bit have the same.
    """

    schema_version: int
    kind: str
    options: dict[str, Any]
    input_channels: int
    halo: tuple[int, int, int]
    stride: tuple[int, int, int]
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


def software() -> dict[str, str]:
    """Versions of what a network's weights depend on."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "decon3d": decon3d.__version__,
    }


def weights_digest(model: keras.Model) -> str:
    """Hash all weights and statistics of a model in their order."""
    hashed = hashlib.sha256()
    for weight in model.get_weights():
        hashed.update(np.ascontiguousarray(weight).tobytes())
    return hashed.hexdigest()


def write_bundle(folder: str | Path, model: keras.Model, **info: Any) -> BundleInfo:
    """Write `model.keras` and `model.json`, each whole or not at all.

    Parameters
    ----------
    folder
        Made if need be.
    model
        The network.
    info
        The fields of `BundleInfo`, but for the schema version, the hashes and the versions.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".model.{os.getpid()}.keras"
    model.save(temporary)
    os.replace(temporary, folder / "model.keras")
    bundle = BundleInfo(
        schema_version=SCHEMA_VERSION,
        versions=software(),
        model_sha256=file_digest(folder / "model.keras"),
        weights_sha256=weights_digest(model),
        **info,
    )
    write_json(folder / "model.json", asdict(bundle))
    return bundle


def load_info(folder: str | Path) -> BundleInfo:
    """Read and check `model.json`.

    Raises
    ------
    UserError
        If it is missing, or not of this schema.
    """
    path = Path(folder) / "model.json"
    try:
        content = read_json(path)
    except FileNotFoundError:
        raise UserError(
            f"{folder}: no model bundle here (model.json is missing); give the folder that "
            "`train` wrote, with model.keras and model.json"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
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


def load_bundle(folder: str | Path) -> tuple[keras.Model, BundleInfo]:
    """Load a network and what is known of it, after checking both.

    Raises
    ------
    UserError
        If a file is missing, was changed since it was written, or is of another schema.
    """
    info = load_info(folder)
    path = Path(folder) / "model.keras"
    if not path.is_file():
        raise UserError(f"{path} is missing; model.json alone is no bundle")
    if file_digest(path) != info.model_sha256:
        raise UserError(
            f"{path} is not the file that model.json describes (its hash differs): the copy is "
            "damaged or the files come from two trainings; copy the whole folder again"
        )
    network(info.kind)  # registers its classes
    model = keras.saving.load_model(path, compile=False)
    if model.input_shape[-1] != info.input_channels:
        raise UserError(
            f"{path}: the network takes {model.input_shape[-1]} channels, model.json says "
            f"{info.input_channels}"
        )
    return model, info


class Predictor:
    """A loaded network that restores blocks of any shape without being traced again."""

    def __init__(self, model: keras.Model, info: BundleInfo) -> None:
        self.info = info
        self.halo = info.halo
        self.stride = info.stride

        @tf.function(input_signature=[tf.TensorSpec((1, None, None, None, 1))])
        def run(block: tf.Tensor) -> tf.Tensor:
            return model(block, training=False)

        self._run = run

    def predict(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore a block (Z, Y, X), float32, network units, shape a multiple of the stride.

        The outer `halo` voxels of the result are right only where the block ends with the
        volume.
        """
        if any(n % s for n, s in zip(block.shape, self.stride, strict=True)):
            raise ValueError(f"block of {block.shape} voxels, not a multiple of {self.stride}")
        return self._run(block[None, ..., None]).numpy()[0, ..., 0]


def predictor(folder: str | Path, *, threads: int) -> Predictor:
    """Load a bundle for restoring with `threads` CPU threads.

    On the device that `devices.configure` chose; without that, TensorFlow chooses.
    """
    devices.limit_threads(threads)
    return Predictor(*load_bundle(folder))
