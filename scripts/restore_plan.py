"""Plan the restoration of a dataset's volumes by one method."""

from decon3d import paths
from decon3d.logs import job_log
from decon3d.restoration.plan import make_plan
from decon3d.restoration.restorers import State
from decon3d.restoration.sections import Restoration
from decon3d.volumes.volume_record import load_record

params, names = snakemake.params, snakemake.wildcards


def bundle_warnings(records, states):
    """Compare the bundles of a network with the data."""
    if not snakemake.input.get("bundles"):
        return {}
    from decon3d.restoration.bundle_checks import training_warnings

    return training_warnings(
        method=names.method,
        records=records,
        channels=params.channels,
        states=states,
        bundles=snakemake.input.bundles,
        psfs=snakemake.input.psfs,
    )


with job_log(snakemake.log[0], threads=snakemake.threads):
    records = [load_record(path) for path in snakemake.input.volumes]
    loaded = map(State.load, snakemake.input.states)
    states = dict(zip(params.channels, loaded, strict=True))
    make_plan(
        method=names.method,
        states=states,
        records=records,
        stores=[paths.restored(names.dataset, r.name, names.method) for r in records],
        channels=params.channels,
        times=params.times,
        restoration=Restoration(
            **params.restoration,
            parts=params.parts,
            memory_gb=snakemake.resources.block_mb / 1000,
        ),
        path=snakemake.output[0],
        gpu=params.gpu,
        warnings=bundle_warnings(records, states),
    )
