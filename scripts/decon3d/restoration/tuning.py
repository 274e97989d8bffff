"""Tuning of a classical method, with or without truth, under the restoration's conditions."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.channel import base_recipe
from decon3d.classical.coarse_to_fine import binned, binned_psf, bins_of, most_coarse
from decon3d.classical.kind import Classical, prior_of
from decon3d.classical.risk import LONGER_PRIOR, TRUST, TRUST_PRIOR, risk_subjects
from decon3d.classical.tuning import (
    TOLERANCE_DB,
    CoarseSubjects,
    Subject,
    tune,
    with_truth,
)
from decon3d.errors import UserError
from decon3d.files import write_record
from decon3d.logs import log
from decon3d.optics.psf import Psf
from decon3d.restoration.iterations import coarse_subjects, noise_of
from decon3d.seeds import stream_seed
from decon3d.volumes.camera import Camera
from decon3d.volumes.channel_accumulator import mark_image
from decon3d.volumes.checked_stores import open_group
from decon3d.volumes.correlated_noise import CORRELATED, neighbour_correlation
from decon3d.volumes.statistics import ChannelStatistics

PSNR = "affine-matched PSNR (dB)"
RISK = "negative predicted error"
RISK_TOLERANCE = 1e-4
"""Difference of predicted errors, relative to the squared light of the image, that is ignored."""


def tune_on_phantoms(
    store: str | Path,
    *,
    path: str | Path,
    method: Classical,
    psf: Psf,
    camera: Camera,
    threads: int,
) -> None:
    """Search a method's parameters on a store of phantoms and write the outcome.

    Backgrounds are estimated as in a restoration, so the choice applies there. It is fair on the
    validation split and an oracle on the test split.

    Parameters
    ----------
    store
        Zarr group with `image` and `object` (n, Z, Y, X), in counts.
    path
        JSON with `chosen` (the λ under its setting's name, iterations, those on the coarse grid
        before them, if any, score), the score still `to_gain`, the limit that the search was
        `ended_by` (null = none), the whole `curve`, what was tuned `on`, the `measure`, and
        `seconds`.
    """
    started = time.perf_counter()
    group: Any = open_group(store)
    images = [
        mark_image(np.asarray(image), camera_offset=camera.known_offset) for image in group["image"]
    ]
    recipes = [
        base_recipe(
            method,
            psf=psf,
            camera=camera,
            statistics=ChannelStatistics.of_image(image, camera_offset=camera.known_offset),
        )
        for image in images
    ]
    truths = [np.asarray(truth) for truth in group["object"]]
    subjects = with_truth(images, truths, recipes)
    coarse = None
    if recipes and recipes[0].starts_coarse(psf.data):
        bins = bins_of(psf.data)
        pairs = [r.binned(image, bins) for r, image in zip(recipes, images, strict=True)]
        coarse = CoarseSubjects(
            with_truth(
                [image for image, _ in pairs],
                [binned(truth, bins) for truth in truths],
                [recipe for _, recipe in pairs],
            ),
            binned_psf(psf.data, bins),
            most_coarse(psf.data, bins),
        )
    _search(
        subjects,
        coarse,
        method,
        psf,
        path,
        measure=PSNR,
        tolerance=TOLERANCE_DB,
        started=started,
        threads=threads,
    )


def tune_on_data(
    sample: Sequence[NDArray[Any]],
    *,
    path: str | Path,
    statistics: ChannelStatistics,
    method: Classical,
    psf: Psf,
    camera: Camera,
    seed: int,
    threads: int,
) -> None:
    """Search a method's parameters on a sample of the data, by the error predicted from them.

    Parameters
    ----------
    sample
        Blocks of counts (Z Y X) of one channel.
    path
        As for `tune_on_phantoms`; `photons` lists the camera parameters used.
    statistics
        The channel's.
    seed
        The config's seed.

    Raises
    ------
    UserError
        If the data do not tell the gain.
    """
    started = time.perf_counter()
    if camera.gain_from == "assumed":
        raise UserError(
            f"{method.kind}, tune_on: data: the camera's gain cannot be measured in the data; give "
            "camera.gain, in counts per photon, from the camera's data sheet, or use tune_on: "
            "phantoms"
        )
    noise = noise_of(sample, camera)
    shared = neighbour_correlation(noise.correlation)
    if shared > CORRELATED:
        raise UserError(
            f"{method.kind}, tune_on: data: the noise of neighbouring voxels is correlated "
            f"({shared:.2f}), as in deskewed or resampled data, so noise and structure cannot be "
            "separated; use tune_on: phantoms"
        )
    trust, longer = (TRUST_PRIOR, LONGER_PRIOR) if prior_of(method) else (TRUST, 1.0)
    recipe = base_recipe(method, statistics=statistics, psf=psf, camera=camera)
    options: dict[str, Any] = {
        "recipe": recipe,
        "noise": noise,
        "seed": stream_seed(seed, "tune"),
        "trust": trust,
    }
    coarse = None
    if sample and recipe.starts_coarse(psf.data):
        coarse = coarse_subjects(sample, psf=psf, **options)
    _search(
        risk_subjects(sample, **options),
        coarse,
        method,
        psf,
        path,
        measure=RISK,
        tolerance=RISK_TOLERANCE,
        started=started,
        threads=threads,
        longer=longer,
        photons={
            "offset": camera.dark_level,
            "gain": camera.gain,
            "gain_from": camera.gain_from,
        },
    )


def _search(
    subjects: Sequence[Subject],
    coarse: CoarseSubjects | None,
    method: Classical,
    psf: Psf,
    path: str | Path,
    *,
    measure: str,
    tolerance: float,
    started: float,
    threads: int,
    longer: float = 1.0,
    **about: Any,
) -> None:
    """Search, and write the outcome; `about` are further entries of the record."""
    prior = prior_of(method)
    try:
        result = tune(
            subjects,
            psf=psf.data,
            prior=prior,
            tolerance=tolerance,
            threads=threads,
            coarse=coarse,
        )
    except UserError as error:
        raise UserError(f"{method.kind}, tune_on: {method.tune_on}: {error}") from None
    content: dict[str, Any] = {prior: result.weight} if prior else {}
    if result.coarse_iterations:
        content["coarse_iterations"] = result.coarse_iterations
    content |= {"iterations": round(longer * result.iterations), "score": result.score}
    log.info("%s: chose %s", method.kind, ", ".join(f"{k} {v:.4g}" for k, v in content.items()))
    write_record(
        path,
        {
            "chosen": content,
            "on": method.tune_on,
            "measure": measure,
            "to_gain": result.to_gain,
            "ended_by": result.ended_by,
            **about,
            "curve": [asdict(trial) for trial in result.curve],
            "seconds": round(time.perf_counter() - started, 1),
        },
    )
