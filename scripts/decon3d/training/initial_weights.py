"""Start of a training: an existing bundle's weights, if they fit."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from decon3d.errors import UserError
from decon3d.logs import log
from decon3d.networks.backend import keras
from decon3d.networks.bundle import load_bundle
from decon3d.networks.kind import Estimate
from decon3d.networks.shipped import bundle_folder
from decon3d.optics.psf import Psf


def start_from(
    bundle: str,
    model: keras.Model,
    *,
    kind: str,
    options: dict[str, Any],
    psf: Psf,
    estimates: Sequence[Estimate],
) -> str:
    """Give a new model the weights of a bundle.

    Parameters
    ----------
    bundle
        Its folder, or `shipped` (see `networks.shipped.bundle_folder`).
    model
        Changed.
    kind, options
        Kind and options of the model; those of the bundle must be the same.
    psf
        Of the new training; if its voxel size differs from the bundle's, the log warns that the
        network has to learn another blur.
    estimates
        Inputs of the model beside the image; those of the bundle must be the same.

    Returns
    -------
    str
        The bundle's `weights_sha256`.

    Raises
    ------
    UserError
        If the bundle cannot be read, or is of another kind, built with other options, for another
        number of input channels or for other estimates.
    """
    folder = Path(bundle_folder(bundle, kind=kind))
    started, info = load_bundle(folder)
    wanted = {
        "kind": kind,
        "options": options,
        "input_channels": model.input_shape[-1],
        "estimates": [asdict(estimate) for estimate in estimates],
    }
    known = json.loads(json.dumps(asdict(info)))
    for name, value in json.loads(json.dumps(wanted)).items():
        found = known[name]
        if found != value:
            raise UserError(
                f"training.start_from: {folder} was trained with {name} {_words(found)}, but this "
                f"method has {_words(value)}; give both the same options"
            )
    model.set_weights(started.get_weights())
    voxels = [" × ".join(f"{v:g}" for v in s) for s in (info.voxel_size_um, psf.voxel_size_um)]
    if voxels[0] != voxels[1]:
        log.warning(
            "%s was trained on voxels of %s µm, but these data have voxels of %s µm (Z × Y × X)",
            folder,
            *voxels,
        )
    log.info("starting from %s (%s…)", folder, info.weights_sha256[:12])
    return info.weights_sha256


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {v}" for key, v in value.items())
    return str(value)
