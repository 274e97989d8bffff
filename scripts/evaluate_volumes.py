"""Compare restored volumes with the references that the config names."""

from decon3d import paths
from decon3d.evaluation.records import write_records
from decon3d.evaluation.volumes import evaluate_volumes
from decon3d.logs import job_log
from decon3d.volumes.ingest import load_record

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0]):
    records = []
    for path in snakemake.input.volumes:
        record = load_record(path)
        if record.name in params.references:
            restored = paths.restored(names.dataset, record.name, names.method)
            records += evaluate_volumes(
                prediction=restored if snakemake.input.finished else None,
                raw=record.path,
                reference=params.references[record.name],
                channels=params.channels,
                times=params.times,
                dataset=names.dataset,
                volume=record.name,
                method=names.method,
            )
    write_records(snakemake.output[0], records)
