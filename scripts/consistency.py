"""Map the consistency of a method's restored volumes with the raw data."""

from decon3d import paths
from decon3d.evaluation.consistency_maps import ChannelCheck, check_volume
from decon3d.evaluation.consistency_summary import volume_records
from decon3d.evaluation.noise import load_noise
from decon3d.evaluation.records import write_records
from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.volumes.ingest import load_record, load_statistics

params, names, files = snakemake.params, snakemake.wildcards, snakemake.input
with job_log(snakemake.log[0], threads=snakemake.threads):
    checks = [
        ChannelCheck(
            name, index, load_psf(psf), load_noise(noise), load_statistics(statistics).background
        )
        for (name, index), psf, noise, statistics in zip(
            params.channels.items(), files.psfs, files.noises, files.statistics, strict=True
        )
    ]
    found, records = {}, []
    for path in files.volumes:
        record = load_record(path)
        found[record.name] = check_volume(
            record,
            restored=paths.restored(names.dataset, record.name, names.method),
            store=paths.consistency(names.dataset, record.name, names.method),
            channels=checks,
            times=params.times,
            method=names.method,
            memory_gb=params.memory_gb,
            seed=params.seed,
            threads=snakemake.threads,
        )
        records += volume_records(
            found[record.name], dataset=names.dataset, method=names.method, volume=record.name
        )
    write_record(snakemake.output.found, found)
    write_records(snakemake.output.records, records)
