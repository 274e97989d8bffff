"""One volume by one method: the steps of the workflow's rules, in one process.

The library functions are those that the rules call, so the restored voxels are the same.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from decon3d import paths
from decon3d.classical.kind import Classical
from decon3d.errors import UserError
from decon3d.files import digest
from decon3d.kinds import MethodSection
from decon3d.optics.psf import Psf, save_psf
from decon3d.phantoms.conditions import resolve_conditions
from decon3d.phantoms.stores import make_split
from decon3d.restoration.bundle_checks import training_warnings
from decon3d.restoration.finish import finish
from decon3d.restoration.part import restore_part
from decon3d.restoration.plan import Plan, make_plan
from decon3d.restoration.prepare import preparation
from decon3d.restoration.restorers import State, claim_device
from decon3d.restoration.sample import channel_camera, sample_blocks
from decon3d.restoration.tuning import tune_on_data, tune_on_phantoms
from decon3d.settings import (
    Dataset,
    Phantoms,
    Settings,
    is_trained,
    is_tuned,
    listed_files,
    needs_sample,
    ready_bundle,
)
from decon3d.volumes.camera import resolve_camera
from decon3d.volumes.camera_frames import measure_maps
from decon3d.volumes.camera_maps import save_maps
from decon3d.volumes.ingest import ingest
from decon3d.volumes.metadata import chosen_voxel_size
from decon3d.volumes.reader import open_volume
from decon3d.volumes.statistics import channel_statistics
from decon3d.volumes.volume import Reading, Triple
from decon3d.volumes.volume_record import VolumeRecord

NAME = "image"
"""Name of the only dataset and of its only volume."""
KEY = f"datasets.{NAME}"


def restore_volume(
    source: str,
    *,
    settings: Settings,
    psfs: Callable[[Triple, int], Sequence[Psf]],
    channels: list[int] | None,
    folder: Path,
    threads: int,
    gpus: int,
) -> tuple[Plan, VolumeRecord]:
    """Restore one volume.

    Parameters
    ----------
    source
        TIFF, OME-TIFF, OME-Zarr, or a folder of planes; never written to.
    settings
        With one dataset, `NAME`, whose optics and channels are not used, and one method.
    psfs
        Returns the PSFs of the channels, given the voxel size (Z, Y, X) in µm and the number of
        channels.
    channels
        Positions on the channel axis, from 0; None = all.
    folder
        Gets all files: the restored volume is the store of the plan's only volume.
    threads, gpus
        CPU threads and GPUs to use.

    Raises
    ------
    UserError
        If the volume cannot be read or restored, or the method is an untrained network.
    """
    dataset = settings.datasets[NAME]
    name, method = next(iter(settings.methods.items()))
    _check_ready(name, method)
    reading = Reading.of(dataset)
    volume = open_volume(source, reading=reading)
    size = chosen_voxel_size(volume, configured=dataset.voxel_size_um, key=f"{KEY}.voxel_size_um")
    count = volume.shape[1]
    chosen = list(range(count)) if channels is None else channels
    in_file = isinstance(chosen, list) and all(type(i) is int and 0 <= i < count for i in chosen)
    if not chosen or not in_file:
        raise UserError(
            f"channels: {chosen} cannot be chosen, since {source} has {count} channel(s); give a "
            f"list of numbers from 0 to {count - 1}"
        )
    indices = {f"channel{i}": i for i in chosen}
    made = dict(zip(indices, psfs(size, len(indices)), strict=True))
    record = ingest(
        source,
        record_path=folder / paths.ingested(NAME, NAME),
        name=NAME,
        channels=indices,
        voxel_size_um=dataset.voxel_size_um,
        times=dataset.times,
        no_data=dataset.no_data,
        camera_offset=dataset.camera.offset,
        camera_bits=dataset.camera.bits,
        camera_maps=_camera_maps(dataset, folder),
        reading=reading,
        key=KEY,
    )
    states = {
        channel: _prepared(record, channel, index, settings, made[channel], folder, threads)
        for channel, index in indices.items()
    }
    place = folder / paths.plan(NAME, name)
    bundles = [Path(s.values["bundle"]) / "model.json" for s in states.values() if s.of_network]
    plan = make_plan(
        method=name,
        states=states,
        records=[record],
        stores=[str(folder / paths.restored(NAME, NAME, name))],
        channels=indices,
        times=dataset.times,
        restoration=settings.restoration,
        path=place,
        gpu=gpus > 0,
        warnings=training_warnings(
            method=name,
            records=[record],
            channels=indices,
            states=states,
            bundles=bundles,
            psfs=[folder / paths.psf(NAME, channel) for channel in indices],
        ),
    )
    marker = folder / paths.part(NAME, name, 0)
    every = list(states.values())
    device = claim_device(every[0], gpus=gpus, threads=threads)
    restore_part(place, every, part=0, marker=marker, threads=threads, device=device)
    finish(
        place,
        [record],
        progress=marker.parent,
        provenance={"settings": method.model_dump(mode="json"), "seed": settings.seed},
        config=digest(settings.model_dump(mode="json")),
    )
    return plan, record


def _check_ready(name: str, method: MethodSection) -> None:
    """Refuse a method that the workflow would first train."""
    if is_trained(method):
        raise UserError(
            f"method {name}: this network is not trained yet; train it with the workflow (decon3d "
            "run), then give method={'bundle': 'results/<dataset>/models/<channel>/<method>'}"
        )


def _camera_maps(dataset: Dataset, folder: Path) -> Path | None:
    """Measure the camera's pixels in its dark and flat frames, if there are any."""
    if dataset.camera.dark is None:
        return None
    path = folder / paths.camera_maps(NAME)
    dark, flat = listed_files(dataset.camera.dark), listed_files(dataset.camera.flat)
    save_maps(path, measure_maps(dark, flat, bits=dataset.camera.bits, key=f"{KEY}.camera"))
    return path


def _prepared(
    record: VolumeRecord,
    channel: str,
    index: int,
    settings: Settings,
    psf: Psf,
    folder: Path,
    threads: int,
) -> State:
    """Measure a channel and prepare the method for it."""
    dataset = settings.datasets[NAME]
    name, method = next(iter(settings.methods.items()))
    on_data = is_tuned(method) and getattr(method, "tune_on", None) == "data"
    on_phantoms = is_tuned(method) and not on_data
    measured = None
    if on_phantoms or not dataset.camera.is_known:  # phantoms have the light of the data
        measured = channel_camera([record], channel=index, times=dataset.times, seed=settings.seed)
    camera = resolve_camera(dataset.camera, measured)
    statistics = channel_statistics(
        [record], channel=index, camera_offset=dataset.camera.offset, fixed=None, key=KEY
    )
    files: dict[str, Path] = {"psf": folder / paths.psf(NAME, channel)}
    save_psf(psf, files["psf"])
    sample: list[Any] = []
    if on_data or needs_sample(method):
        sample = sample_blocks([record], channel=index, times=dataset.times, seed=settings.seed)
    if ready := ready_bundle(method, channel):
        files["bundle"] = Path(ready) / "model.json"
    elif is_tuned(method):
        assert isinstance(method, Classical)
        files["tuning"] = folder / paths.tuning(NAME, channel, name)
        common: dict[str, Any] = {"path": files["tuning"], "method": method, "psf": psf}
        common |= {"camera": camera, "threads": threads}
        if on_data:
            tune_on_data(sample, statistics=statistics, seed=settings.seed, **common)
        else:
            store = folder / paths.phantoms(NAME, channel, "val")
            phantoms = Phantoms()  # with the light and noise of the data
            make_split(
                store,
                split=phantoms.val,
                name="val",
                phantoms=phantoms,
                psf=psf,
                optics=dataset.optics,
                channel=dataset.channels[NAME],
                conditions=resolve_conditions(phantoms, camera=camera, measured=measured),
                seed=settings.seed,
                stream=(NAME, channel),
            )
            tune_on_phantoms(store, **common)
    prepare = preparation(
        method.model_dump(mode="json"), files, camera=camera, seed=settings.seed, threads=threads
    )
    path = folder / paths.prepared(NAME, channel, name)
    prepare(statistics, sample if needs_sample(method) else []).save(path)
    return State.load(path)
