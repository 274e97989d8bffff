"""Compare a method's restored phantoms with their truth."""

from pathlib import Path

from decon3d.evaluation.full_reference import evaluate_phantoms
from decon3d.evaluation.kernel import Kernels
from decon3d.evaluation.records import write_records
from decon3d.logs import job_log

names = snakemake.wildcards
with job_log(snakemake.log[0]):
    kernels = Kernels(**snakemake.params.kernels) if snakemake.params.kernels else None
    restored = snakemake.input.restored or [None] * len(snakemake.params.channels)
    records = []
    for channel, test, result in zip(
        snakemake.params.channels, snakemake.input.tests, restored, strict=True
    ):
        records += evaluate_phantoms(
            test_store=Path(test).parent,
            restored_store=Path(result).parent if result else None,
            dataset=names.dataset,
            channel=channel,
            method=names.method,
            kernels=kernels,
        )
    write_records(snakemake.output[0], records)
