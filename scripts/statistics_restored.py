"""Statistics and normalisation of a channel of restored volumes, for a method that starts there."""

from decon3d.logs import job_log
from decon3d.volumes.normalisation import Normalisation
from decon3d.volumes.statistics import channel_statistics, save_statistics
from decon3d.volumes.volume_record import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    statistics = channel_statistics(
        [load_record(path) for path in snakemake.input],
        channel=params.index,
        camera_offset=params.camera_offset,
        fixed=Normalisation(**params.normalisation) if params.normalisation else None,
        key=f"datasets.{snakemake.wildcards.dataset}",
    )
    save_statistics(snakemake.output[0], statistics)
