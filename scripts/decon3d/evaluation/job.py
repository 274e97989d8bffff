"""All measurements of one method on one dataset, one function for each kind of measure.

The imports stand in the functions: a job that needs one kind does not load the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from decon3d import paths
from decon3d.evaluation.records import Record
from decon3d.optics.psf import load_psf
from decon3d.optics.sections import Channel, Optics
from decon3d.phantoms.sections import Phantoms
from decon3d.volumes.camera import load_camera, resolved_camera
from decon3d.volumes.sections import CameraSection
from decon3d.volumes.statistics import load_statistics
from decon3d.volumes.volume_record import VolumeRecord

if TYPE_CHECKING:
    from decon3d.evaluation.deviance import HeldOut


@dataclass(frozen=True)
class EvaluatedChannel:
    """A channel and the files that the workflow made for it.

    Attributes
    ----------
    index
        In the raw volumes.
    psf, noise, statistics
        Files of the point spread function, the camera and its noise, the normalisation.
    """

    name: str
    index: int
    psf: str
    noise: str
    statistics: str


@dataclass(frozen=True)
class Evaluation:
    """What is measured.

    Attributes
    ----------
    method
        Its name in the config; `input` = the blurred images themselves.
    times
        Chosen time points of the raw volumes; None = all.
    """

    dataset: str
    method: str
    volumes: Sequence[VolumeRecord]
    channels: Sequence[EvaluatedChannel]
    camera: CameraSection
    times: Sequence[int] | None
    seed: int
    threads: int

    @property
    def names(self) -> dict[str, str]:
        """Dataset and method, as the records name them."""
        return {"dataset": self.dataset, "method": self.method}

    @property
    def indices(self) -> dict[str, int]:
        """Names of the channels with their index in the raw volumes."""
        return {channel.name: channel.index for channel in self.channels}


def consistency(of: Evaluation, *, memory_gb: float) -> tuple[dict[str, Any], list[Record]]:
    """Map the deviations of the restored volumes from the raw data.

    Parameters
    ----------
    memory_gb
        For a block.

    Returns
    -------
    dict, list of Record
        Summaries of the maps by volume; their records.
    """
    from decon3d.evaluation.consistency_maps import ChannelCheck, check_volume
    from decon3d.evaluation.consistency_summary import volume_records
    from decon3d.evaluation.noise import load_noise

    checks = [
        ChannelCheck(
            channel.name,
            channel.index,
            load_psf(channel.psf),
            load_noise(channel.noise),
            load_statistics(channel.statistics).background,
        )
        for channel in of.channels
    ]
    summaries: dict[str, Any] = {}
    records = []
    for volume in of.volumes:
        summaries[volume.name] = check_volume(
            volume,
            restored=paths.restored(of.dataset, volume.name, of.method),
            store=paths.consistency(of.dataset, volume.name, of.method),
            channels=checks,
            times=of.times,
            method=of.method,
            memory_gb=memory_gb,
            seed=of.seed,
            threads=of.threads,
        )
        records += volume_records(summaries[volume.name], volume=volume.name, **of.names)
    return summaries, records


def phantoms(
    of: Evaluation,
    *,
    tests: Sequence[str],
    restored: Sequence[str],
    kernels: Mapping[str, Any] | None,
) -> list[Record]:
    """Compare the restored test split with its truth, and plant changes into it.

    Parameters
    ----------
    tests, restored
        `zarr.json` of the stores, by channel. Nothing restored = the images themselves are
        compared.
    kernels
        What this method and the others restore (`decon3d.evaluation.common_kernel.Kernels`).
    """
    from decon3d.evaluation.common_kernel import Kernels
    from decon3d.evaluation.full_reference import evaluate_phantoms
    from decon3d.evaluation.map_sensitivity import evaluate_map_sensitivity

    records = []
    for i, test in enumerate(tests):
        channel = of.channels[i]
        pairs: dict[str, Any] = {
            "test_store": Path(test).parent,
            "restored_store": Path(restored[i]).parent if restored else None,
            "channel": channel.name,
            **of.names,
        }
        records += evaluate_phantoms(kernels=Kernels(**kernels) if kernels else None, **pairs)
        if restored:
            records += evaluate_map_sensitivity(
                psf=load_psf(channel.psf),
                camera=resolved_camera(of.camera, channel.noise),
                seed=of.seed,
                **pairs,
            )
    return records


def volumes(
    of: Evaluation,
    *,
    restored: bool,
    references: Mapping[str, str],
    reading: Mapping[str, Any],
) -> list[Record]:
    """Compare the volumes with their references, and measure them without truth.

    Parameters
    ----------
    restored
        False = the raw volumes are measured.
    references
        Files of the truth, by volume; not every volume has one.
    reading
        How to read them (`decon3d.volumes.volume.Reading`).
    """
    from decon3d.evaluation.volumes import evaluate_volumes
    from decon3d.evaluation.without_truth import chosen_volumes, measure_volume
    from decon3d.volumes.volume import Reading

    psfs = {channel.name: load_psf(channel.psf) for channel in of.channels}
    measured = chosen_volumes([volume.name for volume in of.volumes])
    records = []
    for volume in of.volumes:
        common: dict[str, Any] = {
            "prediction": (
                paths.restored(of.dataset, volume.name, of.method) if restored else None
            ),
            "channels": of.indices,
            "times": of.times,
            **of.names,
        }
        if volume.name in references:
            records += evaluate_volumes(
                raw=volume.path,
                reference=references[volume.name],
                volume=volume.name,
                reading=Reading(**reading),
                fills={name: volume.fill(i) for name, i in of.indices.items()},
                **common,
            )
        if volume.name in measured:
            records += measure_volume(volume, psfs=psfs, seed=of.seed, **common)
    return records


def sample(
    of: Evaluation,
    *,
    methods: Sequence[dict[str, Any]],
    files: Sequence[Mapping[str, Sequence[str]]],
    optics: Optics,
    channels: Mapping[str, Channel],
    doses: Phantoms,
    gpus: int,
) -> tuple[dict[str, list[HeldOut]], list[Record]]:
    """Measure what needs the method itself: held-out photons, probes, wrong PSF, dark noise.

    Parameters
    ----------
    methods, files
        Settings of the method and its sources, the first one of which restores the data; the
        files of each by role (`psf`, `tuning`, `bundle`, `state`), by channel.
    channels
        The settings of the channels, by name.
    doses
        The photons of the probes.

    Returns
    -------
    dict, list of Record
        The comparisons of two halves of the photons by channel; all records.
    """
    halves: dict[str, list[HeldOut]] = {channel.name: [] for channel in of.channels}
    records = [
        record
        for place, channel in enumerate(of.channels)
        for record in _sample_of_channel(
            of,
            channel,
            methods=methods,
            chain=[{role: each[place] for role, each in roles.items()} for roles in files],
            optics=optics,
            settings=channels[channel.name],
            doses=doses,
            gpus=gpus,
            halves=halves[channel.name],
        )
    ]
    return halves, records


def _sample_of_channel(
    of: Evaluation,
    channel: EvaluatedChannel,
    *,
    methods: Sequence[dict[str, Any]],
    chain: Sequence[dict[str, str]],
    optics: Optics,
    settings: Channel,
    doses: Phantoms,
    gpus: int,
    halves: list[HeldOut],
) -> list[Record]:
    from decon3d.evaluation.dark_noise import evaluate_dark_noise
    from decon3d.evaluation.noise import load_noise
    from decon3d.evaluation.sample import Bench, Method, evaluate_sample
    from decon3d.evaluation.staircase import staircase_records
    from decon3d.phantoms.conditions import resolve_conditions
    from decon3d.restoration.prepare import preparation
    from decon3d.restoration.restorers import State
    from decon3d.restoration.sample import sample_blocks

    camera = resolved_camera(of.camera, channel.noise)
    tested = Method(
        preparations=[
            preparation(method, found, camera=camera, seed=of.seed, threads=of.threads)
            for method, found in zip(methods, chain, strict=True)
        ],
        states=[State.load(found["state"]) for found in chain],
    )
    light = resolve_conditions(doses, camera=camera, measured=load_camera(channel.noise))
    bench = Bench(
        psf=load_psf(channel.psf),
        optics=optics,
        channel=settings,
        camera=camera,
        photons=light.middle_photons,
        background_photons=light.background_photons,
        seed=of.seed,
        stream=(of.dataset, channel.name),
    )
    blocks = sample_blocks(of.volumes, channel=channel.index, times=of.times, seed=of.seed)
    statistics = load_statistics(channel.statistics)
    names: dict[str, Any] = {"channel": channel.name, **of.names}
    records = evaluate_sample(
        tested,
        bench,
        sample=blocks,
        name=of.method,
        threads=of.threads,
        gpus=gpus,
        background=statistics.background,
        halves=halves,
    )
    records += staircase_records(
        tested.states,
        sample=blocks,
        psf=bench.psf,
        statistics=statistics,
        camera=camera,
        threads=of.threads,
        **names,
    )
    if tested.states:
        records += evaluate_dark_noise(
            tested.states,
            noise=load_noise(channel.noise),
            background=statistics.background,
            psf=bench.psf,
            seed=of.seed,
            threads=of.threads,
            **names,
        )
    return records
