"""The point spread function of one channel on the image's grid."""

from decon3d.logs import job_log
from decon3d.optics.build import make_psf
from decon3d.optics.psf import save_psf
from decon3d.optics.sections import Channel, Optics
from decon3d.volumes.ingest import voxel_size_of
from decon3d.volumes.volume import Reading

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    key = f"datasets.{names.dataset}"
    size = voxel_size_of(
        params.first_volume,
        configured=params.voxel_size_um,
        key=key,
        reading=Reading(**params.reading),
    )
    psf = make_psf(
        optics=Optics.model_validate(params.optics),
        channel=Channel.model_validate(params.channel),
        voxel_size_um=size,
        key=f"{key}.channels.{names.channel}.psf",
    )
    save_psf(psf, snakemake.output.psf)
