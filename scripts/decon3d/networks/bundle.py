"""The bundle: a trained network with everything that one must know to use it again.

A folder with `model.keras` (the network), `model.json` (`description.BundleInfo`) and
`history.csv` (how the training went).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import DamagedError, DeviceMemoryError, UserError, reading
from decon3d.files import file_digest, replacing, write_json
from decon3d.networks.backend import keras, tf
from decon3d.networks.description import SCHEMA_VERSION, BundleInfo, check_bundle
from decon3d.networks.engines import TENSORFLOW, Engine, compiled
from decon3d.networks.geometry import halo_and_stride
from decon3d.networks.kind import NetworkSection
from decon3d.networks.layers import global_means
from decon3d.networks.registry import network
from decon3d.optics.psf import Psf, fingerprint, fwhm_um
from decon3d.versions import __version__


def software() -> dict[str, str]:
    """Return the versions of the packages on which a network's weights depend."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
    }


def weights_digest(model: keras.Model) -> str:
    """Hash all weights and statistics of a model in their order."""
    hashed = hashlib.sha256()
    for weight in model.get_weights():
        hashed.update(np.ascontiguousarray(weight).tobytes())
    return hashed.hexdigest()


def described(model: keras.Model, method: NetworkSection, psf: Psf) -> dict[str, Any]:
    """Return the fields of `BundleInfo` that follow from a network, its settings and a PSF.

    Parameters
    ----------
    model
        Built with the method's options.
    method
        The network's settings.
    psf
        Of the microscope that the network is trained for.
    """
    definition = network(method.kind)
    halo, stride = halo_and_stride(model)
    return {
        "kind": method.kind,
        "options": definition.options(method),
        "input_channels": model.input_shape[-1],
        "halo": halo,
        "stride": stride,
        "bytes_per_voxel": definition.bytes_per_voxel(method),
        "global_means": bool(global_means(model)),
        "voxel_size_um": psf.voxel_size_um,
        "psf_fwhm_um": fwhm_um(psf.data, psf.voxel_size_um),
        "psf_fingerprint": fingerprint(psf),
        "estimates": definition.estimates(method),
    }


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
    with replacing(folder / "model.keras", ending=".keras") as temporary:
        model.save(temporary)
    bundle = BundleInfo(
        schema_version=SCHEMA_VERSION,
        versions={**software(), "decon3d": __version__},
        model_sha256=file_digest(folder / "model.keras"),
        weights_sha256=weights_digest(model),
        **info,
    )
    write_json(folder / "model.json", asdict(bundle))
    return bundle


def load_bundle(folder: str | Path) -> tuple[keras.Model, BundleInfo]:
    """Load a network and what is known of it, after checking both.

    Raises
    ------
    UserError
        If a file is missing, was changed since it was written, or is of another schema.
    """
    info = check_bundle(folder)
    path = Path(folder) / "model.keras"
    if file_digest(path) != info.model_sha256:
        raise DamagedError(
            path,
            "does not match model.json (its hash differs)",
            files=[path.with_name("model.json")],
        )
    network(info.kind)  # registers its classes
    with reading(str(path)):
        model = keras.saving.load_model(path, compile=False)
        geometry = halo_and_stride(model)
    if geometry != (info.halo, info.stride) or bool(global_means(model)) != info.global_means:
        raise UserError(
            f"{Path(folder) / 'model.json'}: halo, stride or global_means do not match the network "
            "in model.keras; copy the whole folder again"
        )
    return model, info


class Predictor:
    """A loaded network that restores blocks of any shape without being traced again.

    Parameters
    ----------
    vectors
        Fix its global means to these, so that any tiling restores the same; empty = as published,
        they average each block.
    engine
        What computes.
    threads
        CPU threads.
    """

    def __init__(
        self,
        model: keras.Model,
        info: BundleInfo,
        *,
        vectors: Sequence[NDArray[np.float32]] = (),
        engine: Engine = TENSORFLOW,
        threads: int = 1,
    ) -> None:
        self.info = info
        self.halo = info.halo
        self.stride = info.stride
        self._run = compiled(model, halo=info.halo, vectors=vectors, engine=engine, threads=threads)

    def predict(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Restore the inner part of a block, to (Z, Y, X), float32, network units.

        Parameters
        ----------
        block
            (Z, Y, X), or (channels, Z, Y, X); float32, network units, lengths multiples of the
            stride. Its outer `halo` voxels are context, and not in the result.

        Raises
        ------
        DeviceMemoryError
            If the block does not fit into the memory of the device.
        """
        shape = block.shape[-3:]
        if any(n % s for n, s in zip(shape, self.stride, strict=True)):
            raise ValueError(f"block of {shape} voxels, not a multiple of {self.stride}")
        if any(n <= 2 * h for n, h in zip(shape, self.halo, strict=True)):
            raise ValueError(f"block of {shape} voxels, all of them halo ({self.halo})")
        try:
            return self._run(_batch(block))[0, ..., 0]
        except tf.errors.ResourceExhaustedError as error:
            raise DeviceMemoryError(
                f"a block of {shape} voxels (Z, Y, X) does not fit into the memory of the device; "
                f"lower restoration.memory_gb ({str(error).splitlines()[0]})"
            ) from None


def calibrate(
    model: keras.Model, stride: Sequence[int], blocks: Sequence[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    """Average what each global mean of a network sees over blocks.

    Parameters
    ----------
    blocks
        Shaped as for `Predictor.predict`, of any lengths.

    Returns
    -------
    list of arrays
        A vector for each of the network's global means, in their order.
    """
    means = [layer.output for layer in global_means(model)]
    seen = tf.function(keras.Model(model.input, means), reduce_retracing=True)
    totals = [
        [np.asarray(vector).ravel() for vector in seen(_whole(block, stride))] for block in blocks
    ]
    return [np.mean(vectors, axis=0) for vectors in zip(*totals, strict=True)]


def _whole(block: NDArray[np.float32], stride: Sequence[int]) -> NDArray[np.float32]:
    """Cut a block to whole strides, as a batch of one."""
    z, y, x = (n // s * s for n, s in zip(block.shape[-3:], stride, strict=True))
    return _batch(block[..., :z, :y, :x])


def _batch(block: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn a block, with or without channels before Z, into a batch of one (N Z Y X C)."""
    return np.moveaxis(block.reshape(-1, *block.shape[-3:]), 0, -1)[None]
