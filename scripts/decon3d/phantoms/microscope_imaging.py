"""Volumes as a drawn microscope takes them, with the PSF that a restoration assumes.

The object lies on a finer grid than the image and reaches as far beyond it as the PSF does; the
true PSF is computed on that grid. A restoration on the image's grid does not invert the same sums
(the "inverse crime"), and the planes above and below the stack send their light into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from decon3d.optics.arrays import Array
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.sections import Optics
from decon3d.optics.theory import theoretical_psf
from decon3d.phantoms.grids import Grid, Shape, Volume, VoxelSize
from decon3d.phantoms.imaging import simulate
from decon3d.phantoms.microscopes import Microscope
from decon3d.phantoms.textures import haze
from decon3d.phantoms.user_objects import OwnObject
from decon3d.phantoms.variation import stretched

SPARSE_SHARE = 0.15
"""Edge of the part of a nearly empty field that holds objects, relative to the field's."""


@dataclass(frozen=True, eq=False)
class TakenVolume:
    """A volume that a microscope took; arrays are (Z, Y, X) float32.

    Attributes
    ----------
    object, image
        In counts, as in `imaging.Exposure`.
    psf
        The assumed one, on the image's voxels.
    """

    object: Volume
    image: Volume
    psf: Psf


def take_volume(
    microscope: Microscope,
    recipe: str,
    *,
    shape: Shape,
    rng: np.random.Generator,
    own: Mapping[str, OwnObject] | None = None,
) -> TakenVolume:
    """Draw an object and take a volume of it.

    Parameters
    ----------
    microscope
        The microscope, its camera and its light.
    recipe
        Recipe of the object, or a name in `own`.
    shape
        Voxels of the image (Z, Y, X).
    rng
        Source of the object and the noise.
    own
        The user's own objects by name.

    Raises
    ------
    UserError
        As `imaging.simulate`.
    """
    z, y, x = (v / f for v, f in zip(microscope.voxel_size_um, microscope.finer, strict=True))
    planes, rows, columns = (n * f for n, f in zip(shape, microscope.finer, strict=True))
    true = _psf(microscope, microscope.optics, (z, y, x), (planes, rows, columns))

    def change(structure: Volume, rng: np.random.Generator) -> Volume:
        brightest = structure.max()
        if microscope.content == "sparse":
            structure = structure * _one_place(structure, true.shape, rng)
        if microscope.haze:
            grid = Grid(structure.shape, (z, y, x), microscope.unit_um)
            veil = haze(grid, rng=rng)
            veil *= np.float32(microscope.haze * brightest / veil.mean())
            structure = structure + veil
        return structure

    taken = simulate(
        recipe,
        shape=shape,
        psf=normalised_psf(true, (z, y, x), {}).data,
        voxel_size_um=(z, y, x),
        photons=microscope.photons,
        background_photons=microscope.background_photons,
        camera=microscope.camera,
        rng=rng,
        unit_um=microscope.unit_um,
        own=own,
        finer=microscope.finer,
        change=change,
    )
    return TakenVolume(taken.object, taken.images[0], assumed_psf(microscope, shape))


def assumed_psf(microscope: Microscope, shape: Shape) -> Psf:
    """Compute the PSF that a restoration assumes, for images of a shape (Z, Y, X).

    It reaches no farther than from one end of the image to the other.
    """
    voxel = microscope.voxel_size_um
    data = _psf(microscope, microscope.assumed_optics, voxel, shape)
    if microscope.assumed_width != 1:
        data = _within(stretched(data, voxel, microscope.assumed_width), shape)
    return normalised_psf(data, voxel, {})


def _psf(microscope: Microscope, optics: Optics, voxel: VoxelSize, shape: Shape) -> Array:
    data = theoretical_psf(
        optics=optics,
        emission_um=microscope.emission_um,
        excitation_um=microscope.excitation_um,
        voxel_size_um=voxel,
    )
    return _within(data, shape)


def _within(psf: Array, shape: Shape) -> Array:
    """Crop a PSF to what connects voxels of one image: 2 n - 1 voxels per axis."""
    ends = [min(n // 2, m - 1) for n, m in zip(psf.shape, shape, strict=True)]
    middles = [n // 2 for n in psf.shape]
    return psf[tuple(slice(m - e, m + e + 1) for m, e in zip(middles, ends, strict=True))]


def _one_place(structure: Volume, psf: Shape, rng: np.random.Generator) -> Volume:
    """Draw a soft mask around one bright voxel of the field without its margins."""
    inner = structure[tuple(slice(n // 2, -(n // 2) or None) for n in psf)]
    bright = np.argwhere(inner > 0.5 * inner.max())
    centre = bright[rng.integers(len(bright))] + [n // 2 for n in psf]
    distance2 = np.zeros(structure.shape, np.float32)
    for axis, (n, size) in enumerate(zip(structure.shape, inner.shape, strict=True)):
        along = ((np.arange(n) - centre[axis]) / (SPARSE_SHARE * size)).astype(np.float32) ** 2
        distance2 += np.expand_dims(along, [a for a in range(3) if a != axis])
    return np.clip(4 * (1 - np.sqrt(distance2)), 0, 1)
