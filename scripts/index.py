"""The page that links the datasets' pages."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.index import build_index

with job_log(snakemake.log[0], threads=snakemake.threads):
    build_index(Path(), snakemake.params.datasets)
