"""Finish a restoration: check completeness, write pyramid and metadata, measure seams."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.blocks.geometry import centred
from decon3d.blocks.progress import finished_blocks
from decon3d.errors import DamagedError
from decon3d.logs import log
from decon3d.restoration.part import COUNTS
from decon3d.restoration.plan import Plan, VolumePlan, load_plan
from decon3d.versions import VERSIONS, __version__, installed
from decon3d.volumes.checked_stores import open_array, open_store
from decon3d.volumes.manifest import begin_store, finished_attributes
from decon3d.volumes.normalisation import Histogram
from decon3d.volumes.ome_tiff import write_ome_tiff
from decon3d.volumes.volume_record import VolumeRecord
from decon3d.volumes.writer import write_metadata, write_pyramid

FACES = 16
"""Largest number of block faces per axis that are measured."""
FACE_LENGTH = 512
"""Voxels of a face along its two axes, in its middle, that are measured."""
SHIFTS = 16
"""Planes before and behind the faces, with which the steps across faces are compared."""


def finish(
    path: str | Path,
    records: Sequence[VolumeRecord],
    *,
    progress: str | Path,
    provenance: dict[str, Any],
    config: str = "",
    ome_tiff: bool = False,
) -> dict[str, dict[str, Any]]:
    """Complete the restored volumes of a plan: each shard compared, pyramid, metadata, seams.

    Parameters
    ----------
    path
        The plan.
    records
        Ingest's record of each volume: voxel size, channel names and colours, time interval are
        kept.
    progress
        Folder of the parts' markers and progress records.
    provenance
        Settings and seed; stored as attribute `decon3d`, with the state of each restorer (bundle
        and PSF by hash), the versions of the packages and the config's hash.
    config
        Hash of the whole config.
    ome_tiff
        Whether to write each volume also as OME-TIFF.

    Returns
    -------
    dict
        By volume: `store`; `seam_index` per axis (`z`, `y`, `x`; 1 = no seam) where the volume has
        block faces; and the voxels that were `clipped`, `not_finite`, or have `no_data`.

    Raises
    ------
    DamagedError
        If shards are missing or were changed, or an output was not created for this plan; with all
        files that are to be made again.
    """
    plan, progress = load_plan(path), Path(progress)
    _check_level_0(plan, path, progress)
    issues = check_complete(plan, progress)
    found: dict[str, dict[str, Any]] = {}
    for number, (volume, record) in enumerate(zip(plan.volumes, records, strict=True)):
        about = {**issues[volume.name], **provenance, "finish": VERSIONS["finish"]}
        seams = _finish_volume(plan, number, record, about=about, progress=progress, config=config)
        if ome_tiff:
            export_ome_tiff(plan, volume, record)
        found[volume.name] = {"store": volume.store, "seam_index": seams, **issues[volume.name]}
    return found


def _check_level_0(plan: Plan, path: str | Path, progress: Path) -> None:
    """Check that each output was created for the plan at `path`, not for an older one."""
    for volume in plan.volumes:
        try:
            key = volume.output.created_for()
        except DamagedError as error:  # the plan makes the level 0, and all parts write to it
            files = [path, *sorted(progress.glob("*.json"))]
            raise DamagedError(error.path, error.problem, files=files) from None
        if key != volume.key:
            raise DamagedError(path, f"is not the plan that {volume.store} was created for")


def check_complete(plan: Plan, progress: str | Path) -> dict[str, dict[str, int]]:
    """Check that every shard of every volume is recorded as done and unchanged.

    A shard is one block. The checksums in each are compared with what its part recorded; the
    voxels are compared with these checksums when the pyramid is made of them.

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
    DamagedError
        If shards are missing or were changed; with the markers of their parts, to be done again.
    """
    progress = Path(progress)
    done, bad = finished_blocks(progress, plan.work, range(len(plan.work)))
    if bad:
        raise _undone(plan, bad, progress)
    return {
        volume.name: {k: sum(done[i][k] for i in plan.work.numbers(v)) for k in COUNTS}
        for v, volume in enumerate(plan.volumes)
    }


def _undone(plan: Plan, bad: dict[int, str], progress: Path) -> DamagedError:
    """Name the first of some damaged shards, and list all with their parts' markers."""
    shards = {i: plan.work.shard(plan.work.item(i)) for i in bad}
    markers = {progress / f"{plan.part_of(i)}.json" for i in bad}
    first, problem = next(iter(bad.items()))
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return DamagedError(shards[first], problem + more, files=[*shards.values(), *sorted(markers)])


def _finish_volume(
    plan: Plan,
    number: int,
    record: VolumeRecord,
    *,
    about: dict[str, Any],
    progress: Path,
    config: str,
) -> dict[str, float]:
    """Write the pyramid and the metadata of one volume, unless it is finished; return its seams."""
    volume = plan.volumes[number]
    made = finished_attributes(volume.store, {"key": volume.key, **about})
    if made is not None:
        return dict(made["seam_index"])
    begin_store(volume.store)
    level_0: Any = open_array(volume.store, "0")
    try:
        factors = write_pyramid(volume.store)
        seams = seam_index(level_0, volume)
        top: Any = open_array(volume.store, str(len(factors) - 1))
        windows = [Histogram.of(top[:, c]).display() for c in range(len(volume.channels))]
    except DamagedError as error:
        items = map(plan.work.item, plan.work.numbers(number))
        bad = {i.number: error.problem for i in items if plan.work.shard(i) == error.path}
        raise _undone(plan, bad, progress) if bad else error from None
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
                **about,
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
        By axis with an inner face: 1 = no seam; 2 = steps across faces, relative to those beside
        them, are twice as large as the largest nearby.
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
            region = [*centred(volume.shape, (FACE_LENGTH,) * 3)]
            region[axis] = slice(first, last)
            values = np.moveaxis(np.asarray(level_0[(0, 0, *region)], np.float32), axis, 0)
            steps = np.array([np.nansum(np.abs(b - a), dtype=float) for a, b in pairwise(values)])
            place = first + 2 - face + reach  # of the first step that has a predecessor
            inside = slice(place, place + len(steps) - 2)
            across[inside] += steps[1:-1]
            beside[inside] += (steps[:-2] + steps[2:]) / 2
        if inner and beside[reach] > 0:
            ratio = np.divide(across, beside, out=np.ones_like(across), where=beside > 0)
            away = np.abs(np.arange(-reach, reach + 1)) > 1
            result[name] = float(ratio[reach]), ratio[away]
    return result


def export_ome_tiff(plan: Plan, volume: VolumePlan, record: VolumeRecord) -> Path:
    """Write a finished volume as OME-TIFF beside its store, unless that is there already."""
    finished = Path(volume.store) / "zarr.json"
    path = Path(volume.store.removesuffix(".ome.zarr") + ".ome.tif")
    if path.exists() and os.path.getmtime(path) >= os.path.getmtime(finished):
        return path
    write_ome_tiff(
        path,
        open_store(volume.store)["0"],
        name=f"{volume.name} {plan.method}",
        **record.kept(volume.channels, volume.times),
    )
    log.info("%s: written", path)
    return path
