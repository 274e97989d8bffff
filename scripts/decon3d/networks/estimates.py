"""Richardson-Lucy estimates as inputs of a network, for one channel or volume."""

from collections.abc import Sequence
from dataclasses import replace

from decon3d.classical.channel import base_recipe
from decon3d.classical.estimates import Run
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
    method = Rl(kind="rl", acceleration="heavy_ball")
    recipe = base_recipe(method, statistics=statistics, psf=psf, camera=camera)
    return [
        Run(replace(recipe, tv_weight=estimate.tv_weight), estimate.iterations)
        for estimate in estimates
    ]
