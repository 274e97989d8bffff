"""Test whether a channel's PSF fits its raw volumes."""

from decon3d.evaluation.psf_fit import channel_psf_fit
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.volumes.camera import load_camera, resolved_camera
from decon3d.volumes.volume_record import load_record

params, files = snakemake.params, snakemake.input
with job_log(snakemake.log[0], threads=snakemake.threads):
    fit = channel_psf_fit(
        [load_record(path) for path in files.volumes],
        channel=params.index,
        times=params.times,
        psf=load_psf(files.psf),
        camera=resolved_camera(params.camera, files.noise),
        measured=load_camera(files.noise),
        bead_um=params.beads_um,
        seed=params.seed,
        threads=snakemake.threads,
    )
    fit.save(snakemake.output[0])
