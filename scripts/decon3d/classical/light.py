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

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter, uniform_filter1d

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
    values: FloatArray, size: Shape, *, passes: int = 1, absent: NDArray[np.bool_] | None = None
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

    Returns
    -------
    array (Z Y X), float32
        0 where nothing is seen.
    """

    def mean(array: FloatArray) -> FloatArray:
        for _ in range(passes):
            array = uniform_filter(array, size, mode="constant")
        return array

    if absent is None:
        values = mean(values)
        for axis, length in enumerate(values.shape):
            line = np.ones(length, np.float32)
            for _ in range(passes):
                line = uniform_filter1d(line, size[axis], mode="constant")
            values /= np.expand_dims(line, [a for a in range(3) if a != axis])
        return values
    values = mean(np.where(absent, np.float32(0), values))
    share = mean((~absent).astype(np.float32))
    # Running sums leave rounding errors where nothing is seen.
    seen = share > LEAST_SHARE
    return np.where(seen, values / np.where(seen, share, np.float32(1)), np.float32(0))


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

    Returns
    -------
    array (Z Y X), float32
        Counts above the dark level, of either sign.
    """
    ground = np.float32(level)
    beyond = [(s.start, n - s.stop) for s, n in zip(inside, estimate.shape, strict=True)]
    restored = estimate[inside]
    expected = blur(estimate)
    expected += ground
    ratio = local_mean(image - expected, size, absent=unknown)
    ratio /= _divisor(local_mean(expected, size, absent=unknown))
    np.clip(ratio, *RATIO, out=ratio)
    ratio += np.float32(1)
    restored *= ratio
    del ratio, expected
    for _ in range(times):
        difference = blur(estimate)
        difference += ground
        np.subtract(image, difference, out=difference)
        difference = local_mean(difference, wide, passes=2, absent=unknown)
        estimate += np.pad(difference, beyond, mode="edge")
        del difference
        taken = local_mean(np.maximum(np.float32(darkest) - restored, 0), wide, passes=2)
        np.maximum(estimate, np.float32(darkest), out=estimate)
        bright = np.maximum(restored, 0)
        taken /= _divisor(local_mean(bright, wide, passes=2))
        np.clip(taken, 0, MOST_TAKEN, out=taken)
        taken *= bright
        restored -= taken
        del taken, bright
    restored += ground
    return restored


def _divisor(mean: FloatArray) -> FloatArray:
    """Raise a local mean, in place, to at least a small share of its largest value."""
    return np.maximum(mean, np.float32(LEAST_LIGHT * float(mean.max()) + 1e-30), out=mean)
