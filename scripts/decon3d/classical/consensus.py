"""Richardson-Lucy with gradient consensus (RLGC): every voxel stops when only noise moves it.

The image's photons are shared between two halves (`photons`). Both ask for a change of the
estimate; where they agree, it is structure, where they disagree, it is noise:

    uᵢ = W Hᵀ(2 gᵢ / (Hp + b)),    c = HᵀH((u₁ - 1)(u₂ - 1)),

and a voxel moves only where the consensus c is positive (York et al., "Richardson-Lucy gradient
consensus", 2023). Once the estimate fits the noise of the whole image, the halves pull in
opposite directions everywhere, so that the share of voxels that still move tends to 0.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.classical.operators import Blur
from decon3d.classical.photons import PhotonScale, split_photons
from decon3d.classical.richardson_lucy import (
    FLOOR,
    Acceleration,
    FloatArray,
    Start,
    first_estimate,
    observe,
)
from decon3d.classical.total_variation import tv_denominator

STILL = 0.01
"""Share of moving voxels below which the estimate stands."""
STEP = 1e-2
"""Smallest step that counts as moving, relative to the estimate or its mean: dark voxels go on
towards 0 in agreement for ever."""


def iterate_consensus(
    image: NDArray[np.generic],
    *,
    model: Blur,
    background: float,
    initial: float,
    scale: PhotonScale,
    seed: int,
    origin: tuple[int, int, int] = (0, 0, 0),
    tv_weight: float = 0.0,
    voxel_size_um: Sequence[float] = (1.0, 1.0, 1.0),
    acceleration: Acceleration = "heavy_ball",
    start: Start = "even",
    saturation: float | None = None,
) -> Iterator[tuple[int, FloatArray, Any]]:
    """Iterate without end; yield (iteration from 1, estimate, share of voxels that moved).

    Estimate and share (a scalar) are on the model's device: `float(share)` waits for a GPU.

    Parameters
    ----------
    image, model, background, initial, tv_weight, voxel_size_um, acceleration, start, saturation
        As for `richardson_lucy`.
    scale
        The camera's: which counts are one photon.
    seed
        Of the split into halves.
    origin
        The block's first voxel in the volume (Z, Y, X): overlapping blocks get the same halves.

    Raises
    ------
    UserError
        As `richardson_lucy` does.
    """
    observed = observe(image, background=background, initial=initial, saturation=saturation)
    counts, seen = observed.counts, observed.seen
    halves = [
        np.maximum(half, 0) for half in split_photons(counts, scale=scale, origin=origin, seed=seed)
    ]
    if seen is not None:
        for half in halves:
            half *= seen
    put = model.device.put
    weights = model.weights_for(seen)
    x = first_estimate(
        observed, model, weights, start=start, background=background, initial=initial
    )
    return _iterations(
        [put(half) for half in halves],
        model,
        weights,
        x,
        put(seen),
        np.float32(background),
        np.float32(initial),
        tv_weight,
        voxel_size_um,
        acceleration == "heavy_ball",
        put(observed.full),
    )


def _iterations(
    halves: list[FloatArray],
    model: Blur,
    weights: FloatArray,
    x: FloatArray,
    seen: FloatArray | None,
    background: np.float32,
    initial: np.float32,
    tv_weight: float,
    voxel_size_um: Sequence[float],
    momentum: bool,
    full: NDArray[np.bool_] | None,
) -> Iterator[tuple[int, FloatArray, Any]]:
    floor = np.float32(FLOOR) * initial
    before = x
    for k in count(1):
        point = x
        if momentum:
            point = np.maximum(x + np.float32((k - 1) / (k + 2)) * (x - before), floor)
        expected = model.forward(point)
        expected += background
        np.maximum(expected, floor, out=expected)
        asked = []
        for half in halves:
            ratio = np.float32(2) * half / expected
            if full is not None:
                np.maximum(ratio, full, out=ratio)  # at least 1 where it is true
            u = model.adjoint(ratio)
            np.maximum(u, 0, out=u)
            u *= weights
            asked.append(u)
        product = (asked[0] - 1) * (asked[1] - 1)
        product[weights == 0] = 0
        agreed = model.forward(product)
        if seen is not None:
            agreed *= seen
        moves = model.adjoint(agreed) > 0
        asked[0] += asked[1]
        asked[0] *= np.float32(0.5)
        asked[0] *= point
        if tv_weight:
            asked[0] /= tv_denominator(
                point, weight=tv_weight, voxel_size_um=voxel_size_um, slabs=model.slabs
            )
        before, x = x, np.where(moves, asked[0], x)
        step = np.abs(x - before)[model.inside]
        moved = step > STEP * np.maximum(before[model.inside], initial)
        yield k, x[model.inside], np.mean(moved)
