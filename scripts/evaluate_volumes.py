"""Measure restored volumes against the references that the config names, and without truth."""

from decon3d import paths
from decon3d.evaluation.records import write_records
from decon3d.evaluation.volumes import evaluate_volumes
from decon3d.evaluation.without_truth import chosen_volumes, measure_volume
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.volumes.volume import Reading
from decon3d.volumes.volume_record import load_record

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    psfs = dict(zip(params.channels, map(load_psf, snakemake.input.psfs), strict=True))
    found = {record.name: record for record in map(load_record, snakemake.input.volumes)}
    measured = chosen_volumes(list(found))
    records = []
    for volume, record in found.items():
        restored = paths.restored(names.dataset, volume, names.method)
        common = {
            "prediction": restored if snakemake.input.finished else None,
            "channels": params.channels,
            "times": params.times,
            "dataset": names.dataset,
            "method": names.method,
        }
        if volume in params.references:
            reference = params.references[volume]
            records += evaluate_volumes(
                raw=record.path,
                reference=reference,
                volume=volume,
                reading=Reading(**params.reading),
                fills={name: record.fill(i) for name, i in params.channels.items()},
                **common,
            )
        if volume in measured:
            records += measure_volume(record, psfs=psfs, seed=params.seed, **common)
    write_records(snakemake.output[0], records)
