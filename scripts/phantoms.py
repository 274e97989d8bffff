"""One split of the phantoms of a channel."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.optics.sections import Channel, Optics
from decon3d.phantoms.conditions import resolve_conditions
from decon3d.phantoms.sections import Phantoms
from decon3d.phantoms.stores import make_split
from decon3d.volumes.camera import load_camera, resolved_camera

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    phantoms = Phantoms.model_validate(params.phantoms)
    noise = next(iter(snakemake.input.get("measured", [])), None)
    make_split(
        Path(snakemake.output.marker).parent,
        split=getattr(phantoms, names.split),
        name=names.split,
        phantoms=phantoms,
        psf=load_psf(snakemake.input.psf),
        optics=Optics.model_validate(params.optics),
        channel=Channel.model_validate(params.channel),
        conditions=resolve_conditions(
            phantoms,
            camera=resolved_camera(params.camera, noise),
            measured=load_camera(noise),
        ),
        seed=params.seed,
        stream=(names.dataset, names.channel),
        processes=snakemake.threads,
    )
