"""Measure a method by its own restorer: held-out photons, probes, wrong PSF, dark noise."""

from decon3d.devices import granted_gpus
from decon3d.evaluation.dark_noise import evaluate_dark_noise
from decon3d.evaluation.noise import load_noise
from decon3d.evaluation.records import write_records
from decon3d.evaluation.sample import Bench, Method, evaluate_sample
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.phantoms.imaging import ASSUMED_GAIN
from decon3d.restoration.restorers import State, preparation
from decon3d.restoration.sample import sample_blocks
from decon3d.settings import Camera, Channel, Optics
from decon3d.volumes.ingest import load_record, load_statistics

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    gpus = granted_gpus(snakemake.resources, required=snakemake.config.get("require_gpu", True))
    files = [
        {role: path for role in ("psf", "tuning", "bundle", "state")
         if (path := snakemake.input.get(f"{role}_{i}"))}
        for i in range(len(params.methods))
    ]  # fmt: skip
    # The probes are simulated, with a gain of 1 where the camera's is not known.
    camera = {**params.camera, "gain": params.camera["gain"] or ASSUMED_GAIN}
    method = Method(
        preparations=[
            preparation(settings, found, camera=camera, seed=params.seed, threads=snakemake.threads)
            for settings, found in zip(params.methods, files, strict=True)
        ],
        states=[State.load(found["state"]) for found in files],
    )
    bench = Bench(
        psf=load_psf(snakemake.input.psf),
        optics=Optics.model_validate(params.optics),
        channel=Channel.model_validate(params.channel),
        camera=Camera.model_validate(params.camera),
        photons=(params.photons[0] * params.photons[1]) ** 0.5,
        background_photons=params.background_photons,
        seed=params.seed,
        stream=(names.dataset, names.channel),
    )
    sample = sample_blocks(
        [load_record(path) for path in snakemake.input.sampled],
        channel=params.channel["index"], times=params.times, seed=params.seed,
    )  # fmt: skip
    background = load_statistics(snakemake.input.statistics).background
    records = evaluate_sample(
        method, bench, sample=sample, name=names.method, threads=snakemake.threads, gpus=gpus,
        background=background,
    )  # fmt: skip
    if method.states:
        records += evaluate_dark_noise(
            method.states,
            noise=load_noise(snakemake.input.noise),
            background=background,
            psf=bench.psf,
            dataset=names.dataset,
            channel=names.channel,
            method=names.method,
            seed=params.seed,
            threads=snakemake.threads,
        )
    write_records(snakemake.output[0], records)
