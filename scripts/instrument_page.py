"""The page of an instrument."""

import datetime
from pathlib import Path

from decon3d.logs import job_log
from decon3d.report.instrument import build_instrument_page
from decon3d.settings import Instrument

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    build_instrument_page(
        Path(),
        name=snakemake.wildcards.instrument,
        instrument=Instrument.model_validate(params.instrument),
        file=params.file,
        today=datetime.date.fromisoformat(params.today),
    )
