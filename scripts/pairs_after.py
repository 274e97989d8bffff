"""What a method makes of the pairs, for another that starts from there."""

from pathlib import Path

from decon3d.devices import granted_gpus
from decon3d.logs import job_log
from decon3d.restoration.arrays import restore_pairs
from decon3d.restoration.restorers import preparation

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    gpus = granted_gpus(snakemake.resources, required=snakemake.config.get("require_gpu", True))
    restore_pairs(
        Path(snakemake.input.pairs).parent,
        Path(snakemake.output.marker).parent,
        prepare=preparation(
            params.method,
            dict(snakemake.input.items()),
            camera=params.camera,
            seed=params.seed,
            threads=snakemake.threads,
        ),
        camera_offset=params.camera["offset"],
        gpus=gpus,
        threads=snakemake.threads,
        name=snakemake.wildcards.method,
    )
