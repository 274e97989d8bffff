"""Complete the restored volumes of one method."""

from pathlib import Path

from decon3d.files import digest, write_record
from decon3d.logs import job_log
from decon3d.restoration.finish import check_complete, export_ome_tiff, finish_volume
from decon3d.restoration.plan import check_stores, load_plan
from decon3d.settings import load_settings
from decon3d.settings.decisive import decisive
from decon3d.volumes.volume_record import load_record

params, dataset = snakemake.params, snakemake.wildcards.dataset
with job_log(snakemake.log[0], threads=snakemake.threads):
    plan = load_plan(snakemake.input.plan)
    check_stores(plan, snakemake.input.plan)
    progress = Path(snakemake.input.parts[0]).parent
    issues = check_complete(plan, progress)
    found, config = {}, digest(decisive(load_settings(snakemake.config), dataset))
    for volume, path in zip(plan.volumes, snakemake.input.volumes, strict=True):
        record = load_record(path)
        seams = finish_volume(
            plan,
            volume,
            record,
            provenance={"settings": params.settings, "seed": params.seed},
            issues=issues[volume.name],
            progress=progress,
            config=config,
        )
        if params.ome_tiff:
            export_ome_tiff(plan, volume, record)
        found[volume.name] = {"store": volume.store, "seam_index": seams, **issues[volume.name]}
    write_record(snakemake.output[0], found)
