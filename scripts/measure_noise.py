"""Measure the noise and the camera of one channel in the raw volumes."""

from decon3d.evaluation.noise import noise_of
from decon3d.logs import job_log
from decon3d.restoration.sample import channel_camera
from decon3d.volumes.camera import resolve_camera
from decon3d.volumes.ingest import load_record
from decon3d.volumes.sections import CameraSection

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    found = channel_camera(
        [load_record(path) for path in snakemake.input],
        channel=params.index,
        times=params.times,
        seed=params.seed,
    )
    camera = resolve_camera(CameraSection.model_validate(params.camera), found)
    noise_of(found, camera=camera).save(snakemake.output[0], camera=found, resolved=camera)
