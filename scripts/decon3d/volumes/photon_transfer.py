"""Photon transfer: a camera's gain and dark level from the noise of the images it made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.volumes.camera import CameraRecord


def measure_camera(
    sample: Sequence[NDArray[Any]], *, saturation: float | None = None
) -> CameraRecord:
    """Measure the camera in blocks of counts of one channel.

    Parameters
    ----------
    sample
        Blocks (Z Y X), in counts; NaN = no data.
    saturation
        Counts at and above which a voxel is saturated; None = no voxel is.

    Returns
    -------
    CameraRecord
        What the blocks do not tell is None there.
    """
    from decon3d.classical.photons import noise_law  # provisional

    try:
        law = noise_law(sample)
    except UserError:
        return CameraRecord(blocks=len(sample), saturation=saturation)
    known = law.gain > 0 and 1.96 * law.error < 0.5 * law.gain
    margin = 1.96 * law.error
    plateau = float(min(np.nanpercentile(block, 20) for block in sample))
    bright = [float(np.nanpercentile(block, 99.9)) - plateau for block in sample]
    return CameraRecord(
        gain=law.gain if known else None,
        gain_interval=(law.gain - margin, law.gain + margin) if known else None,
        dark_level=-law.intercept / law.gain if known else None,
        plateau=plateau,
        bright=(float(np.percentile(bright, 10)), float(np.percentile(bright, 90))),
        blocks=len(sample),
        saturation=saturation,
    )
