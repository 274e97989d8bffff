"""Test the width of a channel's PSF on its raw volumes."""

from decon3d.evaluation.psf_fit import channel_psf_fit
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.volumes.camera import load_camera, resolved_camera
from decon3d.volumes.ingest import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    found = channel_psf_fit(
        [load_record(path) for path in snakemake.input.volumes],
        channel=params.index,
        times=params.times,
        psf=load_psf(snakemake.input.psf),
        camera=resolved_camera(params.camera, snakemake.input.noise),
        measured=load_camera(snakemake.input.noise),
        bead_um=params.beads_um,
        seed=params.seed,
        threads=snakemake.threads,
    )
    found.save(snakemake.output[0])
