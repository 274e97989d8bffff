"""Measure one channel in a dated bead stack of an instrument."""

from decon3d.files import write_record
from decon3d.logs import job_log
from decon3d.optics.quality import measure_stack
from decon3d.settings import BeadsPsf, ChannelOptics, Optics

params = snakemake.params
with job_log(snakemake.log[0], threads=snakemake.threads):
    found = measure_stack(
        optics=Optics.model_validate(params.optics),
        channel=ChannelOptics.model_validate(params.channel),
        beads=BeadsPsf.model_validate(params.beads),
        key=params.key,
    )
    write_record(snakemake.output[0], found)
