"""Search a classical method's parameters on phantoms or on a sample of the data."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.restoration.sample import sample_blocks
from decon3d.restoration.tuning import tune_on_data, tune_on_phantoms
from decon3d.settings import METHOD_KINDS
from decon3d.volumes.camera import resolved_camera
from decon3d.volumes.statistics import load_statistics
from decon3d.volumes.volume_record import load_record

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    camera = resolved_camera(params.camera, snakemake.input.get("noise"))
    common = {
        "path": snakemake.output[0],
        "method": METHOD_KINDS[params.method["kind"]].model_validate(params.method),
        "psf": load_psf(snakemake.input.psf),
        "camera": camera,
        "threads": snakemake.threads,
    }
    if params.method["tune_on"] == "data":
        sample = sample_blocks(
            [load_record(path) for path in snakemake.input.volumes],
            channel=params.index,
            times=params.times,
            seed=params.seed,
        )
        statistics = load_statistics(snakemake.input.statistics)
        tune_on_data(sample, statistics=statistics, seed=params.seed, **common)
    else:
        tune_on_phantoms(Path(snakemake.input.pairs).parent, **common)
