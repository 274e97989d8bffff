"""The preview of one dataset."""

import time
from pathlib import Path

import psutil

from decon3d.logs import job_log
from decon3d.report.index import build_index
from decon3d.report.preview import make_preview
from decon3d.settings import Settings

started_s = time.time() - psutil.Process().create_time()
with job_log(snakemake.log[0], threads=snakemake.threads):
    settings = Settings.model_validate(snakemake.params.settings)
    make_preview(
        Path(),
        dataset=snakemake.wildcards.dataset,
        settings=settings,
        threads=snakemake.threads,
        requests=snakemake.params.requests,
        command=snakemake.params.command,
        started_s=started_s,
    )
    build_index(Path(), settings.datasets)
