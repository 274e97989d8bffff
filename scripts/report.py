"""Tables, figures and page of one dataset."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.figures import make_figures
from decon3d.report.page import build_report
from decon3d.report.tables import write_tables
from decon3d.settings import Settings

dataset = snakemake.wildcards.dataset
with job_log(snakemake.log[0], threads=snakemake.threads):
    settings = Settings.model_validate(snakemake.params.settings)
    numbers = write_tables(Path(), dataset=dataset, settings=settings)
    make_figures(Path(), dataset=dataset, settings=settings, processes=snakemake.threads)
    build_report(Path(), dataset=dataset, settings=settings, numbers=numbers)
