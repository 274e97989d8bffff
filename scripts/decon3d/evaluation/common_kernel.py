"""Restorations that aim at different sharpness, compared at one: the widest target kernel.

A network that was trained on objects ⊗ Gaussian is asked for just that, Richardson-Lucy for the
object itself. Compared with the object, the former is marked down for what it was not asked for;
compared with the network's truth, the latter is. So all are blurred to the widest kernel of those
compared.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.phantoms.sections import TRUTH_SIGMA


@dataclass(frozen=True)
class Kernels:
    """Gaussians, by their σ in voxels along every axis."""

    own: float
    """What the method restores."""
    common: float
    """The widest of all methods'."""

    def applied(
        self, restored: NDArray[Any], truth: NDArray[Any], *, recipe: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Blur a restoration and its truth (Z Y X) to the common kernel.

        Variances add: each gets what it lacks. A recipe's truth may have a Gaussian in it already.
        """
        pair = []
        for image, sigma in ((restored, self.own), (truth, TRUTH_SIGMA.get(recipe, 0.0))):
            lacking = max(self.common**2 - sigma**2, 0.0) ** 0.5
            values = np.asarray(image, np.float32)
            pair.append(gaussian_filter(values, lacking, mode="nearest") if lacking else values)
        return pair[0], pair[1]
