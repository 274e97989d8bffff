"""Train a network on a channel's phantoms."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.networks import devices

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    gpus = devices.granted_gpus(
        snakemake.resources, required=snakemake.config.get("require_gpu", True)
    )
    device = devices.configure(gpus=gpus, threads=snakemake.threads)
    from decon3d.optics.psf import load_psf
    from decon3d.settings import METHOD_KINDS
    from decon3d.training.loop import train
    from decon3d.volumes.camera import resolved_camera

    train(
        train_store=Path(snakemake.input.train).parent,
        val_store=Path(snakemake.input.val).parent,
        method=METHOD_KINDS[params.method["kind"]].model_validate(params.method),
        psf=load_psf(snakemake.input.psf),
        camera=resolved_camera(params.camera, snakemake.input.get("noise")),
        seed=params.seed,
        stream=tuple(names),
        folder=Path(snakemake.output.model).parent,
        device=device,
    )
