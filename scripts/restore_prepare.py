"""Fix what a restorer needs for one channel."""

from decon3d.logs import job_log
from decon3d.restoration.restorers import preparation
from decon3d.volumes.ingest import load_statistics

with job_log(snakemake.log[0]):
    prepare = preparation(snakemake.params.method, dict(snakemake.input.items()))
    prepare(load_statistics(snakemake.input.statistics)).save(snakemake.output.state)
