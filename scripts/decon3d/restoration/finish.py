"""Finish a restoration: completeness, pyramid, seams, metadata. Only then is it a valid volume."""

import os
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import zarr
from numpy.typing import NDArray

from decon3d import __version__
from decon3d.errors import UserError
from decon3d.files import read_json
from decon3d.logs import log
from decon3d.restoration.part import finished_blocks
from decon3d.restoration.plan import Item, Plan, VolumePlan
from decon3d.seeds import generator
from decon3d.versions import VERSIONS, installed
from decon3d.volumes.ingest import VolumeRecord
from decon3d.volumes.normalisation import Histogram
from decon3d.volumes.ome_tiff import write_ome_tiff
from decon3d.volumes.writer import write_metadata, write_pyramid

FACES = 16
"""Block faces that are looked at per axis."""
FACE_LENGTH = 512
"""Voxels of a face that are looked at along its two axes, in its middle."""
SHIFTS = 16
"""Planes before and behind the faces, among which the steps across faces must stand out."""
CHECKED_SHARDS = 16
"""Shards of each volume that are read again and compared with what was recorded."""
COUNTS = ("clipped", "not_finite", "no_data")


def check_complete(plan: Plan, progress: str | Path) -> dict[str, dict[str, int]]:
    """Check that every shard of every volume is recorded as done and lies there as it was written.

    A shard is one block. Some of them, drawn at random, are read again and compared by CRC-32 with
    what their part wrote; that all can be decoded shows when the pyramid is made of them.

    Parameters
    ----------
    progress
        Folder of the parts' progress records.

    Returns
    -------
    dict
        By volume: voxels that were clipped, not finite, or without data.

    Raises
    ------
    UserError
        If blocks are missing or were changed.
    """
    done = finished_blocks(Path(progress), plan, range(plan.bounds[-1]))
    issues = {}
    for number, volume in enumerate(plan.volumes):
        items = range(plan.starts[number], plan.starts[number + 1])
        found = [done[i] for i in items if i in done]
        if len(found) < volume.items:
            raise UserError(
                f"{volume.store}: {volume.items - len(found)} of {volume.items} blocks are not "
                f"done; delete the markers in {progress} and run again"
            )
        _check_shards(plan, number, [line["crc32"] for line in found], Path(progress))
        issues[volume.name] = {k: sum(f[k] for f in found) for k in COUNTS}
    return issues


def _check_shards(plan: Plan, number: int, checksums: list[int], progress: Path) -> None:
    volume, first = plan.volumes[number], plan.starts[number]
    for half_written in (Path(volume.store) / "0").rglob("*.partial"):
        half_written.unlink()  # by a part that was killed, which wrote the whole shard later
    level_0: Any = zarr.open_array(str(Path(volume.store) / "0"), mode="r")
    rng = generator(0, "shards", volume.key)
    some = set(rng.permutation(volume.items)[:CHECKED_SHARDS].tolist())
    for index, checksum in enumerate(checksums):
        item = plan.item(first + index)
        place = [w.start // b for w, b in zip(item.block.write, volume.block, strict=True)]
        name = level_0.metadata.encode_chunk_key((item.time, item.channel, *place))
        if not (Path(volume.store) / "0" / name).is_file():
            problem = "is missing"
        elif index in some and _checksum(level_0, item) != checksum:
            problem = "does not hold what was written"
        else:
            continue
        raise UserError(
            f"{volume.store}/0/{name} {problem}; delete the folder {progress} and run again"
        )


def _checksum(level_0: Any, item: Item) -> int | None:
    """Read a shard; None where it cannot be decoded."""
    try:
        values = level_0[(item.time, item.channel, *item.block.write)]
    except (ValueError, RuntimeError, OSError):
        return None
    return crc32(np.ascontiguousarray(values).data)


def finish_volume(
    plan: Plan,
    volume: VolumePlan,
    record: VolumeRecord,
    *,
    provenance: dict[str, Any],
    issues: dict[str, int],
    config: str = "",
) -> dict[str, float]:
    """Write one restored volume's pyramid and metadata.

    Parameters
    ----------
    record
        What ingest found: voxel size, channel names and colours, time interval are kept.
    provenance
        What decides this volume (settings, seed); stored as attribute `decon3d`, with the state of
        each restorer (bundle and PSF by hash), the versions of the packages and the config's hash.
    issues
        From `check_complete`.
    config
        Hash of the whole config.

    Returns
    -------
    dict
        Seam index per axis (`z`, `y`, `x`; 1 = no seam) where the volume has block faces; see
        `seam_index`.
    """
    provenance = {**provenance, "finish": VERSIONS["finish"]}
    level_0: Any = zarr.open_array(str(Path(volume.store) / "0"), mode="r")
    if level_0.attrs.get("key") != volume.key:
        raise UserError(f"{volume.store} was made for another plan; run again")
    finished = Path(volume.store) / "zarr.json"
    made = read_json(finished)["attributes"]["decon3d"] if finished.exists() else {}
    if made.get("key") == volume.key and {**made, **provenance} == made:
        return dict(made["seam_index"])
    factors = write_pyramid(volume.store, level_0=level_0)
    seams = seam_index(level_0, volume)
    top: Any = zarr.open_array(str(Path(volume.store) / str(len(factors) - 1)), mode="r")
    windows = [Histogram.of(top[:, c]).display() for c in range(len(volume.channels))]
    write_metadata(
        volume.store,
        name=f"{volume.name} {plan.method}",
        factors=factors,
        windows=windows,
        **record.kept(volume.channels, volume.times),
        attributes={
            "decon3d": {
                "version": __version__,
                "method": plan.method,
                "source": record.source,
                "key": volume.key,
                "restorers": plan.restorers,
                "engine": None if plan.engine is None else asdict(plan.engine),
                "seam_index": seams,
                **issues,
                **provenance,
                "made_with": {"config": config, **installed()},
            }
        },
    )
    log.info("%s is complete; seam index %s", volume.store, seams)
    return seams


def seam_index(level_0: Any, volume: VolumePlan) -> dict[str, float]:
    """Compare steps across block faces with steps elsewhere.

    Structure alone makes the steps across a few faces differ from those beside them by 10 to 20 %.
    So the ratio at the faces (`step_ratios`) is divided by the largest one at shifted planes, or by
    1 where that is larger.

    Returns
    -------
    dict
        By axis with an inner face: 1 where no seam can be told, 2 where steps across faces are
        twice as large, relative to those beside them, as anywhere near.
    """
    return {
        axis: round(float(max(faces / max(shifted.max(initial=1.0), 1.0), 1.0)), 4)
        for axis, (faces, shifted) in step_ratios(level_0, volume).items()
    }


def step_ratios(level_0: Any, volume: VolumePlan) -> dict[str, tuple[float, NDArray[np.float64]]]:
    """Measure steps across block faces, and across shifted planes, relative to those beside them.

    A step is the sum of the absolute differences across a plane. First time point and channel, up
    to `FACES` faces per axis, up to `FACE_LENGTH` voxels along each; voxels without data (NaN) do
    not count.

    Returns
    -------
    dict
        By axis with an inner face: the steps across all faces over the mean of those one voxel
        before and behind; and the same of the faces' planes shifted by 2 to `SHIFTS` voxels.
    """
    result = {}
    for axis, (name, size, block) in enumerate(zip("zyx", volume.shape, volume.block, strict=True)):
        inner = [f for f in range(block, size, block) if f + 2 <= size]
        some = np.linspace(0, len(inner) - 1, min(FACES, len(inner))).astype(int)
        reach = min(SHIFTS, max(block - 2, 0))
        across, beside = np.zeros(2 * reach + 1), np.zeros(2 * reach + 1)  # by shift
        for face in (inner[i] for i in some):
            first, last = max(face - reach - 2, 0), min(face + reach + 2, size)
            region = [_middle(n) for n in volume.shape]
            region[axis] = slice(first, last)
            values = np.moveaxis(np.asarray(level_0[(0, 0, *region)], np.float32), axis, 0)
            steps = np.array([np.nansum(np.abs(b - a), dtype=float) for a, b in pairwise(values)])
            place = first + 2 - face + reach  # of the first step that has one before it
            inside = slice(place, place + len(steps) - 2)
            across[inside] += steps[1:-1]
            beside[inside] += (steps[:-2] + steps[2:]) / 2
        if inner and beside[reach] > 0:
            ratio = np.divide(across, beside, out=np.ones_like(across), where=beside > 0)
            away = np.abs(np.arange(-reach, reach + 1)) > 1
            result[name] = float(ratio[reach]), ratio[away]
    return result


def _middle(size: int) -> slice:
    start = max(0, (size - FACE_LENGTH) // 2)
    return slice(start, min(size, start + FACE_LENGTH))


def export_ome_tiff(plan: Plan, volume: VolumePlan, record: VolumeRecord) -> Path:
    """Write a finished volume as OME-TIFF beside its store, unless that is there already."""
    finished = Path(volume.store) / "zarr.json"
    path = Path(volume.store.removesuffix(".ome.zarr") + ".ome.tif")
    if path.exists() and os.path.getmtime(path) >= os.path.getmtime(finished):
        return path
    write_ome_tiff(
        path,
        zarr.open_array(str(Path(volume.store) / "0"), mode="r"),
        name=f"{volume.name} {plan.method}",
        **record.kept(volume.channels, volume.times),
    )
    log.info("%s: written", path)
    return path
