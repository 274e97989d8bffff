"""Compare a channel's test phantoms with its data."""

from pathlib import Path

from decon3d.evaluation.likeness import measure_likeness
from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.restoration.sample import sample_blocks
from decon3d.volumes.camera import resolved_camera
from decon3d.volumes.volume_record import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    sample = sample_blocks(
        [load_record(path) for path in snakemake.input.volumes],
        channel=params.index,
        times=params.times,
        seed=params.seed,
    )
    camera = resolved_camera(params.camera, snakemake.input.noise)
    store = Path(snakemake.input.phantoms).parent
    write_record(snakemake.output[0], measure_likeness(sample, store=store, camera=camera))
