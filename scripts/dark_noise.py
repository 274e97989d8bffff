"""Restore pure dark noise by one method."""

from decon3d.evaluation.dark_noise import evaluate_dark_noise
from decon3d.evaluation.noise import load_noise
from decon3d.evaluation.records import write_records
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.restoration.restorers import State
from decon3d.volumes.ingest import load_statistics

params, names, files = snakemake.params, snakemake.wildcards, snakemake.input
with job_log(snakemake.log[0]):
    records = []
    for i, (channel, psf, noise, statistics) in enumerate(
        zip(params.channels, files.psfs, files.noises, files.statistics, strict=True)
    ):
        records += evaluate_dark_noise(
            [State.load(path) for path in files.states[i :: len(params.channels)]],
            noise=load_noise(noise),
            background=load_statistics(statistics).background,
            psf=load_psf(psf),
            dataset=names.dataset,
            channel=channel,
            method=names.method,
            seed=params.seed,
            threads=snakemake.threads,
        )
    write_records(snakemake.output[0], records)
