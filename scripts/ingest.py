"""Bring one input volume into the workflow."""

from decon3d.logs import job_log
from decon3d.volumes.ingest import ingest

params = snakemake.params
with job_log(snakemake.log[0]):
    ingest(
        params.source,
        record_path=snakemake.output[0],
        name=snakemake.wildcards.volume,
        channels=params.channels,
        voxel_size_um=params.voxel_size_um,
        times=params.times,
        clip_at_zero=params.clip_at_zero,
        key=f"datasets.{snakemake.wildcards.dataset}",
    )
