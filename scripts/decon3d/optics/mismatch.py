"""Find what is wrong with a measured PSF: a wrong step, exchanged axes, a second bead.

Each explanation turns the theoretical PSF into the measured one. An explanation is strong evidence
where it fits several times better than everything that a right file may show: a bead of unknown
size, an aperture that is 10 % off, or both. Aberrations change the shape in ways that none of the
explanations reproduces, so they are not mistaken for one.

Which wrong steps can be recognised, measured at NA 1.2 (widefield and confocal): steps off by 1.5
or 2, also with a bead of up to 0.27 µm (0.4 µm: by 2 only), and steps off by 1.3 if the PSF is as
narrow as in theory. With a bead's width, 1.3 cannot be recognised: an aperture 10 % too low and a
smaller bead fit within 5 %. Nor can 0.77, which an aperture 8 % too high fits within 3 to 4 %.
Those cases only get a warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from decon3d.optics.arrays import Array, Floats, Triple, middle_part
from decon3d.optics.ball import FWHM_OF_SIGMA
from decon3d.optics.psf import fwhm_um

STRONG = 0.4
"""Misfit of an explanation, relative to the best one of a right file, below which it is strong."""
POOR = 0.05
"""Misfit of a right file (share of the light that lies elsewhere) up to which nothing is wrong."""
STEPS = np.geomspace(0.35, 3.0, 64)
"""Steps along Z, relative to the right one, that are tried."""
RIGHT_STEPS = (0.92, 1.09)
"""Steps along Z, relative to the stated one, that count as right."""
APERTURES = (1.0, 0.93, 0.965, 1.04, 1.08)
"""Relative lateral widths of right files: apertures up to 10 % from the stated one."""
AXIAL_POWER = 3.7
"""The power of the lateral width that the axial one follows when the aperture changes."""
LEAST_BEAD = 0.05
"""σ of a bead in voxels below which it changes nothing."""
_REACH = 1.4  # half-width of the compared region, in FWHM


@dataclass(frozen=True)
class Mismatch:
    """A better explanation of a measured PSF than a right file."""

    text: str
    misfit: float


def find_mismatch(
    measured: Floats,
    theory: Floats,
    *,
    voxel_size_um: Triple,
    file_voxel_size_um: Sequence[float],
) -> Mismatch | None:
    """Look for a wrong step, exchanged axes or a second bead.

    Parameters
    ----------
    measured, theory
        Axes Z Y X, odd sizes, centred, not negative, on the same voxels.
    voxel_size_um
        Their voxel size (Z, Y, X), in µm.
    file_voxel_size_um
        The voxel size (Z, Y, X) that the file was read with, in µm.

    Returns
    -------
    Mismatch or None
        What fits much better than a right file, with the number that would be right.
    """
    found, expected = (np.array(fwhm_um(a, voxel_size_um)) for a in (measured, theory))
    half = [
        max(int(np.ceil(_REACH * max(f, e) / v)), 2)
        for f, e, v in zip(found, expected, voxel_size_um, strict=True)
    ]
    seen = _core(np.asarray(measured, np.float64), half)
    spline = ndimage.spline_filter(np.asarray(theory, np.float64), order=3)

    def misfit(matrix: Array) -> float:
        return _misfit(seen, _seen_through(spline, matrix, half))

    kinds = _right_files(found, expected)
    tried = np.array(
        [
            [_misfit(seen, _stretched(spline, kind, step, voxel_size_um, half)) for step in STEPS]
            for kind in kinds
        ]
    )
    near = (RIGHT_STEPS[0] <= STEPS) & (RIGHT_STEPS[1] >= STEPS)
    right = float(tried[:, near].min())
    if right < POOR:
        return None
    explanations = []
    step = float(STEPS[tried[0].argmin()])  # the aperture as stated
    if not RIGHT_STEPS[0] <= step <= RIGHT_STEPS[1]:
        fits = file_voxel_size_um[0] / step
        explanations.append(
            Mismatch(
                f"it is {step:.2g} times as long along Z as in theory, with the same shape "
                f"otherwise; voxels of {fits:.3g} µm along Z instead of {file_voxel_size_um[0]:g} "
                "would match",
                float(tried.min()),
            )
        )
    for other in (1, 2):
        if file_voxel_size_um[0] == file_voxel_size_um[other] and found[0] >= found[other]:
            continue
        turned = _exchanged(other, voxel_size_um, file_voxel_size_um)
        sizes = (found * np.abs(turned.sum(axis=0))) / expected  # along the theory's axes
        width = float(np.median([*sizes[1:], 1.0]))
        explanations.append(
            Mismatch(
                f"it matches theory with Z and {'ZYX'[other]} exchanged, so the file's axes are "
                "not in the order Z Y X; save it as Z Y X",
                min(
                    misfit(np.diag([1, 1 / w, 1 / w]) @ turned)
                    for w in {1.0, width, float(sizes[1:].min())}
                ),
            )
        )
    explanations.append(_second_bead(seen, spline, half))
    likely = min(explanations, key=lambda e: e.misfit)
    return likely if likely.misfit < STRONG * right else None


def _right_files(found: Array, expected: Array) -> list[tuple[Array, float]]:
    """List what a right file may show: relative widths (Z, Y, X), and σ of a bead in µm.

    The first has the stated aperture. An aperture 10 % too low widens a PSF laterally by 8 % and
    axially by 33 %. A bead, here a Gaussian, adds what is left of the lateral width. The last one
    has exactly the widths along Y and X, which astigmatism and other voxels change.
    """
    lateral = float(np.sqrt((found / expected)[1:].prod()))
    kinds = []
    for wide in APERTURES:
        if wide <= max(lateral + 0.01, 1.0):
            left = found[1] * found[2] - wide**2 * expected[1] * expected[2]
            widths = np.array([wide**AXIAL_POWER, wide, wide])
            kinds.append((widths, float(np.sqrt(max(left, 0.0))) / FWHM_OF_SIGMA))
    kinds.append((np.array([lateral**0.3, *(found / expected)[1:]]), 0.0))
    return kinds


def _stretched(
    spline: Array, kind: tuple[Array, float], step: float, voxel: Triple, half: list[int]
) -> Array:
    """Stretch the theory and its bead along Z by a relative step."""
    widths, sigma = kind
    along = np.array([step, 1.0, 1.0])
    if sigma < LEAST_BEAD * voxel[1]:
        return _seen_through(spline, np.diag(1 / (widths * along)), half)
    sigmas = sigma * along / voxel
    wider = [h + int(np.ceil(3 * s)) for h, s in zip(half, sigmas, strict=True)]
    seen = _seen_through(spline, np.diag(1 / (widths * along)), wider)
    return _core(ndimage.gaussian_filter(seen, sigmas, truncate=3), half)


def _exchanged(other: int, voxel: Triple, file_voxel: Sequence[float]) -> Array:
    """Matrix from places in the measured PSF to those in the theory, in voxels.

    A file's index along an axis stands; only its voxel size was the other axis's.
    """
    axes = [other if a == 0 else 0 if a == other else a for a in range(3)]
    matrix = np.zeros((3, 3))
    for axis, true in enumerate(axes):
        matrix[true, axis] = voxel[axis] / file_voxel[axis] * file_voxel[true] / voxel[true]
    return matrix


def _core(data: Array, half: list[int]) -> Array:
    """Cut out 2 half + 1 voxels around the middle, 0 beyond the data, sum 1."""
    core = middle_part(data, half)
    return core / core.sum()


def _seen_through(
    spline: Array, matrix: Array, half: list[int], shift: Array | None = None
) -> Array:
    """Evaluate the theory at matrix · (place - shift) for all places of the core."""
    middle = np.array([n // 2 for n in spline.shape], float)
    start = -np.array(half, float) - (0 if shift is None else shift)
    return np.clip(
        ndimage.affine_transform(
            spline,
            matrix,
            offset=middle + matrix @ start,
            output_shape=tuple(2 * h + 1 for h in half),
            order=3,
            prefilter=False,
        ),
        0,
        None,
    )


def _misfit(seen: Array, model: Array) -> float:
    total = model.sum()
    return float(np.abs(seen - model / total).sum() / 2) if total > 0 else 1.0


def _second_bead(seen: Array, spline: Array, half: list[int]) -> Mismatch:
    """Fit two PSFs of one width, with their places and heights."""
    top = seen.max()
    step = max(spline.max(), 1e-12)

    def model(p: Array) -> Array:
        matrix = np.diag([1, 1 / p[8], 1 / p[8]])
        first, second = (
            _seen_through(spline, matrix, half, shift) / step for shift in (p[2:5], p[5:8])
        )
        return p[0] * first + p[1] * second

    start_one = np.zeros(3)
    alone = _seen_through(spline, np.eye(3), half) / step
    left = ndimage.gaussian_filter(seen / top - alone, 0.7)
    place = np.array(np.unravel_index(int(left.argmax()), left.shape), float) - half
    from scipy.optimize import least_squares  # slow to import

    fit = least_squares(
        lambda p: (model(p) - seen / top).ravel(),
        [0.9, 0.4, *start_one, *place, 1.0],
        bounds=(
            [0, 0, *(-np.array(half, float)), *(-np.array(half, float)), 0.9],
            [2, 2, *half, *half, 1.5],
        ),
        diff_step=1e-3,
        max_nfev=40,
    )
    heights = fit.x[:2]
    apart = fit.x[5:8] - fit.x[2:5]
    share = float(heights.min() / heights.max()) if heights.max() > 0 else 0.0
    listed = ", ".join(f"{d:+.1f}" for d in (apart if heights[0] >= heights[1] else -apart))
    misfit = _misfit(seen, model(fit.x)) if share > 0.05 else 1.0
    return Mismatch(
        f"two PSFs fit it, so two beads touch: the second has {share:.0%} of the first one's "
        f"height and lies [{listed}] voxels of the image (Z, Y, X) away; choose another bead",
        misfit,
    )
