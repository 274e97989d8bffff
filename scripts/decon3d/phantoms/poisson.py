"""Poisson numbers for a whole image: exact, at half the cost of single draws.

Drawing photons is most of the cost of a noisy image. Here a rate is the sum of a multiple of `STEP`
and a remainder, and its number is the sum of two Poisson numbers. The first is found by inversion
with a guide table (Chen and Asau, AIIE Transactions 6, 163, 1974): the first bits of a random
number select a bin of the distribution function, and most bins have only one value. The second is 0
except in a share `STEP` of the voxels, which are drawn separately.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

STEP_BITS = 4
STEP = 2.0**-STEP_BITS
"""Photons between two rates of the table; at most this share of the voxels has a second number."""
HIGHEST = 64
"""Photons above which NumPy draws; such voxels are few."""
BIN_BITS = 9
SLAB = 2**17
"""Voxels at a time."""
MOST = 12
"""Largest number of a remainder, within a double's rounding."""
LAST = 160
"""Largest number of a tabled rate; larger ones have a probability far below a double's rounding."""


@cache
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Tabulate 2 · (smallest number in the bin) + (whether there are others), and the CDFs."""
    numbers = np.arange(LAST + 1)
    rates = STEP * np.arange(1, HIGHEST / STEP)[:, None]
    cdf = np.ones((len(rates) + 1, LAST + 1))  # of the rate 0, above all
    cdf[1:] = pdtr(numbers, rates)
    cdf[:, -1] = np.inf
    edges = np.arange(2**BIN_BITS + 1) / 2**BIN_BITS
    low = np.stack([np.searchsorted(row, edges[:-1], side="right") for row in cdf])
    high = np.stack([np.searchsorted(row, edges[1:], side="left") for row in cdf])
    return (2 * low + (low < high)).astype(np.uint8), cdf


def poisson(expected: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a Poisson number for every expected number of photons.

    Parameters
    ----------
    expected
        Photons ≥ 0, any shape.
    rng
        Source of randomness.

    Returns
    -------
    array of float32
        Whole numbers, in the shape of `expected`.

    Raises
    ------
    ValueError
        If a rate is negative, not a number, or too large for NumPy to draw.
    """
    drawn = np.empty(expected.size, np.float32)
    rates = expected.ravel()
    for start in range(0, rates.size, SLAB):
        part = slice(start, start + SLAB)
        drawn[part] = _drawn(rates[part], rng)
    return drawn.reshape(expected.shape)


def _drawn(rates: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw for a part that fits into the CPU's cache."""
    guide, cdf = _tables()
    row = (rates * np.float32(1 / STEP)).astype(np.int64)
    np.minimum(row, len(cdf) - 1, out=row)
    bits = rng.integers(0, 2**32, size=rates.size, dtype=np.uint32)
    first = (bits >> (32 - BIN_BITS)).astype(np.int64)
    found = guide.ravel()[(row << BIN_BITS) + first]
    numbers = (found >> 1).astype(np.int64)
    # Bins with several numbers: the position in the bin decides.
    several = np.flatnonzero(found & 1)
    place = (first[several] + rng.random(several.size)) / 2**BIN_BITS
    while several.size:
        beyond = place >= cdf[row[several], numbers[several]]
        several, place = several[beyond], place[beyond]
        numbers[several] += 1
    # The remainder's number is 0 where the place is below exp(-remainder), which is ≥ 1 - STEP.
    above = np.flatnonzero((bits & (2**STEP_BITS - 1)) == 0)
    place = 1 - STEP * rng.random(above.size)
    rest = rates[above].astype(np.float64) - STEP * row[above]
    mass = np.exp(-rest)
    reached = mass.copy()
    for number in range(1, MOST):
        beyond = place >= reached
        if not beyond.any():
            break
        numbers[above] += beyond
        mass *= rest / number
        reached += mass
    bright = np.flatnonzero(~((rates >= 0) & (rates < HIGHEST)))
    numbers[bright] = rng.poisson(rates[bright])
    return numbers
