"""Bring one input volume into the workflow."""

from decon3d.logs import job_log
from decon3d.volumes.ingest import ingest
from decon3d.volumes.volume import Reading
from decon3d.volumes.volume_record import fills_of, load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    no_data = params.no_data
    if params.raw_channels is not None:
        raw = load_record(snakemake.input.raw)
        no_data = fills_of(raw, raw=params.raw_channels, now=params.channels)
    ingest(
        params.source,
        record_path=snakemake.output[0],
        name=snakemake.wildcards.volume,
        channels=params.channels,
        voxel_size_um=params.voxel_size_um,
        times=params.times,
        no_data=no_data,
        camera_offset=params.camera_offset,
        camera_bits=params.camera_bits,
        camera_maps=next(iter(snakemake.input.get("camera", [])), None),
        reading=Reading(**params.reading),
        clip_at_zero=params.clip_at_zero,
        key=f"datasets.{snakemake.wildcards.dataset}",
    )
