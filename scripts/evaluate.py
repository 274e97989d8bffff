"""Evaluate a method, or the blurred images themselves: all kinds of measures that are asked for."""

from pathlib import Path

from decon3d import paths
from decon3d.evaluation.records import write_records
from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.networks.devices import granted_gpus
from decon3d.optics.psf import load_psf
from decon3d.optics.sections import Channel, Optics
from decon3d.phantoms.sections import Phantoms
from decon3d.volumes.camera import load_camera, resolved_camera
from decon3d.volumes.statistics import load_statistics
from decon3d.volumes.volume_record import load_record
from decon3d.workers import worker_pool

PROCESSES = 2

params, files, output = snakemake.params, snakemake.input, snakemake.output
dataset, method = snakemake.wildcards.dataset, snakemake.wildcards.get("method", "input")
of_method = {"dataset": dataset, "method": method}


def consistency():
    """Map the deviations of the restored volumes from the raw data."""
    from decon3d.evaluation.consistency_maps import ChannelCheck, check_volume
    from decon3d.evaluation.consistency_summary import volume_records
    from decon3d.evaluation.noise import load_noise

    checks = [
        ChannelCheck(
            name, index, load_psf(psf), load_noise(noise), load_statistics(statistics).background
        )
        for (name, index), psf, noise, statistics in zip(
            params.indices.items(), files.psfs, files.noises, files.statistics, strict=True
        )
    ]
    found, records = {}, []
    for path in files.volumes:
        volume = load_record(path)
        found[volume.name] = check_volume(
            volume,
            restored=paths.restored(dataset, volume.name, method),
            store=paths.consistency(dataset, volume.name, method),
            channels=checks,
            times=params.times,
            method=method,
            memory_gb=snakemake.resources.block_mb / 1000,
            seed=params.seed,
            threads=snakemake.threads,
        )
        records += volume_records(found[volume.name], volume=volume.name, **of_method)
    write_record(output.maps, found)
    return records


def phantoms():
    """Compare the restored test split with its truth, and plant changes into it."""
    from decon3d.evaluation.common_kernel import Kernels
    from decon3d.evaluation.full_reference import evaluate_phantoms
    from decon3d.evaluation.map_sensitivity import evaluate_map_sensitivity

    kernels = Kernels(**params.kernels) if params.kernels else None
    records = []
    stores = files.get("restored") or [None] * len(files.tests)
    for test, restored, channel, psf, noise in zip(
        files.tests, stores, params.indices, files.psfs, files.noises, strict=False
    ):
        pairs = {
            "test_store": Path(test).parent,
            "restored_store": Path(restored).parent if restored else None,
            "channel": channel,
            **of_method,
        }
        records += evaluate_phantoms(kernels=kernels, **pairs)
        if restored:
            records += evaluate_map_sensitivity(
                psf=load_psf(psf),
                camera=resolved_camera(params.camera, noise),
                seed=params.seed,
                **pairs,
            )
    return records


def volumes():
    """Compare the volumes with their references, and measure them without truth."""
    from decon3d.evaluation.volumes import evaluate_volumes
    from decon3d.evaluation.without_truth import chosen_volumes, measure_volume
    from decon3d.volumes.volume import Reading

    psfs = dict(zip(params.indices, map(load_psf, files.psfs), strict=True))
    found = {record.name: record for record in map(load_record, files.volumes)}
    measured = chosen_volumes(list(found))
    records = []
    for volume, record in found.items():
        restored = paths.restored(dataset, volume, method)
        common = {
            "prediction": restored if files.get("finished") else None,
            "channels": params.indices,
            "times": params.times,
            **of_method,
        }
        if volume in params.references:
            records += evaluate_volumes(
                raw=record.path,
                reference=params.references[volume],
                volume=volume,
                reading=Reading(**params.reading),
                fills={name: record.fill(i) for name, i in params.indices.items()},
                **common,
            )
        if volume in measured:
            records += measure_volume(record, psfs=psfs, seed=params.seed, **common)
    return records


def sample():
    """Measure what needs the method itself: held-out photons, probes, wrong PSF, dark noise."""
    gpus = granted_gpus(snakemake.resources, required=snakemake.config.get("require_gpu", True))
    volumes = [load_record(path) for path in files.volumes]
    return [
        record
        for place, channel in enumerate(params.indices)
        for record in sample_of_channel(place, channel, volumes, gpus)
    ]


def sample_of_channel(place, channel, volumes, gpus):
    """Measure one channel, the `place`-th of the dataset."""
    from decon3d.evaluation.dark_noise import evaluate_dark_noise
    from decon3d.evaluation.noise import load_noise
    from decon3d.evaluation.sample import Bench, Method, evaluate_sample
    from decon3d.evaluation.staircase import staircase_records
    from decon3d.phantoms.conditions import resolve_conditions
    from decon3d.restoration.prepare import preparation
    from decon3d.restoration.restorers import State
    from decon3d.restoration.sample import sample_blocks

    chain = [
        {
            role: of_channels[place]
            for role in ("psf", "tuning", "bundle", "state")
            if (of_channels := files.get(f"{role}_{i}"))
        }
        for i in range(len(params.methods))
    ]
    noise, threads = files.noises[place], snakemake.threads
    camera = resolved_camera(params.camera, noise)
    tested = Method(
        preparations=[
            preparation(settings, found, camera=camera, seed=params.seed, threads=threads)
            for settings, found in zip(params.methods, chain, strict=True)
        ],
        states=[State.load(found["state"]) for found in chain],
    )
    light = resolve_conditions(
        Phantoms.model_validate(params.doses), camera=camera, measured=load_camera(noise)
    )
    bench = Bench(
        psf=load_psf(files.psfs[place]),
        optics=Optics.model_validate(params.optics),
        channel=Channel.model_validate(params.channels[channel]),
        camera=camera,
        photons=light.middle_photons,
        background_photons=light.background_photons,
        seed=params.seed,
        stream=(dataset, channel),
    )
    blocks = sample_blocks(
        volumes, channel=params.indices[channel], times=params.times, seed=params.seed
    )
    statistics = load_statistics(files.statistics[place])
    names = {"channel": channel, **of_method}
    records = evaluate_sample(
        tested,
        bench,
        sample=blocks,
        name=method,
        threads=threads,
        gpus=gpus,
        background=statistics.background,
    )
    records += staircase_records(
        tested.states,
        sample=blocks,
        psf=bench.psf,
        statistics=statistics,
        camera=camera,
        threads=threads,
        **names,
    )
    if tested.states:
        records += evaluate_dark_noise(
            tested.states,
            noise=load_noise(noise),
            background=statistics.background,
            psf=bench.psf,
            seed=params.seed,
            threads=threads,
            **names,
        )
    return records


def write(measure):
    """Measure, and write the records."""
    write_records(output[measure.__name__], measure())


with job_log(snakemake.log[0], threads=snakemake.threads):
    # The longest first. Much of the work runs in one thread, so that two processes share it.
    measures = [m for m in (sample, consistency, volumes, phantoms) if output.get(m.__name__)]
    processes = min(PROCESSES, snakemake.threads, len(measures))
    if processes == 1:
        for measure in measures:
            write(measure)
    else:
        with worker_pool(processes) as pool:
            for done in [pool.submit(write, measure) for measure in measures]:
                done.result()
