"""Prepare a restorer for one channel."""

from decon3d.logs import job_log
from decon3d.restoration.prepare import preparation
from decon3d.restoration.sample import sample_blocks
from decon3d.volumes.camera import resolved_camera
from decon3d.volumes.statistics import load_statistics
from decon3d.volumes.volume_record import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    camera = resolved_camera(params.camera, snakemake.input.get("noise"))
    prepare = preparation(
        params.method,
        dict(snakemake.input.items()),
        camera=camera,
        seed=params.seed,
        threads=snakemake.threads,
    )
    sample = sample_blocks(
        [load_record(path) for path in snakemake.input.get("sampled", [])],
        channel=params.index,
        times=params.times,
        seed=params.seed,
    )
    prepare(load_statistics(snakemake.input.statistics), sample).save(snakemake.output.state)
