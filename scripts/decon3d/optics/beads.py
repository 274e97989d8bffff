"""From a stack of beads to a PSF, and to the pair (measured bead, ideal bead).

m = b ⊗ h: a bead's image m is the bead b, a ball of known diameter, seen through the PSF h. For
the PSF the ball is deconvolved out. The pair keeps it: for any structure S, S ⊗ m and S ⊗ b are a
blurred and a clean image under the measured PSF, without any estimate of h.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.optics.arrays import Array, Shape, Triple, triple
from decon3d.optics.ball import FWHM_OF_SIGMA, ITERATIONS, SIEVE, ideal_ball, without_ball
from decon3d.optics.bead import isolate_bead, outer_shell
from decon3d.optics.bead_average import (
    Average,
    average_beads,
    centred_crop,
    correlations,
    faces,
    plane_background,
)
from decon3d.optics.bead_detection import Candidate, find_candidates, median_fwhm_um
from decon3d.optics.bead_field import asymmetry, field_variation, uneven_field
from decon3d.optics.bead_file import describe_file, read_bead_file
from decon3d.optics.bead_rejection import Rejection, reject_by_place, reject_odd
from decon3d.optics.chromatic import Shift, shift_between
from decon3d.optics.modalities import MODALITIES
from decon3d.optics.pedestal import Expected, theory_on_grid
from decon3d.optics.psf import Companion, Psf, fwhm_um, normalised_psf
from decon3d.optics.resampling import (
    core_centroid,
    crop_box,
    resample,
)
from decon3d.optics.sections import ModalityName
from decon3d.optics.tails import SUPPORT_RULE, weight_on_grid, with_tails
from decon3d.volumes.reader import FROM_FILE, Reading

log = logging.getLogger(__name__)

FEW = 5
"""Beads below which a warning is written."""
LARGE = 1.0
"""Bead diameter over the lateral FWHM of its image from which the PSF rests on the diameter."""
MOST_PICTURED = 12
"""Used beads, and rejected ones, whose crops are stored to be looked at."""


def psf_from_beads(
    path: str | Path,
    *,
    bead_diameter_um: float,
    target_voxel_size_um: Triple,
    expected_fwhm_um: Triple,
    voxel_size_um: Triple | None = None,
    channel: int = 0,
    modality: ModalityName = "confocal",
    half_width_um: Triple | None = None,
    plane_tolerance_um: float | None = None,
    expected: Expected | None = None,
    key: str = "psf",
    reading: Reading = FROM_FILE,
) -> Psf:
    """Make a PSF and the pair from a stack of beads.

    Parameters
    ----------
    path
        TIFF, OME-TIFF or OME-Zarr; its first time point is used.
    bead_diameter_um
        The beads' diameter, in µm.
    target_voxel_size_um
        Voxel size of the image to restore (Z, Y, X), in µm.
    expected_fwhm_um
        Widths of the PSF by theory (Z, Y, X), in µm; a factor of two off still works.
    voxel_size_um
        Voxel size of the stack (Z, Y, X), in µm; None = from its metadata.
    channel
        Position on the stack's channel axis.
    modality
        Of the microscope; it sets the size of the crops and whether their outermost voxels are
        dark.
    half_width_um
        Half size of the crops (Z, Y, X), in µm; None = by the modality.
    plane_tolerance_um
        Beads farther than this from the median bead along Z are rejected; None = none.
    expected
        Theory's PSF on the target's voxels, which continues the measured one where the crops end
        or sink into noise; None = nothing continues it.
    key
        Config key of the PSF, for messages.
    reading
        Which image of the file, and its axes.

    Returns
    -------
    Psf
        On the target grid. Its record lists every bead with position and reason, widths, noise
        left; its companions are `bead_measured` and `bead_ideal` (the pair: float32, axes Z Y X,
        one odd shape, sum 1) and `beads` (crops on the stack's grid, in counts).

    Raises
    ------
    UserError
        If the stack cannot be read, has no such channel or no known voxel size, holds no bead, or
        none that is good.
    """
    where = f"{key}.path ({path})"
    kind = MODALITIES[modality]
    stack, voxel, odd = _read(
        path, voxel_size_um=voxel_size_um, channel=channel, key=key, reading=reading
    )
    ball_fwhm = FWHM_OF_SIGMA * bead_diameter_um / np.sqrt(20)  # of the Gaussian of its variance
    spot = triple(np.hypot(f, ball_fwhm) for f in expected_fwhm_um)
    values = stack.astype(np.float32)
    candidates = find_candidates(values, voxel_size_um=voxel, expected_fwhm_um=spot)
    typical = median_fwhm_um(candidates)
    if typical is None:
        raise UserError(
            f"{where}: no bead is above the noise; spots of "
            f"{' × '.join(f'{f:.2g}' for f in spot)} µm (FWHM Z, Y, X) are expected; check "
            f"{key}.voxel_size_um, {key}.channel and the optics"
        )
    reach = half_width_um or tuple(kind.bead_reach * f for f in typical)
    half = _half_width(reach, voxel)
    verdicts, crops, noise = _judge(
        stack,
        values,
        candidates,
        voxel=voxel,
        typical=typical,
        half=half,
        local_background=kind.sectioning,
        plane_tolerance_um=plane_tolerance_um,
    )
    used = [i for i, verdict in enumerate(verdicts) if verdict is None]
    reasons = Counter(v.kind for v in verdicts if v)
    if not used:
        listed = ", ".join(f"{n} {kind.replace('_', ' ')}" for kind, n in reasons.most_common())
        worst = next(v.reason for v in verdicts if v)
        free = " × ".join(f"{h * v:.2g}" for h, v in zip(half, voxel, strict=True))
        raise UserError(
            f"{where}: none of {len(candidates)} beads can be used ({listed}); the brightest: "
            f"{worst}; a bead needs a free space of ±{free} µm (Z, Y, X); {key}.half_width_um can "
            "reduce it"
        )
    mean = average_beads(
        [crops[i] for i in used], [candidates[i].height for i in used], noise=noise
    )
    raised = _with_own_tail(mean.data, voxel, expected, widefield=not kind.sectioning)
    isolated = isolate_bead(
        raised,
        where=f"{where}, mean of {len(used)} beads",
        dark=outer_shell(raised.shape) if kind.sectioning else None,
        everywhere=not kind.sectioning,
    )
    bead = isolated.data
    sharp = without_ball(bead, diameter_um=bead_diameter_um, voxel_size_um=voxel)
    centre = core_centroid(sharp.data)
    grids = [_on_grid(data, voxel, target_voxel_size_um, centre) for data in (sharp.data, bead)]
    weight = weight_on_grid(
        isolated.weight,
        voxel_size_um=voxel,
        target_voxel_size_um=target_voxel_size_um,
        centre=centre,
    )
    theory = np.zeros((1, 1, 1)) if expected is None else expected.data
    psf, shares = with_tails(grids[0], weight, theory)
    measured = grids[1][crop_box(grids[1])]
    ideal = ideal_ball(
        diameter_um=bead_diameter_um,
        voxel_size_um=target_voxel_size_um,
        shape=(measured.shape[0], measured.shape[1], measured.shape[2]),
        averaged_over_um=triple(map(max, voxel, target_voxel_size_um)),
    )
    width = fwhm_um(bead, voxel)
    field = field_variation([candidates[i] for i in used], stack.shape)
    warnings = [
        *odd,
        *uneven_field(field),
        *isolated.record["warnings"],
        *_warnings(len(used), mean, bead_diameter_um, width),
    ]
    for text in warnings:
        log.warning("%s: %s", where, text)
    rejected = [i for i, verdict in enumerate(verdicts) if verdict is not None]
    pictured = used[:MOST_PICTURED] + rejected[:MOST_PICTURED]
    record = {
        "source": "beads",
        "method": "beads of a stack: found, judged, centred, averaged, isolated (voxels below 5 "
        "standard deviations of the noise fade into the image smoothed by one voxel, dark beyond "
        "the bead's support), the ball deconvolved out (non-negative least squares "
        "with a Gaussian sieve), resampled, continued by theory, "
        "cropped (decon3d.optics.beads)",
        "file": describe_file(path, stack, voxel, channel=channel),
        "beads": {
            "diameter_um": bead_diameter_um,
            "found": len(candidates),
            "used": len(used),
            "rejected": dict(reasons),
            "half_width_voxels": list(half),
            "fwhm_um": [round(f, 5) for f in width],
            "fwhm_um_how": "of the averaged bead, profiles through its peak",
            "fwhm_spread_um": [
                round(float(s), 5)
                for s in np.std([candidates[i].fwhm_um or () for i in used], axis=0)
            ],
            "over_the_field": field,
            "pictured": pictured,
        },
        "noise_left": {
            "of_peak": round(mean.noise, 6),
            "half_split_of_peak": mean.half_split and round(mean.half_split, 6),
            "outlier_voxels_replaced": round(mean.outliers, 6),
            "one_voxel_counts": round(noise, 4),
        },
        "ball_removed": {
            "iterations": ITERATIONS,
            "sieve_of_width": SIEVE,
            "misfit_of_peak": round(sharp.misfit, 6),
        },
        "pair": {
            "measured": "bead_measured.tif",
            "ideal": "bead_ideal.tif",
            "shape": list(measured.shape),
            "beads_averaged": len(used),
            "noise_of_peak": round(mean.noise, 6),
        },
        "asymmetry": asymmetry(psf, target_voxel_size_um),
        "centring": "centroid of the PSF's core (what exceeds half of the maximum); the pair's "
        "measured bead is laid on the same point",
        "support": {
            "rule": SUPPORT_RULE,
            **shares,
        },
        "warnings": warnings,
        "candidates": [
            _candidate_record(c, v, voxel) for c, v in zip(candidates, verdicts, strict=True)
        ],
    }
    result = normalised_psf(psf, target_voxel_size_um, record)
    companions = {
        "bead_measured": Companion(_unit(measured), result.voxel_size_um),
        "bead_ideal": Companion(_unit(ideal), result.voxel_size_um),
        "beads": Companion(np.stack([crops[i] for i in pictured]).astype(np.float32), voxel),
    }
    return Psf(result.data, result.voxel_size_um, record, companions)


def shift_against(
    psf: Psf,
    path: str | Path,
    *,
    reference_channel: int,
    voxel_size_um: Triple | None = None,
    key: str = "psf",
    reading: Reading = FROM_FILE,
) -> Shift | None:
    """Measure the shift of the beads of a PSF against another channel of their stack.

    Parameters
    ----------
    psf
        From `psf_from_beads`.
    path, voxel_size_um, key, reading
        As for `psf_from_beads`.
    reference_channel
        Position of the other channel on the stack's channel axis.

    Returns
    -------
    Shift or None
        None where no bead shines in both.
    """
    stack, voxel, _ = _read(
        path, voxel_size_um=voxel_size_um, channel=reference_channel, key=key, reading=reading
    )
    fwhm = triple(psf.record["beads"]["fwhm_um"])
    found = find_candidates(stack.astype(np.float32), voxel_size_um=voxel, expected_fwhm_um=fwhm)
    own = [c["position_um"] for c in psf.record["candidates"] if c["used"]]
    reference = [np.multiply(c.position, voxel) for c in found if c.fwhm_um is not None]
    return shift_between(np.array(reference), np.array(own), fwhm_um=fwhm)


def _read(
    path: str | Path, *, voxel_size_um: Triple | None, channel: int, key: str, reading: Reading
) -> tuple[NDArray[Any], Triple, list[str]]:
    stack, voxel, warnings = read_bead_file(
        path, channel=channel, voxel_size_um=voxel_size_um, key=key, reading=reading
    )
    if not np.isfinite(stack).all():
        raise UserError(f"{key}.path ({path}): it contains NaN or infinite values; export it again")
    if stack.min() == stack.max():
        raise UserError(f"{key}.path ({path}): all voxels are {stack.flat[0]:g}; there is no bead")
    return stack, voxel, warnings


def _half_width(reach_um: Sequence[float], voxel: Triple) -> Shape:
    z, y, x = (max(int(np.ceil(r / v)), 3) for r, v in zip(reach_um, voxel, strict=True))
    return z, y, x


def _judge(
    stack: NDArray[Any],
    values: NDArray[np.float32],
    candidates: list[Candidate],
    *,
    voxel: Triple,
    typical: Triple,
    half: Shape,
    local_background: bool,
    plane_tolerance_um: float | None,
) -> tuple[list[Rejection | None], list[Array], float]:
    """Judge all candidates and cut them out.

    Returns
    -------
    verdicts, crops, noise
        Why each candidate is rejected (None = it is good), its image in counts (Z Y X), and the
        noise of a voxel, in counts.
    """
    verdicts = reject_by_place(
        candidates,
        stack=stack,
        voxel_size_um=voxel,
        fwhm_um=typical,
        half_width=half,
        plane_tolerance_um=plane_tolerance_um,
    )
    background, noise = plane_background(values, candidates, half)
    crops = [
        centred_crop(
            values, c, background=background, half_width=half, local_background=local_background
        )
        for c in candidates
    ]
    good = [i for i, verdict in enumerate(verdicts) if verdict is None]
    if len(good) >= 3:  # of two, either may be the odd one
        widths = np.median([candidates[i].fwhm_um for i in good], axis=0)
        alike = correlations([crops[i] for i in good], triple(np.divide(widths, voxel)))
        for i, correlation in zip(good, alike, strict=True):
            verdicts[i] = reject_odd(
                candidates[i], median_fwhm_um=triple(widths), correlation=correlation
            )
    return verdicts, crops, noise


def _warnings(used: int, mean: Average, diameter_um: float, width_um: Triple) -> list[str]:
    found = []
    if used < FEW:
        averaged = f"{used} beads were" if used > 1 else "1 bead was"
        found.append(
            f"only {averaged} averaged: the PSF and the pair have noise of {mean.noise:.2%} of the "
            "peak; record more beads"
        )
    if diameter_um > LARGE * min(width_um[1:]):
        found.append(
            f"beads of {diameter_um:g} µm are larger than the width of their image "
            f"({min(width_um[1:]):.3g} µm), so the PSF depends on their exact diameter; use "
            "smaller beads"
        )
    return found


def _on_grid(data: Array, voxel: Triple, target: Triple, centre: Triple) -> Array:
    laid = resample(data, voxel_size_um=voxel, target_voxel_size_um=target, centre=centre)
    return np.clip(laid, 0, None)  # the spline may undershoot beside steep edges


def _with_own_tail(
    mean: Array, voxel: Triple, expected: Expected | None, *, widefield: bool
) -> Array:
    """Give back the bead's own light that was taken off with the background.

    The background was measured where the bead's tails and its neighbours' haze reach: at the
    crop's faces, or (widefield) plane by plane. A, the scale of theory, follows from the light
    above the level at the border; then the border is lifted to A · theory's level there.
    """
    if expected is None:
        return mean
    light = theory_on_grid(expected, voxel, mean.shape, tuple(n // 2 for n in mean.shape))
    if widefield:
        ring = faces(mean.shape)[mean.shape[0] // 2]
        seen, tail = (a[:, ring].mean(axis=1)[:, None, None] for a in (mean, light))
    else:
        seen, tail = np.zeros((1, 1, 1)), light[faces(mean.shape)].mean().reshape(1, 1, 1)
    scale = (mean - seen).sum() / (light - tail).sum()
    return mean - seen + scale * tail


def _candidate_record(
    candidate: Candidate, verdict: Rejection | None, voxel: Triple
) -> dict[str, Any]:
    ratio = candidate.signal_to_noise
    return {
        "voxel": [round(c, 3) for c in candidate.position],
        "position_um": [round(c * v, 4) for c, v in zip(candidate.position, voxel, strict=True)],
        "used": verdict is None,
        "kind": verdict and verdict.kind,
        "reason": verdict and verdict.reason,
        "counts": round(candidate.height, 3),
        "signal_to_noise": round(ratio, 1) if np.isfinite(ratio) else None,
        "fwhm_um": candidate.fwhm_um and [round(f, 4) for f in candidate.fwhm_um],
    }


def _unit(data: Array) -> NDArray[np.float32]:
    return (data / data.sum()).astype(np.float32)
