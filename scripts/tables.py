"""Tables of one dataset."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.tables import write_tables
from decon3d.settings import Settings

with job_log(snakemake.log[0], threads=snakemake.threads):
    settings = Settings.model_validate(snakemake.params.settings)
    write_tables(Path(), dataset=snakemake.wildcards.dataset, settings=settings)
