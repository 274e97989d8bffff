"""Evaluate a method, or the blurred images themselves: all kinds of measures that are asked for."""

from decon3d.evaluation import job
from decon3d.evaluation.records import write_records
from decon3d.evaluation.stability import save_stability
from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.networks.devices import granted_gpus
from decon3d.optics.sections import Channel, Optics
from decon3d.phantoms.sections import Phantoms
from decon3d.volumes.sections import CameraSection
from decon3d.volumes.volume_record import load_record
from decon3d.workers import worker_pool

PROCESSES = 2

params, files, output = snakemake.params, snakemake.input, snakemake.output


def consistency(of):
    """Map the deviations of the restored volumes from the raw data."""
    maps, records = job.consistency(of, memory_gb=snakemake.resources.block_mb / 1000)
    write_record(output.maps, maps)
    return records


def phantoms(of):
    """Compare the restored test split with its truth."""
    restored = files.get("restored") or []
    return job.phantoms(of, tests=files.tests, restored=restored, kernels=params.kernels)


def volumes(of):
    """Compare the volumes with their references, and measure them without truth."""
    return job.volumes(
        of,
        restored=bool(files.get("finished")),
        references=params.references,
        reading=params.reading,
    )


def sample(of):
    """Measure what needs the method itself; write the map of its stability."""
    roles = ("psf", "tuning", "bundle", "state")
    required = snakemake.config.get("require_gpu", True)
    halves, records = job.sample(
        of,
        methods=params.methods,
        files=[
            {role: made for role in roles if (made := files.get(f"{role}_{i}"))}
            for i in range(len(params.methods))
        ],
        optics=Optics.model_validate(params.optics),
        channels={k: Channel.model_validate(v) for k, v in params.channels.items()},
        doses=Phantoms.model_validate(params.doses),
        gpus=granted_gpus(snakemake.resources, required=required),
    )
    if output.get("stability"):
        save_stability(output.stability, halves)
    return records


def write(measure, of):
    """Write the records of one kind."""
    write_records(output.get(measure.__name__), measure(of))


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
    measures = [m for m in (sample, consistency, volumes, phantoms) if output.get(m.__name__)]
    processes = min(PROCESSES, snakemake.threads, len(measures))
    if processes == 1:
        for measure in measures:
            write(measure, evaluation)
    else:  # much of the work runs in one thread
        with worker_pool(processes) as pool:
            for done in [pool.submit(write, measure, evaluation) for measure in measures]:
                done.result()
