"""Test the width of a channel's PSF on its raw volumes."""

from decon3d.evaluation.psf_fit import channel_psf_fit
from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.settings import Camera
from decon3d.volumes.camera import load_camera, resolve_camera
from decon3d.volumes.volume_record import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    measured = load_camera(snakemake.input.noise)
    found = channel_psf_fit(
        [load_record(path) for path in snakemake.input.volumes],
        channel=params.index,
        times=params.times,
        psf=load_psf(snakemake.input.psf),
        camera=resolve_camera(Camera.model_validate(params.camera), measured),
        measured=measured,
        bead_um=params.beads_um,
        seed=params.seed,
        threads=snakemake.threads,
    )
    found.save(snakemake.output[0])
