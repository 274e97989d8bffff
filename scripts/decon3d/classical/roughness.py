"""Good's roughness in Richardson-Lucy: noise is smoothed, and nothing becomes flat patches.

Good and Gaskins (1971, Biometrika 58, 255) penalise the roughness of a density x ≥ 0 by
R(x) = ∫ |∇x|² / x = 4 ∫ |∇√x|². Verveer and Jovin (1997, J. Opt. Soc. Am. A 14, 1696) and Verveer
et al. (1999, J. Microsc. 193, 50) restore fluorescence volumes with it. The penalty is quadratic in
u = √x: it smooths bright places in proportion to their photon noise, and steep slopes cost more
than gentle ones, so that no step is preferred to a slope.

With the discrete R = λ Σ w (uᵢ - uⱼ)² over neighbouring voxels and y what an iteration of
Richardson-Lucy makes of x, the new u of a voxel is the positive root of

    (1 + 2λN) u² - λS u - y = 0,    S = Σ w (uᵢ + uⱼ),    N = Σ w,

where S holds the u of the iteration before. This is De Pierro's (1995, IEEE Trans. Med. Imaging 14,
132) separable bound of the penalty. Where the iteration ends, y / x - 1 = λ ∂R/∂x, as the most
likely estimate demands. The root exists for every λ, so that nothing is clamped; the one-step-late
factor 1 / (1 - λ Δu / u) has the same end, but with momentum it diverges from λ of about 0.1 on.

w is the square of the smallest voxel edge over the voxel size along the axis, as differences per
physical length demand. A voxel at a face is its own neighbour beyond it: nothing flows through.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.slabs import Slabs

FloatArray = NDArray[np.float32]


def axis_weights(voxel_size_um: Sequence[float]) -> tuple[float, float, float]:
    """Return w of a neighbour along Z, Y and X; 1 along the smallest voxel edge."""
    z, y, x = (float((min(voxel_size_um) / size) ** 2) for size in voxel_size_um)
    return z, y, x


def neighbour_roots(
    x: FloatArray,
    *,
    voxel_size_um: Sequence[float],
    slabs: Slabs | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Return S, the weighted sum of √x over the six neighbours, each with the voxel's own.

    Parameters
    ----------
    x
        Estimate ≥ 0 (Z Y X), float32, any unit.
    voxel_size_um
        Voxel size (Z, Y, X) in µm; only its ratios matter.
    slabs
        Threads; default one.
    out
        Where the result goes; not `x` itself.

    Returns
    -------
    array (Z Y X), float32
        2 N √x where the estimate is flat.
    """
    result = np.empty_like(x) if out is None else out
    weights = [np.float32(w) for w in axis_weights(voxel_size_um)]
    own = np.float32(2) * sum(weights)

    def work(planes: slice) -> None:
        before = min(planes.start, 1)  # the planes before and behind are needed, too
        count = planes.stop - planes.start
        root = np.sqrt(x[planes.start - before : planes.stop + 1])
        near, total = root[before : before + count], result[planes]
        ahead, behind = root[before + 1 : before + 1 + count], root[: count - 1 + before]
        total[...] = 0
        total[: len(ahead)] += ahead
        total[len(ahead) :] += near[len(ahead) :]
        total[1 - before :] += behind
        total[: 1 - before] += near[: 1 - before]
        total *= weights[0]
        for axis, weight in ((1, weights[1]), (2, weights[2])):
            every = (slice(None),) * axis
            for here, there in (
                (slice(None, -1), slice(1, None)),
                (slice(1, None), slice(None, -1)),
                (slice(0, 1), slice(0, 1)),
                (slice(-1, None), slice(-1, None)),
            ):
                total[(*every, here)] += weight * near[(*every, there)]
        near *= own
        total += near

    (slabs or Slabs()).run(work, length=x.shape[0], item_bytes=x[0].nbytes)
    return result


def smooth(
    new: FloatArray, roots: FloatArray, *, weight: float, voxel_size_um: Sequence[float]
) -> None:
    """Turn what Richardson-Lucy makes of an estimate into the smooth estimate, in place.

    Parameters
    ----------
    new
        y ≥ 0 (Z Y X); becomes u².
    roots
        S of the estimate before (`neighbour_roots`); its content is lost.
    weight
        λ ≥ 0, for differences per smallest voxel edge.
    voxel_size_um
        Voxel size (Z, Y, X) in µm.
    """
    own = 1 + 4 * weight * sum(axis_weights(voxel_size_um))
    roots *= np.float32(weight / (2 * own))
    new *= np.float32(1 / own)
    new += np.square(roots)
    np.sqrt(new, out=new)
    new += roots
    np.square(new, out=new)
