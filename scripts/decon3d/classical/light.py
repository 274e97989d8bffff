"""What keeps the light: a start from the data, and the light that an estimate leaves over.

Richardson-Lucy with a known background keeps the total of the counts only where the expected
image fits on average. Two things stand against it. Momentum from an even start far above a dim
haze undershoots, and the haze is gone within 15 iterations. And an estimate ≥ 0 follows the noise
of empty places upwards but not downwards, so that it is too bright there by some per cent of the
background. So iterations start from the data, and the result gets the light of the image
(`with_light_of`). The total is then kept whatever background was assumed and wherever the iteration
stops, and so is that of every region a few times wider than the PSF, and of every object within
1 % (`make validate VALIDATE=light`).

The background is not fitted together with the object. A flat object is the same light as a
background, so that the likelihood does not tell them apart where a specimen fills the frame, and
one more count of background would take light from every dim place. It is measured in empty places;
the state and the log give its 95 % interval.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from decon3d.classical.slabs import Slabs

FloatArray = NDArray[np.float32]
Shape = tuple[int, int, int]

LEAST_SHARE = 1e-3
"""Share of a neighbourhood that must be seen."""
RATIO = (np.float32(-0.5), np.float32(1))
"""Bounds of the ratio of counts to the expected ones, less 1."""
LEAST_LIGHT = 1e-6
"""Expected counts, relative to the largest, below which nothing is expected."""
DARKEST = 0.2
"""How far below the background a result may be, as a share of the counts that the model has in an
empty place. With 0.1, 1.1 % of the light of real beads in dim haze is left over; with 0.2, 0.6."""
MOST_TAKEN = np.float32(0.5)
"""Largest share of a voxel's light that goes to darker ones nearby."""
LEAST_START = 0.01
"""Smallest start relative to the recipe's even one: a voxel that starts at 0 stays there."""


def neighbourhood(psf: NDArray[np.floating], times: float = 2) -> Shape:
    """Return a neighbourhood (Z, Y, X) in voxels: odd, about so many times as wide as a PSF.

    The width is the integral of the line through the PSF's brightest voxel over its value (for a
    Gaussian 1.06 times the full width at half maximum). A neighbourhood is no larger than the PSF.
    """
    peak = np.unravel_index(int(np.argmax(psf)), psf.shape)
    widths = []
    for axis, size in enumerate(psf.shape):
        line = psf[tuple(slice(None) if a == axis else p for a, p in enumerate(peak))]
        widths.append(min(2 * int(times / 2 * line.sum() / line.max()) + 1, size))
    z, y, x = widths
    return (z, y, x)


def local_mean(
    values: FloatArray,
    size: Shape,
    *,
    passes: int = 1,
    absent: NDArray[np.bool_] | None = None,
    slabs: Slabs | None = None,
    overwrite: bool = False,
) -> FloatArray:
    """Average values (Z Y X) over a neighbourhood, as far as it is seen.

    Parameters
    ----------
    size
        Of the neighbourhood (Z, Y, X), in voxels, odd.
    passes
        How often: two make a triangular weight of twice the width.
    absent
        Voxels that do not count, just as those beyond the faces do not; None = all count.
    slabs
        Threads; default one.
    overwrite
        `values` may be changed, which saves the memory of a copy.

    Returns
    -------
    array (Z Y X), float32
        0 where nothing is seen.
    """
    slabs = slabs or Slabs()
    if absent is not None:
        values = _means(np.where(absent, np.float32(0), values), size, passes, slabs)
        share = _means((~absent).astype(np.float32), size, passes, slabs)
        # Running sums leave rounding errors where nothing is seen.
        seen = share > LEAST_SHARE
        share[~seen] = 1
        values /= share
        values[~seen] = 0
        return values
    lines = []
    for axis, length in enumerate(values.shape):
        line = np.ones(length, np.float32)
        for _ in range(passes):
            line = uniform_filter1d(line, size[axis], mode="constant")
        lines.append(np.expand_dims(line, [a for a in range(3) if a != axis]))
    return _means(values if overwrite else values.copy(), size, passes, slabs, lines)


def _means(
    values: FloatArray,
    size: Shape,
    passes: int,
    slabs: Slabs,
    lines: Sequence[FloatArray] = (),
) -> FloatArray:
    """Average over boxes with 0 beyond the faces, then divide by lines along Z, Y and X.

    `values` are overwritten. The result is that of `scipy.ndimage.uniform_filter`, bit by bit,
    which takes twice as long and one thread.
    """
    depth, rows, columns = values.shape
    result = np.empty_like(values)
    for number in range(passes):
        last = number == passes - 1

        def along_z(part: slice, values: FloatArray = values, result: FloatArray = result) -> None:
            _running_mean(values[:, part], size[0], result[:, part])

        def along_y_and_x(
            planes: slice,
            values: FloatArray = values,
            result: FloatArray = result,
            last: bool = last,
        ) -> None:
            slab = source = result[planes]
            target = values[planes]
            for axis in (1, 2):
                if size[axis] > 1:
                    uniform_filter1d(source, size[axis], axis, output=target, mode="constant")
                    source, target = target, source
            if source is not slab:
                slab[...] = source
            if last and lines:
                slab /= lines[0][planes]
                slab /= lines[1]
                slab /= lines[2]

        slabs.run(along_z, length=rows, item_bytes=values.itemsize * depth * columns, least=16)
        slabs.run(along_y_and_x, length=depth, item_bytes=values[0].nbytes)
        values, result = result, values
    return values


def _running_mean(values: FloatArray, size: int, out: FloatArray) -> None:
    """Average over `size` planes (Z), with 0 beyond the faces."""
    half, depth = size // 2, len(values)
    total = values[:half].sum(axis=0, dtype=np.float64)
    for z in range(depth):
        if z + half < depth:
            total += values[z + half]
        np.divide(total, size, out=out[z], casting="same_kind")
        if z >= half:
            total -= values[z - half]


def with_light_of(
    image: FloatArray,
    estimate: FloatArray,
    *,
    blur: Callable[[FloatArray], FloatArray],
    inside: tuple[slice, ...],
    level: float,
    darkest: float,
    size: Shape,
    wide: Shape,
    times: int = 1,
    unknown: NDArray[np.bool_] | None = None,
    slabs: Slabs | None = None,
) -> FloatArray:
    """Give an estimate the light of the image that it was made from.

    First, objects are multiplied by the ratio of the counts to the expected ones: an estimate that
    stopped early, or was made with a PSF that is not quite right, leaves 2 per cent of their light.
    Then what the counts exceed the expected ones by is added, as a mean over a wide neighbourhood,
    beyond the faces, too. Over a narrow one, or if what remains is added once more, it makes dark
    rims around bright objects where the PSF is not quite right or the iteration stopped early.
    No voxel gets darker than `darkest` by that; what the bound keeps there is taken from brighter
    voxels nearby. Without the bound, a widefield specimen whose iteration stopped early had patches
    beside it that were 9 counts darker than the background of 106: more is expected there than is
    seen, since light of the specimen is not in its place yet.

    Parameters
    ----------
    image
        Counts above the dark level, as seen (Z Y X).
    estimate
        Of the object, without the background (Z Y X), ≥ 0, on the model's whole domain. It may be
        changed.
    blur
        From an object (the model's domain) to its expected image.
    inside
        Where the image lies in the model's domain.
    level
        Background, in counts above the dark level.
    darkest
        Smallest result in counts relative to the background, ≤ 0.
    size
        Neighbourhood (Z, Y, X), in voxels, odd, over which counts are compared for the ratio.
    wide
        Neighbourhood for the rest.
    times
        How often the rest is added; what is left of it shrinks.
    unknown
        Voxels that do not count: those without data, and saturated ones, where more is expected
        than is seen.
    slabs
        Threads; default one.

    Returns
    -------
    array (Z Y X), float32
        Counts above the dark level, of either sign.
    """
    ground, lowest = np.float32(level), np.float32(darkest)
    slabs = slabs or Slabs()
    restored = estimate[inside]
    expected = blur(estimate)
    expected += ground
    left = np.subtract(image, expected)
    ratio = local_mean(left, size, absent=unknown, slabs=slabs, overwrite=True)
    del left
    ratio /= _divisor(local_mean(expected, size, absent=unknown, slabs=slabs, overwrite=True))
    del expected
    np.clip(ratio, *RATIO, out=ratio)
    ratio += np.float32(1)
    restored *= ratio
    del ratio
    wider: dict[str, Any] = {"passes": 2, "slabs": slabs, "overwrite": True}
    for _ in range(times):
        left = blur(estimate)
        left += ground
        np.subtract(image, left, out=left)
        left = local_mean(left, wide, absent=unknown, **wider)
        _add_beyond(estimate, left, inside)
        np.subtract(lowest, restored, out=left)
        np.maximum(left, 0, out=left)
        np.maximum(estimate, lowest, out=estimate)
        if left.any():
            taken = local_mean(left, wide, **wider)
            del left
            taken /= _divisor(local_mean(np.maximum(restored, 0), wide, **wider))
            np.clip(taken, 0, MOST_TAKEN, out=taken)
            taken *= np.maximum(restored, 0)
            restored -= taken
            del taken
    restored += ground
    return restored


def _add_beyond(estimate: FloatArray, difference: FloatArray, inside: tuple[slice, ...]) -> None:
    """Add a difference (Z Y X) to an estimate, beyond the faces that of the nearest voxel."""
    rows, columns = (
        np.clip(np.arange(n) - part.start, 0, part.stop - part.start - 1)
        for n, part in zip(estimate.shape[1:], inside[1:], strict=True)
    )
    for z, plane in enumerate(estimate):
        nearest = int(np.clip(z - inside[0].start, 0, len(difference) - 1))
        plane += difference[nearest][np.ix_(rows, columns)]


def _divisor(mean: FloatArray) -> FloatArray:
    """Raise a local mean, in place, to at least a small share of its largest value."""
    return np.maximum(mean, np.float32(LEAST_LIGHT * float(mean.max()) + 1e-30), out=mean)
