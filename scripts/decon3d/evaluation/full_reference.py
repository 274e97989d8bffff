"""PSNR, SSIM and NRMSE of a restoration against the truth, raw and after an affine match.

These are summed over blocks of at most `affine.BLOCK` voxels an edge, so a volume needs little more
than one block, whatever its size, and the values do not depend on the blocks. MicroSSIM is of some
planes.
"""

import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from scipy.ndimage import maximum_filter
from skimage.metrics import structural_similarity

from decon3d.affine import BLOCK, ArrayLike, blocks_of, fit_affine, with_data
from decon3d.errors import UserError
from decon3d.evaluation.common_kernel import Kernels
from decon3d.evaluation.microssim import microssim
from decon3d.evaluation.records import Record
from decon3d.evaluation.sampling import PLANES, spread_parts
from decon3d.versions import __version__
from decon3d.volumes.checked_stores import open_group

SSIM_SIGMA = 1.5
AT_COMMON_KERNEL = {"affine": "common", "unmatched": "common_unmatched"}
SSIM_HALO = 5  # voxels: scikit-image cuts the Gaussian at 3.5 σ

_OWN = f"decon3d {__version__}"
_SSIM = (
    f"scikit-image {version('scikit-image')} structural_similarity, "
    f"Gaussian σ {SSIM_SIGMA:g} voxels (Wang 2004)"
)
_MICROSSIM = f"{_OWN}, on up to {PLANES} planes, match fitted per volume (Ashesh 2024)"


@dataclass(frozen=True)
class Score:
    """One value of one metric; see `Record` for the fields."""

    metric: str
    variant: str
    value: float
    range: float | None
    implementation: str
    unit: str


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
        error = _mean_square_error(prediction, truth, slope, offset)
        scores += [
            Score("psnr", variant, _psnr(error, match.truth_range), match.truth_range, _OWN, "dB"),
            Score("nrmse", variant, _ratio(math.sqrt(error), match.truth_norm), None, _OWN, "1"),
        ]
        if min(truth.shape) > 2 * SSIM_HALO:
            value = ssim(
                prediction, truth, data_range=match.truth_range, slope=slope, offset=offset
            )
            scores.append(Score("ssim", variant, value, match.truth_range, _SSIM, "1"))
    if min(truth.shape[1:]) > 2 * SSIM_HALO:
        parts = spread_parts(truth.shape)
        planes = [np.stack([np.asarray(v[part]) for part in parts]) for v in (prediction, truth)]
        value = microssim(*planes)
        scores.append(Score("microssim", "affine", value, None, _MICROSSIM, "1"))
    return scores


def ssim(
    prediction: ArrayLike,
    truth: ArrayLike,
    *,
    data_range: float,
    slope: float = 1.0,
    offset: float = 0.0,
    block: int = BLOCK,
) -> float:
    """Measure structural similarity as Wang et al. (2004) defined it, in N dimensions.

    Gaussian window σ = 1.5 voxels in every axis, population covariance, K1 0.01, K2 0.03, the
    mean over all voxels but a rim of 5. The window is in voxels: on anisotropic voxels it covers
    unequal lengths. It saturates on dim images; read it beside NRMSE.

    Parameters
    ----------
    prediction, truth
        Arrays of the same shape, each axis at least 11 voxels.
    data_range
        R, in the unit of the arrays.
    slope, offset
        Applied to the prediction first.
    block
        Edge of the blocks in voxels; the result does not depend on it.

    Returns
    -------
    float
        1 for equal volumes; NaN if `data_range` is not above 0.
    """
    if not data_range > 0:
        return math.nan
    total, count = 0.0, 0
    inner = tuple(slice(SSIM_HALO, -SSIM_HALO) for _ in truth.shape)
    # The mean leaves out a rim as wide as the halo: the sum over a block with its halo is exactly
    # the block's share of the sum over the volume.
    for p, t in blocks_of(prediction, truth, block=block, halo=SSIM_HALO):
        absent = ~(np.isfinite(p) & np.isfinite(t))
        p[absent] = t[absent] = 0
        _, similar = structural_similarity(
            t,
            slope * p + offset,
            data_range=data_range,
            gaussian_weights=True,
            sigma=SSIM_SIGMA,
            use_sample_covariance=False,
            full=True,
        )
        if absent.any():
            seen = ~maximum_filter(absent, size=2 * SSIM_HALO + 1)[inner]
            total, count = total + float(similar[inner][seen].sum()), count + int(seen.sum())
        else:
            total, count = total + float(similar[inner].sum()), count + similar[inner].size
    return total / count if count else math.nan


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
            f"{restored_store} has the shape {restored.shape}, {test_store} has {truth.shape}; "
            "restore the test split again"
        )
    about: Any = test.attrs
    measured = "measured" in about
    records = []
    for i in range(truth.shape[0]):
        placed = {
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
        records += [_record(placed, score) for score in scores]
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
    placed = {
        "dataset": dataset,
        "channel": channel,
        "method": method,
        "subject": f"volume/{volume}",
        "split": "volume",
        "recipe": None,
        "photons": None,
    }
    return [_record(placed, _mean_score(scores)) for scores in zip(*per_time, strict=True)]


def _record(placed: dict[str, Any], score: Score) -> Record:
    return Record(
        **placed,
        metric=score.metric,
        variant=score.variant,
        region="volume",
        range=score.range,
        implementation=score.implementation,
        value=score.value,
        unit=score.unit,
    )


def _mean_score(scores: tuple[Score, ...]) -> Score:
    first = scores[0]
    ranges = [s.range for s in scores if s.range is not None]
    value = float(np.mean([s.value for s in scores]))
    return Score(
        first.metric,
        first.variant,
        value,
        float(np.mean(ranges)) if ranges else None,
        first.implementation,
        first.unit,
    )


def _array(group: zarr.Group, name: str, store: str | Path | None) -> zarr.Array[Any]:
    if name not in group:
        raise UserError(f"{store} has no array {name!r}; is it a store of phantoms?")
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _check_shapes(prediction: ArrayLike, truth: ArrayLike) -> None:
    if tuple(prediction.shape) != tuple(truth.shape):
        raise UserError(
            f"the restored volume has the shape {tuple(prediction.shape)}, its truth "
            f"{tuple(truth.shape)}; a reference must lie on the volume's own grid"
        )


def _mean_square_error(
    prediction: ArrayLike, truth: ArrayLike, slope: float, offset: float
) -> float:
    total, size = 0.0, 0
    for p, t in with_data(prediction, truth):
        total, size = total + float(np.sum((slope * p + offset - t) ** 2)), size + t.size
    return total / size if size else math.nan


def _psnr(error: float, data_range: float) -> float:
    if not data_range > 0:
        return math.nan
    return 10 * math.log10(data_range**2 / error) if error > 0 else math.inf


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.nan
