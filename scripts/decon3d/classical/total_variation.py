"""The total variation factor of Richardson-Lucy: noise is smoothed, edges stay.

Dey et al. 2006 ("Richardson-Lucy algorithm with total variation regularization for 3D confocal
microscope deconvolution", Microsc. Res. Tech. 69, 260) multiply each iteration by

    1 / (1 - λ div(∇x / |∇x|)).

Here ∇ takes forward differences (none across the last face) and div backward differences of the
unit vectors (none come in through the first face), so that -div is the adjoint of ∇. Differences
are divided by the voxel size relative to its smallest edge. The *denominator* is kept within
[0.1, 10]; clamping the factor would turn λ div ≥ 1 into 0.1 where 10 is meant.

At a peak div < 0 and the factor is < 1. In the outermost layers at the faces it may exceed 1, for
nothing flows through a face.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.slabs import Slabs

FloatArray = NDArray[np.float32]

DENOMINATOR = (np.float32(0.1), np.float32(10.0))
LEAST_PLANES = 4  # per slab: one plane more is read and worked on twice
TINY = np.finfo(np.float32).tiny


def tv_denominator(
    x: FloatArray,
    *,
    weight: float,
    voxel_size_um: Sequence[float],
    slabs: Slabs | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Return the denominator 1 - λ div(∇x / |∇x|), within [0.1, 10].

    Parameters
    ----------
    x
        Estimate (Z Y X), float32, any unit.
    weight
        λ, for differences per smallest voxel edge.
    voxel_size_um
        Voxel size (Z, Y, X) in µm; only its ratios matter.
    slabs
        Threads; default one.
    out
        Where the result goes; not `x` itself.

    Returns
    -------
    array (Z Y X), float32
        1 where the estimate is flat, > 1 at a peak.
    """
    result = np.empty_like(x) if out is None else out
    inverse = (min(voxel_size_um) / np.asarray(voxel_size_um)).astype(np.float32)
    depth = x.shape[0]

    def work(planes: slice) -> None:
        before = min(planes.start, 1)  # the unit vectors of the plane before are needed, too
        count = planes.stop - planes.start + before
        along_z, along_y, along_x = _flux(x[planes.start - before :], count, inverse)
        divergence = result[planes]
        np.copyto(divergence, along_z[before:])
        divergence[1 - before :] -= along_z[: count - 1]
        divergence += along_y[before:]
        divergence[:, 1:] -= along_y[before:, :-1]
        divergence += along_x[before:]
        divergence[:, :, 1:] -= along_x[before:, :, :-1]
        divergence *= np.float32(-weight)
        divergence += np.float32(1)
        np.clip(divergence, *DENOMINATOR, out=divergence)

    plane_bytes = x[0].nbytes
    (slabs or Slabs()).run(work, length=depth, item_bytes=plane_bytes, least=LEAST_PLANES)
    return result


def _flux(x: FloatArray, count: int, inverse: FloatArray) -> list[FloatArray]:
    """Return ∇x / |∇x| in the first `count` planes, its parts × `inverse`, ready for div.

    ∇ takes forward differences × `inverse` (per axis Z Y X); where x is flat, the result is 0.
    """
    near, ahead = x[:count], x[1 : count + 1]  # `ahead` is a plane short at the last face
    parts = [np.empty_like(near) for _ in range(3)]
    np.subtract(ahead, near[: len(ahead)], out=parts[0][: len(ahead)])
    parts[0][len(ahead) :] = 0
    np.subtract(near[:, 1:], near[:, :-1], out=parts[1][:, :-1])
    parts[1][:, -1] = 0
    np.subtract(near[:, :, 1:], near[:, :, :-1], out=parts[2][:, :, :-1])
    parts[2][:, :, -1] = 0
    norm = np.full_like(near, TINY)
    square = np.empty_like(near)
    for part, factor in zip(parts, inverse, strict=True):
        part *= factor
        norm += np.square(part, out=square)
    np.sqrt(norm, out=norm)
    for part, factor in zip(parts, inverse, strict=True):
        part /= norm
        part *= factor
    return parts
