"""Complete the restored volumes of one method."""

from pathlib import Path

from decon3d.files import digest, write_record
from decon3d.logs import job_log
from decon3d.restoration.finish import finish
from decon3d.settings import load_settings
from decon3d.settings.decisive import decisive
from decon3d.volumes.volume_record import load_record

params, files = snakemake.params, snakemake.input
with job_log(snakemake.log[0], threads=snakemake.threads):
    settings = load_settings(snakemake.config)
    found = finish(
        files.plan,
        [load_record(path) for path in files.volumes],
        progress=Path(files.parts[0]).parent,
        provenance={"settings": params.settings, "seed": params.seed},
        config=digest(decisive(settings, snakemake.wildcards.dataset)),
        ome_tiff=params.ome_tiff,
    )
    write_record(snakemake.output[0], found)
