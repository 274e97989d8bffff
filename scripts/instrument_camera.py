"""Calibrate a camera by its frames of one day."""

from dataclasses import asdict

from decon3d.errors import UserError
from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.volumes.camera_frames import measure_maps

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    try:
        maps = measure_maps(
            params.camera["dark"], params.camera["flat"], bits=params.bits, key=params.key
        )
        found = {"problem": None, **asdict(maps.about)}
    except UserError as error:
        found = {"problem": str(error)}
    write_record(snakemake.output[0], found)
