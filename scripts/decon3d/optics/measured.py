"""From the image of a bead in a file to a PSF on the image's voxel grid.

First the camera's pedestal is removed, then everything but the one bead. The record states what was
removed; a file that cannot be corrected is refused with the reason.
"""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np

from decon3d.errors import UserError
from decon3d.optics.arrays import Array, Triple
from decon3d.optics.bead import isolate_bead
from decon3d.optics.bead_file import describe_file, read_bead_file
from decon3d.optics.pedestal import Expected, Pedestal, find_pedestal, odd_planes
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.resampling import core_centroid, resample
from decon3d.optics.tails import (
    LARGEST_CUT,
    LARGEST_TAIL,
    SUPPORT_RULE,
    cut_of_cone,
    weight_on_grid,
    with_tails,
)
from decon3d.volumes.reader import FROM_FILE, Reading

log = logging.getLogger(__name__)

LARGEST_PEDESTAL = 0.5
"""Share of a file's sum that may be removed as pedestal without being confirmed."""
WRAPPED = 0.1
"""Height at the opposite face, relative to a peak at a face, of a PSF in the FFT's order."""
LARGEST_ELONGATION = 1.5
"""A bead that much longer along Y or X than along Z lies in a transposed file."""


def psf_from_file(
    path: str | Path,
    *,
    voxel_size_um: Triple | None = None,
    target_voxel_size_um: Triple,
    expected: Expected | None = None,
    pedestal: Literal["auto", "none"] | float = "auto",
    accept_pedestal: bool = False,
    accept_mismatch: bool = False,
    key: str = "psf",
    reading: Reading = FROM_FILE,
) -> Psf:
    """Make a PSF from the image of one bead.

    Parameters
    ----------
    path
        TIFF, OME-TIFF or ImageJ TIFF with the axes Z Y X.
    voxel_size_um
        Voxel size of the file (Z, Y, X), in µm; None = from its metadata.
    target_voxel_size_um
        Voxel size of the image to restore (Z, Y, X), in µm.
    expected
        Theory's PSF on the target's voxels: it shows where the file is dark, and continues the
        measurement where that ends. None = the outer eighth of the file is dark, and nothing
        continues.
    pedestal
        "auto" measures it in the dark places; "none" and a number of counts set it.
    accept_pedestal
        Confirms that more than half of the file's sum may be removed as a measured pedestal.
    accept_mismatch
        Confirms that the bead may be longest along Y or X.
    key
        Config key of the PSF, for messages.
    reading
        Which image of the file, and its axes.

    Returns
    -------
    Psf
        Its record states the pedestal and the share of the sum removed, the noise, the bead's
        place, other beads, the shift, the support, the share of the light from theory and the
        widths before and after.

    Raises
    ------
    UserError
        If the file is missing, unreadable, not 3D, empty (NaN, 0, constant), has no known voxel
        size, is mostly pedestal without `accept_pedestal`, has deep negative lobes, or holds no
        bead, a bead at its edge, two beads too close, or one that lies along Y or X.
    """
    counts, voxel, odd = read_bead_file(path, voxel_size_um=voxel_size_um, key=key, reading=reading)
    where = f"{key}.path ({path})"
    data, missing = _without_nan(counts.astype(np.float64), where)
    _refuse_corner(data, where)
    level = find_pedestal(data, voxel_size_um=voxel, expected=expected, given=pedestal)
    share = _pedestal_share(data, level.counts)
    if share > LARGEST_PEDESTAL and pedestal == "auto" and not accept_pedestal:
        raise UserError(
            f"{where}: {share:.1%} of the file's sum is a pedestal of {level.counts:g} counts "
            "(camera offset or background); if this is right, confirm it with "
            f"{key}.accept_pedestal: true, else set {key}.pedestal: none"
        )
    widefield = expected is not None and not expected.sectioning
    found = isolate_bead(
        data - level.counts,
        where=where,
        dark=level.dark,
        everywhere=widefield,
    )
    warnings = [*odd, *found.record["warnings"], *level.warnings, *_negative(level, found.record)]
    if expected is not None and level.light is not None:
        warnings += odd_planes(
            found.data, found.weight, level.light, sectioning=expected.sectioning
        )
    measured = fwhm_um(found.data, voxel)
    if not accept_mismatch:
        _refuse_transposed(measured, where, key)
    centre = core_centroid(found.data)
    grids = {"voxel_size_um": voxel, "target_voxel_size_um": target_voxel_size_um, "centre": centre}
    # the spline may undershoot beside steep edges
    grid = np.clip(resample(found.data, **grids), 0, None)
    theory = np.zeros((1, 1, 1)) if expected is None else expected.covering(grid.shape)
    frame = [
        2 * round((n * v / t - 1) / 2) + 1
        for n, v, t in zip(data.shape, voxel, target_voxel_size_um, strict=True)
    ]
    weight = weight_on_grid(found.weight, **grids)
    psf, shares = with_tails(grid, weight, theory, frame=frame if widefield else None)
    if expected is not None and widefield:
        shares["beyond_frame"] = round(cut_of_cone(psf), 4)
        if shares["beyond_frame"] > LARGEST_CUT:
            warnings.append(
                f"the file's frame cuts off {shares['beyond_frame']:.0%} of the light cone, so "
                "haze remains around objects and brightness is wrong; use a file that "
                f"is wider than {data.shape[0] * voxel[0] * expected.tangent:.2g} µm, or one with "
                "fewer planes"
            )
    if shares["share_from_theory"] > LARGEST_TAIL:
        warnings.append(
            f"{shares['share_from_theory']:.0%} of the PSF's light comes from theory, because the "
            "file is too small or too noisy; use a larger crop or a brighter bead"
        )
    _warn_if_coarse(warnings, measured, target_voxel_size_um)
    for text in warnings:
        log.warning("%s: %s", where, text)
    record = {
        "source": "file",
        "method": "one bead of a file: pedestal removed, isolated, centred, resampled, continued "
        "by theory, cropped (decon3d.optics.measured)",
        "file": describe_file(path, data, voxel),
        "pedestal": {
            "counts": level.counts,
            "share_of_sum_removed": round(share, 6),
            "estimate": f"{level.how}; what is left around the bead: local_background_counts",
            "confirmed": accept_pedestal,
        },
        "nan_voxels_mended": missing,
        **found.record,
        "warnings": warnings,
        "fwhm_in_file_um": [round(width, 5) for width in measured],
        "centring": "centroid of the core (what exceeds half of the maximum), resampled there",
        "shift_voxels": [
            round((n - 1) / 2 - c, 4) for n, c in zip(data.shape, centre, strict=True)
        ],
        "support": {
            "rule": SUPPORT_RULE,
            **shares,
        },
    }
    return normalised_psf(psf, target_voxel_size_um, record)


def _negative(level: Pedestal, found: dict[str, Any]) -> list[str]:
    if level.counts >= -max(3 * found["noise_counts"], 1e-9):
        return []
    return [
        f"the background is negative ({level.counts:g} counts): something was subtracted from the "
        "file; the background was set to 0"
    ]


def _refuse_corner(data: Array, where: str) -> None:
    """Refuse a PSF in the order of the FFT: it goes on at the opposite face."""
    peak = [int(i) for i in np.unravel_index(int(data.argmax()), data.shape)]
    base = float(np.median(data))
    for axis, (place, size) in enumerate(zip(peak, data.shape, strict=True)):
        opposite = list(peak)
        opposite[axis] = size - 1 if place == 0 else 0
        across = float(data[tuple(opposite)]) - base
        if place in (0, size - 1) and size > 4 and across > WRAPPED * (data.max() - base):
            raise UserError(
                f"{where}: the PSF's centre is the first voxel along {'ZYX'[axis]} (peak at voxel "
                f"{peak}) and it continues at the opposite face, in the order of the FFT; shift it "
                "to the middle with fftshift (numpy.fft.fftshift) and save it again"
            )


def _without_nan(data: Array, where: str) -> tuple[Array, int]:
    """Replace single NaN and infinite voxels by the background; refuse empty files."""
    bad = ~np.isfinite(data)
    if bad.all():
        raise UserError(f"{where}: all voxels are NaN or infinite; export the bead's image again")
    if bad.mean() > 0.01:
        raise UserError(
            f"{where}: {bad.mean():.1%} of the voxels are NaN or infinite; export the "
            "bead's image again"
        )
    if bad.any():
        data = np.where(bad, np.median(data[~bad]), data)
    if data.min() == data.max():
        raise UserError(f"{where}: all voxels are {data.flat[0]:g}; there is no bead in this file")
    return data, int(bad.sum())


def _pedestal_share(data: Array, pedestal: float) -> float:
    """Share of the sum that the pedestal makes; 0 where there is none above zero."""
    total = data.sum()
    return float(min(pedestal * data.size / total, 1.0)) if pedestal > 0 and total > 0 else 0.0


def _refuse_transposed(widths_um: Triple, where: str, key: str) -> None:
    z, y, x = widths_um
    for name, along, across in (("Y", y, x), ("X", x, y)):
        if along > LARGEST_ELONGATION * max(z, across):
            raise UserError(
                f"{where}: the bead is longest along {name} (FWHM Z {z:.3g}, Y {y:.3g}, X {x:.3g} "
                "µm); a PSF is longest along Z, so the file's axes may be transposed; save it as "
                f"Z Y X, or confirm it with {key}.accept_mismatch: true"
            )


def _warn_if_coarse(warnings: list[Any], widths_um: Triple, voxel_size_um: Triple) -> None:
    for axis, width, step in zip("ZYX", widths_um, voxel_size_um, strict=True):
        if width < 2 * step:
            warnings.append(
                f"the image's voxels ({step:g} µm along {axis}) are larger than half of the bead's "
                f"image ({width:.3g} µm), so the image is undersampled; record with smaller voxels"
            )
