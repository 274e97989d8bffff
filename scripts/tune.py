"""Search a classical method's parameters on the validation phantoms."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.restoration.tuning import tune_on_phantoms
from decon3d.settings import METHOD_KINDS

params = snakemake.params
with job_log(snakemake.log[0]):
    tune_on_phantoms(
        Path(snakemake.input.val).parent,
        path=snakemake.output[0],
        method=METHOD_KINDS[params.method["kind"]].model_validate(params.method),
        psf=load_psf(snakemake.input.psf),
        camera_offset=params.camera_offset,
        threads=snakemake.threads,
    )
