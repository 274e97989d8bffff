"""Restore one part of a plan."""

from decon3d.logs import job_log
from decon3d.networks.devices import granted_gpus
from decon3d.restoration.part import restore_part
from decon3d.restoration.restorers import State, claim_device

with job_log(snakemake.log[0], threads=snakemake.threads):
    gpus = granted_gpus(snakemake.resources, required=snakemake.config.get("require_gpu", True))
    states = [State.load(path) for path in snakemake.input.states]
    device = claim_device(states[0], gpus=gpus, threads=snakemake.threads)
    restore_part(
        snakemake.input.plan,
        states,
        part=int(snakemake.wildcards.part),
        marker=snakemake.output[0],
        threads=snakemake.threads,
        device=device,
    )
