"""Measure a method by its own restorer: held-out photons, probes, wrong PSF, dark noise."""

from decon3d.evaluation.dark_noise import evaluate_dark_noise
from decon3d.evaluation.noise import load_noise
from decon3d.evaluation.records import write_records
from decon3d.evaluation.sample import Bench, Method, evaluate_sample
from decon3d.evaluation.staircase import staircase_records
from decon3d.logs import job_log
from decon3d.networks.devices import granted_gpus
from decon3d.optics.psf import load_psf
from decon3d.phantoms.conditions import resolve_conditions
from decon3d.restoration.prepare import preparation
from decon3d.restoration.restorers import State
from decon3d.restoration.sample import sample_blocks
from decon3d.settings import Channel, Optics, Phantoms
from decon3d.volumes.camera import load_camera, resolved_camera
from decon3d.volumes.ingest import load_record, load_statistics

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    gpus = granted_gpus(snakemake.resources, required=snakemake.config.get("require_gpu", True))
    files = [
        {
            role: path
            for role in ("psf", "tuning", "bundle", "state")
            if (path := snakemake.input.get(f"{role}_{i}"))
        }
        for i in range(len(params.methods))
    ]
    camera = resolved_camera(params.camera, snakemake.input.noise)
    method = Method(
        preparations=[
            preparation(settings, found, camera=camera, seed=params.seed, threads=snakemake.threads)
            for settings, found in zip(params.methods, files, strict=True)
        ],
        states=[State.load(found["state"]) for found in files],
    )
    light = resolve_conditions(
        Phantoms.model_validate(params.phantoms),
        camera=camera,
        measured=load_camera(snakemake.input.noise),
    )
    bench = Bench(
        psf=load_psf(snakemake.input.psf),
        optics=Optics.model_validate(params.optics),
        channel=Channel.model_validate(params.channel),
        camera=camera,
        photons=light.middle_photons,
        background_photons=light.background_photons,
        seed=params.seed,
        stream=(names.dataset, names.channel),
    )
    sample = sample_blocks(
        [load_record(path) for path in snakemake.input.sampled],
        channel=params.channel["index"],
        times=params.times,
        seed=params.seed,
    )
    statistics = load_statistics(snakemake.input.statistics)
    records = evaluate_sample(
        method,
        bench,
        sample=sample,
        name=names.method,
        threads=snakemake.threads,
        gpus=gpus,
        background=statistics.background,
    )
    records += staircase_records(
        method.states,
        sample=sample,
        psf=bench.psf,
        statistics=statistics,
        camera=bench.camera,
        dataset=names.dataset,
        channel=names.channel,
        method=names.method,
        threads=snakemake.threads,
    )
    if method.states:
        records += evaluate_dark_noise(
            method.states,
            noise=load_noise(snakemake.input.noise),
            background=statistics.background,
            psf=bench.psf,
            dataset=names.dataset,
            channel=names.channel,
            method=names.method,
            seed=params.seed,
            threads=snakemake.threads,
        )
    write_records(snakemake.output[0], records)
