"""Measure the noise and the camera of one channel in the raw volumes."""

from decon3d.evaluation.noise import channel_noise
from decon3d.logs import job_log
from decon3d.settings import Camera
from decon3d.volumes.camera import resolve_camera
from decon3d.volumes.volume_record import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    camera = Camera.model_validate(params.camera)
    noise, found = channel_noise(
        [load_record(path) for path in snakemake.input],
        channel=params.index,
        times=params.times,
        camera=camera,
        seed=params.seed,
    )
    noise.save(snakemake.output[0], camera=found, resolved=resolve_camera(camera, found))
