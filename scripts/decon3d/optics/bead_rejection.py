"""Which beads are good for a PSF, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from decon3d.optics.arrays import Shape, Triple
from decon3d.optics.bead_detection import Candidate

Kind = Literal[
    "duplicate", "minor", "clipped", "dim", "saturated", "overlapping", "off_plane", "odd"
]

DUPLICATE = 0.75
"""Distance in FWHM below which two maxima are one bead."""
MINOR = 0.1
"""Height, relative to a neighbour, below which a maximum may be a ring of the neighbour."""
MINOR_ON_AXIS = 0.5
"""The same above or below the neighbour, where aberrations make high side lobes."""
DIM = 20.0
"""Signal to noise from which on a bead's centre is known to about a tenth of a voxel."""
CLEARANCE = 1.0
"""FWHM by which a neighbour's centre must lie beyond the crop around a bead."""
SAME_WIDTH = 0.25
"""Largest relative difference of a bead's width from the median bead's."""
SAME_SHAPE = 0.9
"""Smallest correlation of a bead with the median bead."""
_PLATEAU = 0.03  # share of the voxels above half height that may hold the largest value


@dataclass(frozen=True)
class Rejection:
    """Why a bead is not used."""

    kind: Kind
    reason: str


def reject_by_place(
    candidates: Sequence[Candidate],
    *,
    stack: NDArray[Any],
    voxel_size_um: Triple,
    fwhm_um: Triple,
    half_width: Shape,
    plane_tolerance_um: float | None,
) -> list[Rejection | None]:
    """Judge each candidate by itself and by its neighbours.

    Parameters
    ----------
    candidates
        The brightest first.
    stack
        Counts as recorded, axes Z Y X; their type defines where they saturate.
    voxel_size_um, fwhm_um
        Voxel size and typical width of a bead's image (Z, Y, X), in µm.
    half_width
        Voxels (Z, Y, X) of a crop beyond its middle voxel.
    plane_tolerance_um
        Largest distance from the median bead along Z, in µm; None = any.

    Returns
    -------
    list
        For each candidate the first reason that applies, or None: the bead is good so far.
    """
    found: list[Rejection | None] = [
        _copy_of(candidates[:i], c, voxel_size_um, fwhm_um) for i, c in enumerate(candidates)
    ]
    beads = [c for c, verdict in zip(candidates, found, strict=True) if verdict is None]
    planes = [c.position[0] for c in beads]
    middle = float(np.median(planes)) if planes else 0.0
    for i, c in enumerate(candidates):
        found[i] = (
            found[i]
            or _clipped(c, stack.shape, half_width)
            or _dim(c)
            or _saturated(c, stack, half_width)
            or _overlapping(c, beads, voxel_size_um, fwhm_um, half_width)
            or _off_plane(c, middle, voxel_size_um[0], plane_tolerance_um)
            or _unfitted(c)
        )
    return found


def reject_odd(
    candidate: Candidate, *, median_fwhm_um: Triple, correlation: float
) -> Rejection | None:
    """Judge a bead against the median bead: its widths (Z, Y, X, in µm) and its correlation."""
    assert candidate.fwhm_um is not None  # those without were rejected before
    for axis, width, usual in zip("ZYX", candidate.fwhm_um, median_fwhm_um, strict=True):
        if abs(width / usual - 1) > SAME_WIDTH:
            return Rejection(
                "odd", f"{width:.3g} µm wide along {axis}, where the median bead is {usual:.3g} µm"
            )
    if correlation < SAME_SHAPE:
        return Rejection("odd", f"the correlation with the median bead is only {correlation:.2f}")
    return None


def _place(candidate: Candidate) -> str:
    return "[" + ", ".join(f"{c:.1f}" for c in candidate.position) + "]"


def _copy_of(
    brighter: Sequence[Candidate], candidate: Candidate, voxel: Triple, fwhm_um: Triple
) -> Rejection | None:
    """Reject a second detection or a side maximum of a brighter bead."""
    for other in brighter:
        offset = np.subtract(candidate.position, other.position) * voxel / fwhm_um
        share = candidate.height / other.height
        if np.linalg.norm(offset) < DUPLICATE:
            return Rejection("duplicate", f"the same bead as at {_place(other)}")
        near = np.linalg.norm(offset) < 6
        on_axis = np.linalg.norm(offset[1:]) < 1
        if near and share < (MINOR_ON_AXIS if on_axis else MINOR):
            return Rejection(
                "minor",
                f"{share:.0%} of the bead at {_place(other)}: a side maximum of its image, or a "
                "faint neighbour",
            )
    return None


def _clipped(candidate: Candidate, shape: tuple[int, ...], half_width: Shape) -> Rejection | None:
    for axis, c, n, half in zip("ZYX", candidate.position, shape, half_width, strict=True):
        room = min(round(c), n - 1 - round(c))
        if room < half:
            return Rejection(
                "clipped",
                f"{max(room, 0)} voxels from the stack's face along {axis}; {half} are needed",
            )
    return None


def _dim(candidate: Candidate) -> Rejection | None:
    if candidate.signal_to_noise >= DIM:
        return None
    return Rejection(
        "dim",
        f"{candidate.signal_to_noise:.1f} standard deviations above the noise; {DIM:g} are needed",
    )


def _saturated(candidate: Candidate, stack: NDArray[Any], half_width: Shape) -> Rejection | None:
    box = tuple(
        slice(max(round(c) - h // 2, 0), round(c) + h // 2 + 1)
        for c, h in zip(candidate.position, half_width, strict=True)
    )
    core = stack[box]
    top = core.max()
    equal = int((core == top).sum())
    integer = np.issubdtype(stack.dtype, np.integer)
    if integer and top == np.iinfo(stack.dtype).max:
        return Rejection("saturated", f"{equal} voxels have the largest possible count, {top}")
    # Floating-point values repeat where an image was computed: up to 8 times, by symmetry.
    above_half = int((core > top - candidate.height / 2).sum())
    if equal > max(3 if integer else 8, _PLATEAU * above_half):
        return Rejection("saturated", f"{equal} voxels have the largest value, {top:g}")
    return None


def _overlapping(
    candidate: Candidate,
    beads: Sequence[Candidate],
    voxel: Triple,
    fwhm_um: Triple,
    half_width: Shape,
) -> Rejection | None:
    needed = np.array(half_width) + CLEARANCE * np.divide(fwhm_um, voxel)
    for other in beads:
        apart = np.abs(np.subtract(other.position, candidate.position))
        bright_enough = other.height >= MINOR * candidate.height
        if other is not candidate and bright_enough and (apart < needed).all():
            return Rejection(
                "overlapping",
                f"{np.linalg.norm(apart * voxel):.2f} µm from the bead at {_place(other)}",
            )
    return None


def _off_plane(
    candidate: Candidate, middle: float, step_um: float, tolerance_um: float | None
) -> Rejection | None:
    apart = abs(candidate.position[0] - middle) * step_um
    if tolerance_um is None or apart <= tolerance_um:
        return None
    return Rejection(
        "off_plane",
        f"{apart:.2f} µm from the median bead along Z; plane_tolerance_um is {tolerance_um:g}",
    )


def _unfitted(candidate: Candidate) -> Rejection | None:
    return None if candidate.fwhm_um else Rejection("odd", "no Gaussian fits it")
