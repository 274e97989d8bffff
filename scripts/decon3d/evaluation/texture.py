"""ASM: the uniformity of neighbouring grey levels (Haralick et al. 1973).

Haralick, Shanmugam, Dinstein, "Textural features for image classification", IEEE Trans. Syst. Man
Cybern. 3, 610: angular second moment of the grey-level co-occurrence matrix, by scikit-image.
**Less noise raises it, and so does any blur: a flat image has 1.** Read it together with sharpness.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVELS = 64
DISTANCE = 1
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
RANGE = (0.1, 99.9)
"""Percentiles of all planes together that become the lowest and the highest level."""


def angular_second_moment(planes: Iterable[NDArray[Any]]) -> float:
    """Measure planes of one volume.

    64 levels between the 0.1st and 99.9th percentile of all planes, distance 1, four angles,
    symmetric, normed; the mean over angles and planes.

    Parameters
    ----------
    planes
        (rows, columns) each; NaN = no data: neighbours of which one is missing do not count, nor
        do planes without any data. Of no planes, the result is NaN.
    """
    images = [image for image in planes if np.isfinite(image).any()]
    if not images:
        return float("nan")
    from skimage.feature import graycomatrix, graycoprops  # here, since it takes half a second

    low, high = np.nanpercentile(np.concatenate([image.ravel() for image in images]), RANGE)
    scale = LEVELS / max(high - low, 1e-30)
    moments = []
    for image in images:
        levels = np.clip((image - low) * scale, 0, LEVELS - 1)
        levels[np.isnan(levels)] = LEVELS  # a level of their own, which is cut off
        matrix = graycomatrix(
            levels.astype(np.uint8), [DISTANCE], ANGLES, levels=LEVELS + 1, symmetric=True
        )
        moments.append(float(graycoprops(matrix[:LEVELS, :LEVELS], "ASM").mean()))  # normed
    return float(np.mean(moments))
