"""Another PSF for every volume: at other depths, or wider and narrower than assumed."""

from dataclasses import dataclass

import numpy as np

from decon3d.optics.arrays import Array, triple
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.resampling import resample
from decon3d.optics.sections import Channel, Optics
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.grids import VoxelSize
from decon3d.phantoms.sections import PsfVariation


@dataclass(frozen=True)
class Variation:
    """How one volume's PSF differs from its channel's.

    Attributes
    ----------
    depth_um
        Depth below the coverslip, in µm; None = the channel's.
    width
        Factor by which it is stretched along all axes.
    """

    depth_um: float | None
    width: float


def draw_variation(ranges: PsfVariation, rng: np.random.Generator) -> Variation:
    """Draw a depth evenly and a width log-uniformly from their ranges."""
    depth = rng.uniform(*ranges.depth_um) if ranges.depth_um else None
    width = float(np.exp(rng.uniform(*np.log(ranges.width)))) if ranges.width else 1.0
    return Variation(depth, width)


def varied_psf(psf: Psf, variation: Variation, *, optics: Optics, channel: Channel) -> Psf:
    """Make the PSF of one volume.

    Parameters
    ----------
    psf
        The channel's.
    variation
        Its depth and width. Another depth is computed from theory on the same voxels and centred
        as every theoretical PSF is, on its core: the shift of the focus is not part of the blur.
    optics, channel
        The microscope and the fluorophore, for another depth.

    Returns
    -------
    Psf
        Sum 1, odd sizes; as large as it needs to be.
    """
    data = psf.data.astype(np.float64)
    if variation.depth_um is not None:
        data = theoretical_psf(
            optics=channel.optics_of(optics).model_copy(update={"depth_um": variation.depth_um}),
            emission_um=channel.emission_um,
            excitation_um=channel.excitation_um,
            voxel_size_um=psf.voxel_size_um,
        )
    if variation.width != 1:
        data = stretched(data, psf.voxel_size_um, variation.width)
    return normalised_psf(data, psf.voxel_size_um, {})


def stretched(data: Array, voxel_size_um: VoxelSize, width: float) -> Array:
    """Stretch a PSF (Z, Y, X) by a factor along all axes, on its voxels; float64, ≥ 0."""
    wider = triple(v * width for v in voxel_size_um)
    values = resample(data, voxel_size_um=wider, target_voxel_size_um=voxel_size_um)
    return np.clip(values, 0, None)  # a cubic spline may undershoot
