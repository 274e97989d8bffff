"""What a network looks at: the image, and estimates of the object that are made from it.

One function for training, validation and restoration.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from decon3d.volumes.no_data import filled
from decon3d.volumes.normalisation import Normalisation


class MakesEstimates(Protocol):
    """The signature of a `classical.estimates.Estimator`, and of one that keeps its results."""

    @property
    def count(self) -> int:
        """Number of estimates."""

    def __call__(
        self,
        block: NDArray[Any],
        *,
        origin: tuple[int, int, int] = (0, 0, 0),
        out: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Estimate a block of counts (Z, Y, X); returns (estimates, Z, Y, X), float32, counts."""


def network_input(
    counts: NDArray[Any],
    *,
    law: Normalisation,
    estimator: MakesEstimates | None = None,
    origin: tuple[int, int, int] = (0, 0, 0),
    background: float | None = None,
) -> NDArray[np.float32]:
    """Make a network's input of an image or block of counts.

    Parameters
    ----------
    counts
        (Z, Y, X), any real dtype, background included; NaN = no data.
    law
        Maps counts to network units; the same for image and estimates.
    estimator
        Makes the estimates, if the network wants any.
    origin
        The block's first voxel in the volume (Z, Y, X).
    background
        Counts that voxels without data get in the image; None = the law's offset.

    Returns
    -------
    array (channels, Z, Y, X), float32
        In network units: the image, then the estimates in their order.
    """
    image = law.apply(filled(counts, law.offset if background is None else background))
    if estimator is None:
        return image[None]
    channels = np.empty((1 + estimator.count, *image.shape), np.float32)
    channels[0] = image
    del image  # the estimates need the memory
    estimates = estimator(counts, origin=origin, out=channels[1:])
    estimates -= np.float32(law.offset)
    estimates /= np.float32(law.scale)
    return channels
