"""Restore the phantoms' test split by one method."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.networks.devices import granted_gpus
from decon3d.restoration.arrays import restore_phantoms
from decon3d.restoration.prepare import preparation
from decon3d.volumes.camera import resolved_camera

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    gpus = granted_gpus(snakemake.resources, required=snakemake.config.get("require_gpu", True))
    camera = resolved_camera(params.camera, snakemake.input.get("noise"))
    restore_phantoms(
        Path(snakemake.input.test).parent,
        Path(snakemake.output.marker).parent,
        prepare=preparation(
            params.method,
            dict(snakemake.input.items()),
            camera=camera,
            seed=params.seed,
            threads=snakemake.threads,
        ),
        camera_offset=camera.known_offset,
        gpus=gpus,
        threads=snakemake.threads,
        name=snakemake.wildcards.method,
    )
