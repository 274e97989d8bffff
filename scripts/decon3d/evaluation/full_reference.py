"""PSNR, SSIM and NRMSE of a restoration against the truth, raw and after an affine match.

These are summed over blocks of at most `affine.BLOCK` voxels an edge, so a volume needs little more
than one block, whatever its size, and the values do not depend on the blocks. MicroSSIM is of some
planes.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from decon3d.affine import ArrayLike, fit_affine
from decon3d.errors import UserError
from decon3d.evaluation.catalogue import WITH_TRUTH
from decon3d.evaluation.common_kernel import Kernels
from decon3d.evaluation.metric import Comparison
from decon3d.evaluation.records import Record
from decon3d.volumes.checked_stores import open_group

AT_COMMON_KERNEL = {"affine": "common", "unmatched": "common_unmatched"}


@dataclass(frozen=True)
class Score:
    """One value of one metric; see `Record` for the fields."""

    metric: str
    variant: str
    value: float
    range: float | None
    implementation: str


def compare(prediction: ArrayLike, truth: ArrayLike) -> list[Score]:
    """Measure a restored volume against the truth.

    Parameters
    ----------
    prediction, truth
        Z Y X, same shape and unit (counts), any real dtype; read block by block, so zarr and
        dask arrays are never loaded whole. Where one of them is not finite there is no data: these
        voxels, and the windows of SSIM that hold one, are left out.

    Returns
    -------
    list of Score
        Metrics `psnr` (dB; R = max - min of the truth), `nrmse` (root mean square error over
        the root mean square of the truth, "euclidean") and `ssim` (see `ssim`), each in the
        variants `unmatched` and `affine`. The affine variant measures slope · prediction +
        offset, fitted by least squares over the volume, because deconvolution may change the
        scale. And `microssim` of up to nine XY planes (of 512 × 512 voxels), at its own match.
        Without the two where an axis is shorter than their windows of 11 voxels. All but NRMSE are
        NaN where the truth is constant or nothing has data; PSNR is infinite where the two are
        equal.

    Raises
    ------
    UserError
        If the shapes differ.
    """
    _check_shapes(prediction, truth)
    match = fit_affine(prediction, truth)
    scores = []
    for variant, slope, offset in (
        ("unmatched", 1.0, 0.0),
        ("affine", match.slope, match.offset),
    ):
        compared = Comparison(prediction, truth, match, slope, offset)
        for name, metric in WITH_TRUTH.items():
            fits = all(n >= least for n, least in zip(truth.shape, metric.least, strict=True))
            if fits and (metric.unmatched or variant == "affine"):
                scores.append(
                    Score(
                        name,
                        variant,
                        metric.measure(compared),
                        match.truth_range if metric.uses_range else None,
                        metric.implementation,
                    )
                )
    return scores


def evaluate_phantoms(
    *,
    test_store: str | Path,
    restored_store: str | Path | None,
    dataset: str,
    channel: str,
    method: str,
    kernels: Kernels | None = None,
) -> list[Record]:
    """Measure a method on the phantoms' test split.

    Parameters
    ----------
    test_store
        Zarr group with `object` and `image` (n, Z, Y, X; counts) and the attributes `recipes`
        and `photons`, one entry per volume.
    restored_store
        Zarr group with `restored` (n, Z, Y, X; counts); None for the method `input`, the image
        as it is.
    kernels
        What this method and the others restore; gives the variants `common` and
        `common_unmatched` where they differ.

    Returns
    -------
    list of Record
        Subjects `phantoms/test/0000` …, split `test`; of measured pairs `pairs/test/0000` …,
        split `measured`.

    Raises
    ------
    UserError
        If the two stores do not belong together.
    """
    test = open_group(test_store)
    truth = _array(test, "object", test_store)
    if restored_store is None:
        restored = _array(test, "image", test_store)
    else:
        restored = _array(open_group(restored_store), "restored", restored_store)
    if restored.shape != truth.shape:
        raise UserError(
            f"{restored_store} has the shape {restored.shape}, but {test_store} has the shape "
            f"{truth.shape}; restore the test split again"
        )
    about: Any = test.attrs
    measured = "measured" in about
    records = []
    for i in range(truth.shape[0]):
        placed: dict[str, Any] = {
            "dataset": dataset,
            "channel": channel,
            "method": method,
            "subject": f"{'pairs' if measured else 'phantoms'}/test/{i:04d}",
            "split": "measured" if measured else "test",
            "recipe": None if measured else str(about["recipes"][i]),
            "photons": None if measured else float(about["photons"][i]),
        }
        image, true = np.asarray(restored[i]), np.asarray(truth[i])
        scores = compare(image, true)
        if kernels is not None and not measured:
            pair = kernels.applied(image, true, recipe=str(about["recipes"][i]))
            scores += [replace(s, variant=AT_COMMON_KERNEL[s.variant]) for s in compare(*pair)]
        records += [Record(**placed, **vars(score)) for score in scores]
    return records


def evaluate_volume(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    dataset: str,
    channel: str,
    method: str,
    volume: str,
) -> list[Record]:
    """Measure a restored volume of a dataset against its reference.

    Parameters
    ----------
    prediction, truth
        One channel, Z Y X or T Z Y X, same shape, counts. Of several time points the mean of
        each metric (and of R) is recorded: the subject is the volume.

    Returns
    -------
    list of Record
        Subject `volume/<name>`, split `volume`.

    Raises
    ------
    UserError
        If the shapes differ.
    """
    _check_shapes(prediction, truth)
    if len(truth.shape) == 3:
        per_time = [compare(prediction, truth)]
    else:
        per_time = [compare(prediction[t], truth[t]) for t in range(truth.shape[0])]
    return [
        Record(
            dataset=dataset,
            channel=channel,
            method=method,
            subject=f"volume/{volume}",
            split="volume",
            **vars(_mean_score(scores)),
        )
        for scores in zip(*per_time, strict=True)
    ]


def _mean_score(scores: tuple[Score, ...]) -> Score:
    ranges = [s.range for s in scores if s.range is not None]
    mean_range = float(np.mean(ranges)) if ranges else None
    return replace(scores[0], value=float(np.mean([s.value for s in scores])), range=mean_range)


def _array(group: zarr.Group, name: str, store: str | Path | None) -> zarr.Array[Any]:
    if name not in group:
        raise UserError(f"{store} has no array {name!r}; make the store again")
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _check_shapes(prediction: ArrayLike, truth: ArrayLike) -> None:
    if tuple(prediction.shape) != tuple(truth.shape):
        raise UserError(
            f"the restored volume has the shape {tuple(prediction.shape)}, but its reference has "
            f"the shape {tuple(truth.shape)}; give a reference on the volume's grid"
        )
