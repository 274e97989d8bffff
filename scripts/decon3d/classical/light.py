"""What keeps the light: a start from the data, and the light that an estimate leaves over.

Richardson-Lucy with a known background keeps the total of the counts only where the expected
image fits on average. Two things stand against it. Momentum from an even start far above a dim
haze undershoots, and the haze is gone within 15 iterations. And an estimate ≥ 0 follows the noise
of empty places upwards but not downwards, so that it is too bright there by some per cent of the
background. So iterations start from the data, and what the expected image differs from the counts
by, on average over a neighbourhood, is added to the restored background: the most likely one there
for the estimate at hand. The total is then kept whatever background was assumed and wherever
the iteration stops, and so is that of every region a few times wider than the PSF.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter, uniform_filter1d

FloatArray = NDArray[np.float32]
Shape = tuple[int, int, int]

LEAST_SHARE = 1e-3
"""Share of a neighbourhood that must be seen."""
LEAST_START = 0.01
"""Smallest start relative to the recipe's even one: a voxel that starts at 0 stays there."""


def neighbourhood(psf: NDArray[np.floating]) -> Shape:
    """Return the neighbourhood (Z, Y, X) of a PSF in voxels: odd, about twice its width.

    The width is the integral of the line through the PSF's brightest voxel over its value (for a
    Gaussian 1.06 times the full width at half maximum). A neighbourhood is no larger than the PSF.
    """
    peak = np.unravel_index(int(np.argmax(psf)), psf.shape)
    widths = []
    for axis, size in enumerate(psf.shape):
        line = psf[tuple(slice(None) if a == axis else p for a, p in enumerate(peak))]
        widths.append(min(2 * int(line.sum() / line.max()) + 1, size))
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


def light_left(
    image: NDArray[np.generic],
    *,
    expected: FloatArray,
    size: Shape,
    absent: NDArray[np.bool_] | None = None,
    full: NDArray[np.bool_] | None = None,
) -> FloatArray:
    """Average what the counts exceed the expected image by over a neighbourhood, in two passes.

    Parameters
    ----------
    image, expected
        Counts, and those that the estimate and the background lead to (Z Y X).
    size
        From `neighbourhood`.
    absent
        Voxels without data: they do not count.
    full
        Saturated voxels: more counts are expected there than are seen, so that they do not count.

    Returns
    -------
    array (Z Y X), float32
        Counts of either sign.
    """
    unknown = absent
    if full is not None:
        unknown = full if absent is None else full | absent
    difference = np.subtract(image, expected, dtype=np.float32)
    return local_mean(difference, size, passes=2, absent=unknown)
