"""Figures of one dataset."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.figures import make_figures
from decon3d.settings import Settings

with job_log(snakemake.log[0], threads=snakemake.threads):
    settings = Settings.model_validate(snakemake.params.settings)
    make_figures(
        Path(),
        dataset=snakemake.wildcards.dataset,
        settings=settings,
        processes=snakemake.threads,
    )
