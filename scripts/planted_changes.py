"""Measure what the consistency map finds of changes planted into a method's restored phantoms."""

from pathlib import Path

from decon3d.evaluation.planted import evaluate_planted
from decon3d.evaluation.records import write_records
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.settings import Camera

params, names, files = snakemake.params, snakemake.wildcards, snakemake.input
with job_log(snakemake.log[0]):
    records = []
    for channel, test, restored, psf in zip(
        params.channels, files.tests, files.restored, files.psfs, strict=True
    ):
        records += evaluate_planted(
            test_store=Path(test).parent,
            restored_store=Path(restored).parent,
            psf=load_psf(psf),
            camera=Camera.model_validate(params.camera),
            dataset=names.dataset,
            channel=channel,
            method=names.method,
            seed=params.seed,
        )
    write_records(snakemake.output[0], records)
