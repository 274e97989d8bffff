"""Bring many small volumes into the workflow."""

from decon3d.logs import job_log
from decon3d.volumes.ingest_batch import ingest_batch
from decon3d.volumes.volume import Reading
from decon3d.volumes.volume_record import fills_of, load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    options = {"voxel_size_um": None, "times": None, "reading": {}, "no_data": "auto"}
    options |= params.options
    no_data = dict.fromkeys(params.sources, options.pop("no_data"))
    if params.raw_channels is not None:
        raw, now = params.raw_channels, options["channels"]
        records = map(load_record, snakemake.input[1 : 1 + len(no_data)])
        fills = (fills_of(record, raw=raw, now=now) for record in records)
        no_data = dict(zip(no_data, fills, strict=True))
    ingest_batch(
        params.sources,
        records=dict(zip(params.sources, snakemake.output, strict=True)),
        no_data=no_data,
        camera_maps=next(iter(snakemake.input.get("camera", [])), None),
        **{**options, "reading": Reading(**options["reading"])},
    )
