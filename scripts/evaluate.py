"""Evaluate a method, or the blurred images themselves: all kinds of measures that are asked for."""

from decon3d.evaluation import job
from decon3d.evaluation.records import write_records
from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.networks.devices import granted_gpus
from decon3d.settings import Channel, Optics, Phantoms
from decon3d.volumes.sections import CameraSection
from decon3d.volumes.volume_record import load_record

params, files, output = snakemake.params, snakemake.input, snakemake.output
with job_log(snakemake.log[0], threads=snakemake.threads):
    of_channels = (params.indices.items(), files.psfs, files.noises, files.statistics)
    evaluation = job.Evaluation(
        dataset=snakemake.wildcards.dataset,
        method=snakemake.wildcards.get("method", "input"),
        volumes=[load_record(path) for path in files.volumes],
        channels=[
            job.EvaluatedChannel(*named, *made) for named, *made in zip(*of_channels, strict=True)
        ],
        camera=CameraSection.model_validate(params.camera),
        times=params.times,
        seed=params.seed,
        threads=snakemake.threads,
    )
    if path := output.get("consistency"):
        memory_gb = snakemake.resources.block_mb / 1000
        maps, records = job.consistency(evaluation, memory_gb=memory_gb)
        write_record(output.maps, maps)
        write_records(path, records)
    if path := output.get("phantoms"):
        restored = files.get("restored") or []
        records = job.phantoms(
            evaluation, tests=files.tests, restored=restored, kernels=params.kernels
        )
        write_records(path, records)
    if path := output.get("volumes"):
        records = job.volumes(
            evaluation,
            restored=bool(files.get("finished")),
            references=params.references,
            reading=params.reading,
        )
        write_records(path, records)
    if path := output.get("sample"):
        roles = ("psf", "tuning", "bundle", "state")
        required = snakemake.config.get("require_gpu", True)
        records = job.sample(
            evaluation,
            methods=params.methods,
            files=[
                {role: made for role in roles if (made := files.get(f"{role}_{i}"))}
                for i in range(len(params.methods))
            ],
            optics=Optics.model_validate(params.optics),
            channels={k: Channel.model_validate(v) for k, v in params.channels.items()},
            doses=Phantoms.model_validate(params.doses),
            gpus=granted_gpus(
                snakemake.resources, required=snakemake.config.get("require_gpu", True)
            ),
        )
        write_records(path, records)
