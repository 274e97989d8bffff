"""ASM: the evenness of neighbouring grey levels (Haralick et al. 1973).

Haralick, Shanmugam, Dinstein, "Textural features for image classification", IEEE Trans. Syst. Man
Cybern. 3, 610: angular second moment of the grey-level co-occurrence matrix, by scikit-image.
**Less noise raises it, and so does any blur: a flat image scores 1.** Read it beside sharpness.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops

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
        (rows, columns) each; NaN (no data) becomes the lowest level. Of no planes, the result is
        NaN.
    """
    images = list(planes)
    if not images:
        return float("nan")
    low, high = np.nanpercentile(np.concatenate([image.ravel() for image in images]), RANGE)
    scale = LEVELS / max(high - low, 1e-30)
    moments = []
    for image in images:
        levels = np.clip((np.nan_to_num(image, nan=low) - low) * scale, 0, LEVELS - 1)
        matrix = graycomatrix(
            levels.astype(np.uint8), [DISTANCE], ANGLES, levels=LEVELS, symmetric=True, normed=True
        )
        moments.append(float(graycoprops(matrix, "ASM").mean()))
    return float(np.mean(moments))
