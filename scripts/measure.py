"""Measure a channel in its raw volumes: statistics and normalisation, noise and camera."""

from decon3d.evaluation.noise import noise_of
from decon3d.logs import job_log
from decon3d.restoration.sample import channel_camera
from decon3d.volumes.camera import resolve_camera
from decon3d.volumes.normalisation import Normalisation
from decon3d.volumes.sections import CameraSection
from decon3d.volumes.statistics import channel_statistics, save_statistics
from decon3d.volumes.volume_record import load_record

params, output = snakemake.params, snakemake.output
with job_log(snakemake.log[0], threads=snakemake.threads):
    records = [load_record(path) for path in snakemake.input.volumes]
    statistics = channel_statistics(
        records,
        channel=params.index,
        camera_offset=params.camera["offset"],
        fixed=Normalisation(**params.normalisation) if params.normalisation else None,
        key=f"datasets.{snakemake.wildcards.dataset}",
    )
    save_statistics(output.statistics, statistics)
    measured = channel_camera(records, channel=params.index, times=params.times, seed=params.seed)
    camera = resolve_camera(CameraSection.model_validate(params.camera), measured)
    noise_of(measured, camera=camera).save(output.noise, camera=measured, resolved=camera)
