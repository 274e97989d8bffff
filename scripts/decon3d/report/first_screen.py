"""The first screen of a page: one crop, raw and restored, at full resolution, and the cost."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter, minimum_filter, uniform_filter

from decon3d import paths
from decon3d.report.entries import Job
from decon3d.report.figures import sources
from decon3d.report.plots import round_length
from decon3d.report.templating import quantity
from decon3d.report.viewer import data_uri, grey_picture
from decon3d.report.views import Scene, Triple, Values, detail, overview
from decon3d.settings import Settings
from decon3d.volumes.volume_record import load_record

SIDE = 256
"""Largest height and width of the crop, in voxels."""
BRIGHTEST = 99.9
"""Percentile at which single bright spots are cut off when the crop is chosen."""
QUALITY = 92


def swipe_pictures(
    root: Path, *, dataset: str, settings: Settings, volume: str, method: str
) -> dict[str, Any] | None:
    """Make the pictures of the most telling crop: one XY plane, raw and restored.

    Parameters
    ----------
    root
        The working directory of the workflow.
    volume
        Name of an ingested volume.
    method
        Label of the method to compare with the raw volume.

    Returns
    -------
    dict or None
        `sides` (label, data URI and grey range in counts of raw and restored), `width_um`,
        `height_um`, `bar_um` (length of the scale bar), `plane` (from 1), `planes`, `volume` and
        `channel`; None without a result of the method.
    """
    job = Job(root, dataset, settings)
    record = load_record(root / paths.ingested(dataset, volume))
    channel = next(iter(job.dataset.channels))
    found = sources(job, record, channel)
    chosen = [found[0], *(s for s in found[1:] if s.label == method)][:2]
    if len(chosen) < 2:
        return None
    voxel = record.voxel_size_um
    raw, restored = (overview(s, voxel_size_um=voxel) for s in chosen)
    side_um = (SIDE * voxel[1], SIDE * voxel[2])
    place = telling_place(restored, like=raw, size_um=side_um)
    shape = (1, SIDE, SIDE)
    crops = [detail(s, centre_um=place, voxel_size_um=voxel, shape=shape) for s in chosen]
    _, height, width = crops[0].size_um
    return {
        "volume": volume,
        "channel": channel,
        "sides": [_side(s.label, c.counts[0]) for s, c in zip(chosen, crops, strict=True)],
        "height_um": height,
        "width_um": width,
        "bar_um": round_length(width / 4),
        "plane": round(crops[0].corner_um[0] / voxel[0]) + 1,
        "planes": record.shape[2],
    }


def telling_place(restored: Scene, *, like: Scene, size_um: tuple[float, float]) -> Triple:
    """Find the centre (Z, Y, X; µm) of the crop of one plane in which most detail was gained.

    Detail is the mean squared difference of a plane from its local mean, relative to the volume's
    spread, in the restored volume minus that in the raw one. The brightest thousandth is cut off,
    so single bright spots do not decide. The quarter of the crop with the least gain counts: no
    crop shows the edge of the specimen and an empty field. The first and the last tenth of the
    planes are left out: there, light from outside the volume makes the restoration less certain.

    Parameters
    ----------
    restored, like
        Overviews of the restored and the raw volume.
    size_um
        Height and width of the crop, in µm.
    """
    gain = _detail(restored)
    if like.counts.shape == gain.shape:  # a pyramid may lack the level that the other one has
        gain = gain - _detail(like)
    size = zip(gain.shape[1:], size_um, restored.voxel_size_um[1:], strict=True)
    rows, columns = (max(2, min(n, round(length / v))) for n, length, v in size)
    quarters = uniform_filter(gain, (1, rows // 2, columns // 2), mode="constant")
    corners = np.zeros((1, 2 * (rows // 4) + 1, 2 * (columns // 4) + 1), bool)
    corners[:, :: corners.shape[1] - 1 or 1, :: corners.shape[2] - 1 or 1] = True
    least = minimum_filter(quarters, footprint=corners, mode="constant")
    # A few objects may leave a quarter of every crop empty: then the mean decides.
    score = least + 0.01 * uniform_filter(gain, (1, rows, columns), mode="constant")
    planes = len(score)
    ends = planes // 10 + 1 if planes > 2 else 0
    first = (ends, rows // 2, columns // 2)  # crops lie inside the volume
    inside = score[
        ends : planes - ends,
        first[1] : -((rows - 1) // 2) or None,
        first[2] : -((columns - 1) // 2) or None,
    ]
    index = np.unravel_index(int(np.argmax(inside)), inside.shape)
    z, y, x = (
        (i + a + 0.5) * v for i, a, v in zip(index, first, restored.voxel_size_um, strict=True)
    )
    return (z, y, x)


def _detail(scene: Scene) -> Values:
    counts = np.nan_to_num(scene.counts)
    counts = np.minimum(counts, np.percentile(counts, BRIGHTEST))
    spread = max(float(counts.std()), 1e-6)
    return np.square((counts - gaussian_filter(counts, (0, 2, 2))) / np.float32(spread))


def _side(label: str, plane: Values) -> dict[str, Any]:
    image, (low, high) = grey_picture(plane)
    return {
        "label": label,
        "image": data_uri(image, quality=QUALITY),
        "low": quantity(low),
        "high": quantity(high),
    }


def cost_overview(cost: pd.DataFrame) -> list[dict[str, Any]]:
    """Sum up the cost per method.

    Parameters
    ----------
    cost
        Rows of `cost.csv`.

    Returns
    -------
    list of dict
        `method`, `before` (tuning and training; s), `restoration` (s) and `memory_gb`; NaN where
        something did not run.
    """
    rows = []
    for method, part in cost.groupby("method", sort=False):
        of = {
            stage: float(part[part["stage"].isin(stages)]["seconds"].sum(min_count=1))
            for stage, stages in {
                "before": ("tuning", "training"),
                "restoration": ("restoration",),
            }.items()
        }
        rows.append({"method": method, **of, "memory_gb": float(part["peak_memory_gb"].max())})
    return rows
