"""One zarr v3 store per split: pairs of object and image, reproducible to the byte."""

import logging
import shutil
from collections.abc import Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from decon3d.errors import DamagedError, UserError
from decon3d.files import digest, read_json, write_json
from decon3d.logs import progress
from decon3d.optics.psf import Psf, fingerprint
from decon3d.optics.sections import Channel, Optics
from decon3d.phantoms.conditions import Conditions
from decon3d.phantoms.grids import Volume
from decon3d.phantoms.imaging import simulate
from decon3d.phantoms.microscope_imaging import take_volume
from decon3d.phantoms.microscopes import Microscope, draw_microscope
from decon3d.phantoms.sections import Phantoms, Split
from decon3d.phantoms.user_objects import OwnObject, open_own_object
from decon3d.phantoms.variation import Variation, draw_variation, varied_psf
from decon3d.seeds import generator, seeded, stream_seed
from decon3d.versions import VERSIONS, __version__
from decon3d.volumes.checked_stores import create_volumes, open_to_write
from decon3d.volumes.manifest import GROUP, MANIFEST, begin_store, check_bytes, finish_store
from decon3d.workers import worker_pool

SplitName = Literal["train", "val", "test"]

ARRAYS = {
    "object": "gain · (s · object + background) + offset: image = object ⊗ PSF + noise",
    "image": "gain · (Poisson(s · object ⊗ PSF + background) + N(0, read_noise²)) + offset",
    "image_b": "a second noise draw of the same",
    "psf": "of each volume's microscope, as a restoration assumes it; centred, zeros around it",
}
"""Definitions of a store's arrays, in counts."""

OF_ONE_MICROSCOPE = (
    "voxel_size_um",
    "photons_range",
    "background_photons",
    "assumed",
    "unit_um",
    "camera",
    "psf_fingerprint",
    "psf_variation",
)
"""Attributes that a store of many microscopes does not have."""

log = logging.getLogger("decon3d")


@dataclass(frozen=True)
class Member:
    """The parameters of one volume of a split.

    Attributes
    ----------
    variation
        Its own PSF; None = the channel's.
    microscope
        Its own microscope, which gives the photons, too; None = the channel's.
    """

    index: int
    recipe: str
    photons: float
    seed: int
    variation: Variation | None = None
    microscope: Microscope | None = None


def members(
    split: Split,
    *,
    name: SplitName,
    photons: tuple[float, float],
    seed: int,
    stream: tuple[str, ...],
) -> list[Member]:
    """List the volumes of a split.

    In `train` and `val` the recipes take turns so that every run of volumes has them in
    proportion to their weights, and the doses are drawn log-uniformly: volume i depends on the
    seed, the names and i alone. In `test` a recipe of weight w has w · count volumes in a row,
    whose doses are spread evenly in the logarithm over the range, the same for every recipe of
    the same weight; with `split.doses`, as many objects, each imaged at every one of them. Where
    the PSF or the microscope varies, volume i's depends on the seed, the names and i. In `val`, no
    microscope sees an empty field.

    Parameters
    ----------
    split
        Count, recipes and the PSF's variation.
    name
        Which split it is.
    photons
        Range of the doses.
    seed
        The config's seed.
    stream
        Names of dataset and channel; with the split's name they make the random stream, so that
        no two stores share a volume.
    """
    low, high = photons
    names = ("phantoms", *stream, name)
    drawn: list[tuple[str, float]] = []
    repeated = len(split.doses or [0])
    if name == "test":
        for recipe, weight in sorted(split.recipes.items()):
            count = max(1, round(split.count * weight))
            doses = np.geomspace(low, high, count) if count > 1 else [(low * high) ** 0.5]
            if split.doses is not None:
                doses = split.doses * count
            drawn += [(recipe, float(dose)) for dose in doses]
    else:
        for i, turn in enumerate(_turns(dict(split.recipes), split.count)):
            rng = generator(seed, *names, i, "photons")
            drawn.append((turn, float(np.exp(rng.uniform(np.log(low), np.log(high))))))
    ranges = split.psf_variation
    variations = [
        draw_variation(ranges, generator(seed, *names, i // repeated, "psf")) if ranges else None
        for i in range(len(drawn))
    ]
    planned = [
        Member(i, turn, dose, stream_seed(seed, *names, i // repeated), variations[i])
        for i, (turn, dose) in enumerate(drawn)
    ]
    if split.microscopes is None:
        return planned
    microscopes = [
        draw_microscope(
            split.microscopes,
            generator(seed, *names, i, "microscope"),
            without_empty=name == "val",
        )
        for i in range(len(drawn))
    ]
    return [
        replace(member, microscope=microscope, photons=microscope.photons)
        for member, microscope in zip(planned, microscopes, strict=True)
    ]


def _turns(weights: dict[Any, float], count: int) -> list[str]:
    """Share `count` turns out: each goes to the recipe that is furthest behind its weight."""
    given = dict.fromkeys(sorted(weights), 0)
    total = sum(weights.values())
    turns = []
    for i in range(count):
        behind = {name: weights[name] / total * (i + 1) - given[name] for name in given}
        name = max(given, key=lambda n: round(behind[n], 9))  # a tie: the first by name
        given[name] += 1
        turns.append(name)
    return turns


@dataclass(frozen=True, eq=False)
class _Job:
    """What all volumes of a store share; goes to the workers."""

    path: str
    arrays: tuple[str, ...]
    shape: tuple[int, int, int]
    psf: Psf
    optics: Optics
    channel: Channel
    conditions: Conditions
    unit_um: float | None
    own: dict[str, OwnObject]


def make_split(
    path: str | Path,
    *,
    split: Split,
    name: SplitName,
    phantoms: Phantoms,
    psf: Psf,
    optics: Optics,
    channel: Channel,
    conditions: Conditions,
    seed: int,
    stream: tuple[str, ...],
    processes: int = 1,
) -> None:
    """Make the store of one split, or finish one that was interrupted.

    A zarr v3 group with the arrays `object` and `image`, in `test` also `image_b` (a second noise
    draw), all (n, Z, Y, X) float32 in counts, one volume per chunk. With `split.microscopes` there
    is also `psf`, (n, 2 Z - 1, 2 Y - 1, 2 X - 1): the PSF that is assumed for each volume. Its
    attributes record how every volume was made. The group's own `zarr.json` is written last and
    marks a whole store; until then `<path>.progress` lists the finished volumes, and other settings
    start over.

    Parameters
    ----------
    path
        Folder of the store.
    split, name
        Count, recipes and the PSF's variation, and which split it is.
    phantoms
        Shape, unit of length, own objects.
    psf
        On the image's grid, whose voxel size it gives.
    optics, channel
        The microscope and the fluorophore, for PSFs at other depths.
    conditions
        Doses, background and camera.
    seed, stream
        The config's seed, and the names of dataset and channel; see `members`.
    processes
        Workers; each holds one volume. The bytes do not depend on their number.

    Raises
    ------
    UserError
        If the folder holds anything else, a phantom is empty, an own object cannot be used, the
        camera cannot hold the counts, or a worker is killed.
    """
    path = Path(path)
    record = Path(f"{path}.progress")
    planned = members(split, name=name, photons=conditions.photons, seed=seed, stream=stream)
    own_psfs = ["psf"] if split.microscopes else []
    job = _Job(
        path=str(path),
        arrays=("object", "image", *(["image_b"] if name == "test" else []), *own_psfs),
        shape=phantoms.shape,
        psf=psf,
        optics=optics,
        channel=channel,
        conditions=conditions,
        unit_um=phantoms.unit_um,
        own={
            key: open_own_object(key, entry)
            for key, entry in phantoms.objects.items()
            if key in split.recipes
        },
    )
    if split.microscopes is None:
        brightest = max([conditions.photons[1], *(split.doses or [])])
        conditions.camera.check_range(brightest + conditions.background_photons)
    attributes: dict[str, Any] = {
        "split": name,
        "stream": list(stream),
        "seed": seed,
        "axes": ["volume", "z", "y", "x"],
        "voxel_size_um": list(psf.voxel_size_um),
        "volumes": len(planned),
        "shape": list(phantoms.shape),
        "arrays": {key: ARRAYS[key] for key in job.arrays},
        "recipes": [member.recipe for member in planned],
        "photons": [member.photons for member in planned],
        "seeds": [member.seed for member in planned],
        "photons_range": list(conditions.photons),
        "background_photons": conditions.background_photons,
        "assumed": list(conditions.assumed),
        "unit_um": phantoms.unit_um or min(psf.voxel_size_um),
        "objects": {key: asdict(own) for key, own in job.own.items()},
        "camera": asdict(conditions.camera),
        "psf_fingerprint": fingerprint(psf),
        "psf_variation": [asdict(m.variation) if m.variation else None for m in planned],
        "algorithm": VERSIONS["phantoms"],
    }
    if split.microscopes is not None:
        for key in OF_ONE_MICROSCOPE:
            del attributes[key]
        attributes["microscopes"] = [_description(member) for member in planned]
    attributes["digest"] = digest(attributes)
    attributes["decon3d"] = __version__  # not hashed: a new release alone makes nothing again
    if _finished(path) == attributes["digest"]:
        log.info("%s is complete", path)
        record.unlink(missing_ok=True)
        return
    done = set(_resume(record, attributes["digest"], job))
    if not done:
        _start(path, job, len(planned), record)
    left = [member for member in planned if member.index not in done]
    for index in progress(
        _make_all(job, left, processes), total=len(left), what=f"{name} phantoms", unit="volumes"
    ):
        done.add(index)
        write_json(record, {"digest": attributes["digest"], "done": sorted(done)})
    finish_store(path, attributes)
    record.unlink(missing_ok=True)


def _finished(path: Path) -> str | None:
    """Return the digest of a whole store, None where there is none."""
    if not (path / "zarr.json").exists():
        return None
    return read_json(path / "zarr.json").get("attributes", {}).get("digest")


def _resume(record: Path, wanted: str, job: _Job) -> list[int]:
    """List the volumes that an interrupted run with the same settings has finished."""
    path = Path(job.path)
    if not record.exists() or not path.exists():
        return []
    try:
        found = read_json(record)
        if found["digest"] != wanted:
            return []
    except (DamagedError, KeyError, TypeError):
        return []
    begin_store(path)
    return [index for index in found["done"] if all(_is_whole(job, n, index) for n in job.arrays)]


def _is_whole(job: _Job, name: str, index: int) -> bool:
    """Return whether a finished volume lies there undamaged."""
    try:
        check_bytes(Path(job.path, name, "c", str(index), "0", "0", "0"), None)
    except (OSError, ValueError):
        return False
    return True


def _start(path: Path, job: _Job, count: int, record: Path) -> None:
    """Clear the folder and make the empty arrays."""
    if path.exists():
        known = {GROUP, MANIFEST, *ARRAYS}
        foreign = sorted({entry.name for entry in path.iterdir()} - known)
        if foreign:
            raise UserError(
                f"{path} is not a store of phantoms: it holds {foreign[0]}; name another folder"
            )
        shutil.rmtree(path)
    record.unlink(missing_ok=True)
    for name in job.arrays:
        z, y, x = job.shape
        shape = (2 * z - 1, 2 * y - 1, 2 * x - 1) if name == "psf" else job.shape
        create_volumes(path / name, count=count, shape=shape)


def _make_all(job: _Job, planned: list[Member], processes: int) -> Iterator[int]:
    """Make volumes and yield their indices as they are finished."""
    if processes == 1 or len(planned) < 2:
        for member in planned:
            yield _make(job, member)
        return
    with worker_pool(min(processes, len(planned))) as pool:
        futures = [pool.submit(_make, job, member) for member in planned]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                f"a worker that made phantoms for {job.path} was killed, most likely because "
                "memory ran out; use fewer processes or a smaller phantoms.shape"
            ) from None
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _make(job: _Job, member: Member) -> int:
    """Make one volume and write it; this is all that a worker holds."""
    if member.microscope is not None:
        taken = take_volume(
            member.microscope,
            member.recipe,
            shape=job.shape,
            rng=seeded(member.seed),
            own=job.own,
        )
        values = {"object": taken.object, "image": taken.image, "psf": _padded(taken.psf, job)}
        for name in job.arrays:
            open_to_write(Path(job.path) / name)[member.index] = values[name]
        return member.index
    psf = job.psf
    if member.variation:
        psf = varied_psf(psf, member.variation, optics=job.optics, channel=job.channel)
    exposure = simulate(
        member.recipe,
        shape=job.shape,
        psf=psf.data,
        voxel_size_um=job.psf.voxel_size_um,
        photons=member.photons,
        background_photons=job.conditions.background_photons,
        camera=job.conditions.camera,
        rng=seeded(member.seed),
        draws=len(job.arrays) - 1,
        unit_um=job.unit_um,
        own=job.own,
    )
    for name, volume in zip(job.arrays, (exposure.object, *exposure.images), strict=True):
        array = open_to_write(Path(job.path) / name)
        array[member.index] = volume
    return member.index


def _description(member: Member) -> dict[str, Any]:
    assert member.microscope is not None
    return member.microscope.description


def _padded(psf: Psf, job: _Job) -> Volume:
    """Lay a PSF in the middle of the largest one that volumes of this shape may have."""
    ends = [(n - 1 - size // 2,) * 2 for n, size in zip(job.shape, psf.data.shape, strict=True)]
    return np.pad(psf.data, ends)
