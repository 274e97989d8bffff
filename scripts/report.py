"""The page of one dataset."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.page import build_report, check_drawn
from decon3d.settings import Settings

with job_log(snakemake.log[0], threads=snakemake.threads):
    check_drawn(Path(), dataset=snakemake.wildcards.dataset)
    settings = Settings.model_validate(snakemake.params.settings)
    build_report(Path(), dataset=snakemake.wildcards.dataset, settings=settings)
