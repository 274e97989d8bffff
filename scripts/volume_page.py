"""The page of one volume."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.page import build_volume_page, check_drawn
from decon3d.settings import Settings

names = snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    check_drawn(Path(), dataset=snakemake.wildcards.dataset)
    settings = Settings.model_validate(snakemake.params.settings)
    build_volume_page(Path(), dataset=names.dataset, volume=names.volume, settings=settings)
