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
PLANES = 12
"""Planes per slab: one plane more is read and worked on twice."""
TINY = np.finfo(np.float32).tiny


def tv_denominator(
    x: FloatArray,
    *,
    weight: float,
    voxel_size_um: Sequence[float],
    slabs: Slabs | None = None,
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

    Returns
    -------
    array (Z Y X), float32
        1 where the estimate is flat, > 1 at a peak.
    """
    result = np.empty_like(x)
    slabs = slabs or Slabs()
    inverse = _inverse(voxel_size_um)

    def work(planes: slice) -> None:
        flow = _flow_into(x, planes.start, inverse)
        step = len(x) if slabs.whole else 1
        for start in range(planes.start, planes.stop, step):
            stop = min(start + step, planes.stop)
            flow = _denominators(x[start : stop + 1], flow, weight, inverse, result[start:stop])

    slabs.run(work, length=len(x), item_bytes=x[0].nbytes, least=PLANES)
    return result


def divide_by_tv(
    x: FloatArray,
    *,
    weight: float,
    voxel_size_um: Sequence[float],
    slabs: Slabs,
    exponent: float | np.float32 = 1.0,
) -> None:
    """Divide an estimate, in place, by the power of its `tv_denominator`.

    Parameters
    ----------
    x, weight, voxel_size_um, slabs
        As for `tv_denominator`.
    exponent
        Of the denominator.
    """
    inverse = _inverse(voxel_size_um)
    depth = len(x)
    step, parts = (depth, depth) if slabs.whole else (1, PLANES)
    starts = range(0, depth, parts)
    # What the parts need of their neighbours, before these are divided.
    flows = [_flow_into(x, start, inverse) for start in starts]
    beyond = [x[start + parts : start + parts + 1].copy() for start in starts]

    def work(numbers: slice) -> None:
        for number in range(numbers.start, numbers.stop):
            flow = flows[number]
            stop = min(starts[number] + parts, depth)
            for start in range(starts[number], stop, step):
                end = min(start + step, stop)
                near = x[start : end + 1]
                if end == stop < depth:
                    near = np.concatenate([x[start:end], beyond[number]])
                denominators = np.empty_like(x[start:end])
                flow = _denominators(near, flow, weight, inverse, denominators)
                if exponent != 1:
                    denominators **= np.float32(exponent)
                x[start:end] /= denominators

    slabs.run(work, length=len(starts), item_bytes=parts * x[0].nbytes)


def _inverse(voxel_size_um: Sequence[float]) -> FloatArray:
    return (min(voxel_size_um) / np.asarray(voxel_size_um)).astype(np.float32)


def _flow_into(x: FloatArray, plane: int, inverse: FloatArray) -> FloatArray | None:
    """Return the unit vectors' parts along Z in the plane before one; None before the first."""
    return _flux(x[plane - 1 : plane + 1], 1, inverse)[0] if plane else None


def _denominators(
    x: FloatArray,
    flow: FloatArray | None,
    weight: float,
    inverse: FloatArray,
    out: FloatArray,
) -> FloatArray:
    """Write the denominators of some planes, and return the flow out of the last one.

    Parameters
    ----------
    x
        The planes, and the next one where there is one.
    flow
        From `_flow_into`, or what the planes before returned.
    out
        As many planes as are wanted.
    """
    along_z, along_y, along_x = _flux(x, len(out), inverse)
    np.copyto(out, along_z)
    if flow is not None:
        out[:1] -= flow
    out[1:] -= along_z[:-1]
    out += along_y
    out[:, 1:] -= along_y[:, :-1]
    out += along_x
    out[:, :, 1:] -= along_x[:, :, :-1]
    out *= np.float32(-weight)
    out += np.float32(1)
    np.clip(out, *DENOMINATOR, out=out)
    return along_z[-1:]


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
