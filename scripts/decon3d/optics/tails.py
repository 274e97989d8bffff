"""Continue a measured PSF by theory where its image ends or sinks into noise.

A PSF without its dim tails is too bright in its core by their share of the light, and objects
restored with it are too dim by the same share: their tails come back as haze around them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from decon3d.optics.arrays import Array, Floats, Triple, padded
from decon3d.optics.resampling import OUTSIDE, energy_box, resample

SUPPORT_RULE = f"per axis {OUTSIDE:g} of the light may lie outside"
LARGEST_TAIL = 0.3
"""Share of the light by theory from which a warning is written."""


LARGEST_CUT = 0.1
"""Share of a cone's light beyond a file's frame from which a warning is written."""


def weight_on_grid(
    weight: Array, *, voxel_size_um: Triple, target_voxel_size_um: Triple, centre: Triple
) -> Array:
    """Lay the weight of a measurement (0 … 1, axes Z Y X) on the image's grid, as `resample`.

    Parameters
    ----------
    weight
        Axes Z Y X, on the file's grid.
    voxel_size_um, target_voxel_size_um, centre
        As for `resample`.
    """
    sized = resample(
        weight,
        voxel_size_um=voxel_size_um,
        target_voxel_size_um=target_voxel_size_um,
        centre=centre,
    )
    volume = np.prod(target_voxel_size_um) / np.prod(voxel_size_um)
    return np.clip(sized / volume, 0, 1)


def with_tails(
    measured: Array,
    weight: Array,
    theory: Floats,
    *,
    frame: Sequence[int] | None = None,
) -> tuple[Array, dict[str, Any]]:
    """Continue a measured PSF by the theoretical one.

    Parameters
    ----------
    measured
        Axes Z Y X, odd sizes, centred, not negative, faded out where `weight` is below 1.
    weight
        Of the same shape: 1 where the measurement holds, 0 where it does not.
    theory
        On the same voxels, odd sizes, centred, not negative.
    frame
        Odd shape to which the result is cut; None = as far as there is light. All planes of a
        widefield PSF hold the same light and its cone has no end, so a file's frame is kept.

    Returns
    -------
    tuple
        `measured + (1 - weight) · A · theory` on the union of both supports, cropped by
        `SUPPORT_RULE`; A makes the light where the measurement holds equal to theory's there. And a
        JSON-able record of the shares of the light.
    """
    shape = [max(n, m) for n, m in zip(measured.shape, theory.shape, strict=True)]
    m, w, t = (padded(np.asarray(a, np.float64), shape) for a in (measured, weight, theory))
    covered = float((w * t).sum())
    scale = float(m.sum()) / covered if covered > 0 else 0.0
    tail = (1 - w) * scale * t
    if frame is not None:
        inner = tuple(
            slice(max((n - k) // 2, 0), (n + min(k, n)) // 2)
            for n, k in zip(shape, frame, strict=True)
        )
        m, tail = m[inner], tail[inner]
    whole = m + tail
    box = energy_box(whole)
    kept, total = whole[box], float(whole.sum())
    return kept, {
        "measured_share": round(float(m[box].sum() / kept.sum()), 6),
        "share_from_theory": round(float(tail[box].sum() / kept.sum()), 6),
        "energy_kept": round(float(kept.sum() / total), 6),
    }


def cut_of_cone(psf: Array) -> float:
    """Estimate the share of a widefield PSF's light beyond its frame.

    Axes Z Y X. All planes hold the same light; the focal plane's lies within any frame.
    """
    planes = psf.sum(axis=(1, 2))
    return max(float(1 - planes.mean() / planes[len(planes) // 2]), 0.0)
