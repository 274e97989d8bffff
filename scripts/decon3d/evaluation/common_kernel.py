"""Compare restorations of different target sharpness at one: the widest target kernel.

The target of a network may be object ⊗ Gaussian; that of Richardson-Lucy is the object itself. A
comparison with the object would penalise the network, a comparison with the network's truth would
penalise Richardson-Lucy. So all are blurred to the widest target kernel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from decon3d.phantoms.sections import TRUTH_SIGMA


@dataclass(frozen=True)
class Kernels:
    """Gaussians, by their σ in voxels along every axis.

    Attributes
    ----------
    own
        The method's target kernel.
    common
        The widest target kernel of all methods.
    """

    own: float
    common: float

    def applied(
        self, restored: NDArray[Any], truth: NDArray[Any], *, recipe: str
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Blur a restoration and its truth (Z Y X) to the common kernel.

        Variances add, so each gets the missing blur. A recipe's truth may already include a
        Gaussian.
        """
        pair = []
        for image, sigma in ((restored, self.own), (truth, TRUTH_SIGMA.get(recipe, 0.0))):
            lacking = max(self.common**2 - sigma**2, 0.0) ** 0.5
            values = np.asarray(image, np.float32)
            pair.append(gaussian_filter(values, lacking, mode="nearest") if lacking else values)
        return pair[0], pair[1]
