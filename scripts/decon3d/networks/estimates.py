"""Richardson-Lucy estimates as inputs of a network, for one channel or volume."""

from collections.abc import Sequence
from dataclasses import replace

from decon3d.classical.channel import base_recipe
from decon3d.classical.estimates import Estimator, Run
from decon3d.classical.kinds.rl import Rl
from decon3d.networks.description import Estimate
from decon3d.optics.psf import Psf
from decon3d.volumes.camera import Camera
from decon3d.volumes.statistics import ChannelStatistics


def network_runs(
    estimates: Sequence[Estimate],
    *,
    statistics: ChannelStatistics,
    psf: Psf,
    camera: Camera | None,
) -> list[Run]:
    """Turn the estimates of a network's input into runs for one channel or volume."""
    recipe = base_recipe(Rl(kind="rl"), statistics=statistics, psf=psf, camera=camera)
    return [
        Run(
            replace(recipe, tv_weight=estimate.tv_weight, coarse_to_fine=False),
            estimate.iterations,
        )
        for estimate in estimates
    ]


def network_estimator(
    estimates: Sequence[Estimate],
    *,
    statistics: ChannelStatistics,
    psf: Psf,
    camera: Camera,
    threads: int,
) -> Estimator:
    """Make the estimator of one channel or volume for a network."""
    runs = network_runs(estimates, statistics=statistics, psf=psf, camera=camera)
    return Estimator(runs, psf=psf.data, threads=threads)
