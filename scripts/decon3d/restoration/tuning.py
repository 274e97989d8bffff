"""Tuning of a classical method on the validation phantoms, as the restoration will use it."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from decon3d.classical.tuning import tune
from decon3d.files import write_json
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.settings import Rl, Rltv
from decon3d.volumes.normalisation import estimate_normalisation


def tune_on_phantoms(
    val_store: str | Path,
    *,
    path: str | Path,
    method: Rl | Rltv,
    psf: Psf,
    camera_offset: float | None,
    threads: int,
) -> None:
    """Search a method's parameters on a store of phantoms and write the outcome.

    Backgrounds follow from the same law as in a restoration, so that the choice holds there.

    Parameters
    ----------
    val_store
        Zarr group with `image` and `object` (n, Z, Y, X), in counts.
    path
        JSON with `chosen` (tv_weight, iterations, score), the whole `curve`, and `seconds`.

    Raises
    ------
    UserError
        If the optimum sits on an edge of the search: no baseline is shown below its best.
    """
    started = time.perf_counter()
    group: Any = zarr.open_group(str(val_store), mode="r")
    images = [np.asarray(image) for image in group["image"]]
    laws = [estimate_normalisation(image, camera_offset=camera_offset) for image in images]
    result = tune(
        images=images,
        truths=[np.asarray(truth) for truth in group["object"]],
        psf=psf.data,
        backgrounds=[law.offset for law in laws],
        voxel_size_um=psf.voxel_size_um,
        tv=isinstance(method, Rltv),
        acceleration=method.acceleration,
        threads=threads,
    )
    content = asdict(result)
    curve = content.pop("curve")
    log.info("%s: chosen %s", method.kind, content)
    seconds = round(time.perf_counter() - started, 1)
    write_json(path, {"chosen": content, "curve": list(curve), "seconds": seconds})
