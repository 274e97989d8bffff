"""Simulate a volume with its truth."""

from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.phantoms.sections import Simulation
from decon3d.phantoms.simulated import simulate_volume
from decon3d.volumes.camera import resolved_camera

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    psfs = dict(zip(params.channels, map(load_psf, snakemake.input.psfs), strict=True))
    simulate_volume(
        image_path=snakemake.output.image,
        truth_path=snakemake.output.truth,
        simulation=Simulation.model_validate(params.simulation),
        psfs={name: psfs[name] for name in sorted(psfs, key=params.channels.get)},
        camera=resolved_camera(params.camera),
        seed=params.seed,
        dataset=snakemake.wildcards.dataset,
        volume=snakemake.wildcards.volume,
    )
