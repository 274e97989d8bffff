"""The measured pairs of a channel: registered, matched, split by specimen."""

from pathlib import Path

from decon3d.logs import job_log
from decon3d.optics.psf import load_psf
from decon3d.pairs.sources import SPLITS, PairSource
from decon3d.pairs.stores import make_pairs
from decon3d.settings import MeasuredPairs
from decon3d.volumes.volume import Reading

params, names = snakemake.params, snakemake.wildcards
with job_log(snakemake.log[0], threads=snakemake.threads):
    make_pairs(
        [PairSource(**source) for source in params.sources],
        stores={split: Path(snakemake.output[split]).parent for split in SPLITS},
        record=snakemake.output.record,
        pairs=MeasuredPairs.model_validate(params.pairs),
        psf=load_psf(snakemake.input.psf),
        channel=params.index,
        only_channel=params.channels == 1,
        trust_metadata=params.voxel_size_um is None,
        no_data=params.no_data,
        camera_offset=params.camera_offset,
        reading=Reading(**params.reading),
        key=f"datasets.{names.dataset}.pairs",
    )
