"""Compare a method's restored phantoms with their truth, and plant changes into them."""

from pathlib import Path

from decon3d.evaluation.common_kernel import Kernels
from decon3d.evaluation.full_reference import evaluate_phantoms
from decon3d.evaluation.map_sensitivity import evaluate_map_sensitivity
from decon3d.evaluation.records import write_records
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.volumes.camera import resolved_camera

params, names, files = snakemake.params, snakemake.wildcards, snakemake.input
with job_log(snakemake.log[0], threads=snakemake.threads):
    kernels = Kernels(**params.kernels) if params.kernels else None
    restored = files.restored or [None] * len(params.channels)
    records = []
    noises = files.get("noises") or [None] * len(params.channels)
    for channel, test, result, psf, noise in zip(
        params.channels, files.tests, restored, files.psfs, noises, strict=True
    ):
        common = {
            "test_store": Path(test).parent,
            "restored_store": Path(result).parent if result else None,
            "dataset": names.dataset,
            "channel": channel,
            "method": names.method,
        }
        records += evaluate_phantoms(kernels=kernels, **common)
        if result:
            records += evaluate_map_sensitivity(
                psf=load_psf(psf),
                camera=resolved_camera(params.camera, noise),
                seed=params.seed,
                **common,
            )
    write_records(snakemake.output[0], records)
