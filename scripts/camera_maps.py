"""The maps of a camera's pixels, from its dark and flat frames."""

from decon3d.logs import job_log, log
from decon3d.volumes.camera_frames import measure_maps
from decon3d.volumes.camera_maps import save_maps

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    maps = measure_maps(
        params.camera["dark"], params.camera["flat"], bits=params.bits, key=params.key
    )
    for text in maps.about.warnings:
        log.warning("%s: %s", params.key, text)
    save_maps(snakemake.output[0], maps)
