"""The numbers of a consistency map: shares of flagged voxels, worst places, rows of the table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from decon3d.blocks.geometry import Block, Triple
from decon3d.evaluation.consistency import EPSILON, THRESHOLD, FloatArray
from decon3d.evaluation.records import Record
from decon3d.restoration.sample import BLOCK
from decon3d.versions import __version__

WORST = 10
"""Places that are listed per time point and channel."""
Place = tuple[int, int, int, float]
"""A voxel (Z, Y, X) whose z is farther from 0 than that of its surroundings, and its z."""


def block_summary(place: Block, values: FloatArray, *, apart: Triple) -> dict[str, Any]:
    """Count the flagged voxels of one block's z (Z, Y, X), and list its worst places.

    `apart` is the least distance (Z, Y, X) of two places, in voxels. All is JSON-able.
    """
    corner = [s.start for s in place.write]
    return {
        "judged": int(np.count_nonzero(~np.isnan(values))),
        "invented": int(np.count_nonzero(values <= -THRESHOLD)),
        "missed": int(np.count_nonzero(values >= THRESHOLD)),
        "squares": float(np.nansum(np.square(values), dtype=np.float64)),
        "worst": [
            [z + corner[0], y + corner[1], x + corner[2], value]
            for z, y, x, value in worst_places(values, apart=apart, count=WORST)
        ],
    }


def stack_summary(
    lines: Sequence[dict[str, Any]], *, apart: Triple, voxel_size_um: tuple[float, float, float]
) -> dict[str, Any]:
    """Sum up the blocks of a time point and channel: shares of the voxels, and worst places.

    Parameters
    ----------
    lines
        From `block_summary`, with the `voxels` of each block.
    apart
        As there.
    voxel_size_um
        Z, Y, X, in µm.
    """
    total = {
        name: sum(line[name] for line in lines)
        for name in ("voxels", "judged", "invented", "missed", "squares")
    }
    judged = max(total["judged"], 1)
    places = [(z, y, x, value) for line in lines for z, y, x, value in line["worst"]]
    return {
        "judged": total["judged"] / total["voxels"],
        "flagged": (total["invented"] + total["missed"]) / judged,
        "invented": total["invented"] / judged,
        "missed": total["missed"] / judged,
        "z_rms": (total["squares"] / judged) ** 0.5,
        "worst": [
            {
                "voxel": voxel,
                "um": [round((i + 0.5) * v, 4) for i, v in zip(voxel, voxel_size_um, strict=True)],
                "z": value,
            }
            for *voxel, value in _spread(places, apart)[:WORST]
        ],
    }


def worst_places(values: FloatArray, *, apart: Triple, count: int) -> list[Place]:
    """Find the places with the largest |z|, the largest first.

    Parameters
    ----------
    values
        z (Z, Y, X); NaN = not judged.
    apart
        Voxels (Z, Y, X) around each place in which no other one is looked for.
    count
        How many, at most.
    """
    size = np.abs(values)
    size[np.isnan(size)] = -1
    found: list[Place] = []
    for _ in range(count):
        z, y, x = (int(i) for i in np.unravel_index(int(np.argmax(size)), size.shape))
        if size[z, y, x] < 0:
            break
        found.append((z, y, x, float(values[z, y, x])))
        around = zip((z, y, x), apart, strict=True)
        size[tuple(slice(max(i - a, 0), i + a + 1) for i, a in around)] = -1
    return found


def _spread(places: list[Place], apart: Triple) -> list[Place]:
    """Keep the largest of the places that blocks on both sides of a face found."""
    kept: list[Place] = []
    for place in sorted(places, key=lambda p: (-abs(p[3]), p)):
        near = (zip(place[:3], k[:3], apart, strict=True) for k in kept)
        if not any(all(abs(a - b) <= d for a, b, d in axes) for axes in near):
            kept.append(place)
    return kept


def volume_records(
    summary: dict[str, Any], *, dataset: str, method: str, volume: str
) -> list[Record]:
    """Make rows of `metrics.csv` from a volume's map: means over its time points."""
    records = []
    for channel in dict.fromkeys(check["channel"] for check in summary["checks"]):
        checks = [check for check in summary["checks"] if check["channel"] == channel]
        judged = [check for check in checks if check["judged"] > 0]
        shares = [c["not_verifiable"] for c in checks if c["not_verifiable"] is not None]
        for metric, values, told in (
            (
                "consistency_flagged",
                [c["flagged"] for c in judged],
                f"share of voxels with |z| ≥ {THRESHOLD:g}, ε {EPSILON:g}",
            ),
            ("not_verifiable", shares, f"energy outside the OTF, Hann windows of {BLOCK}"),
        ):
            records.append(
                Record(
                    dataset=dataset,
                    channel=channel,
                    method=method,
                    subject=f"volume/{volume}",
                    split="data",
                    metric=metric,
                    value=float(np.mean(values)) if values else float("nan"),
                    implementation=f"decon3d {__version__}: {told}",
                )
            )
    return records
