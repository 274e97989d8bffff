"""From the image of a bead in a file to a PSF on the image's voxel grid.

The camera's pedestal goes first, then everything that is not the one bead; what was removed is
stated in the record, and what cannot be mended is refused by name.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from decon3d.errors import UserError
from decon3d.files import file_digest
from decon3d.optics.bead import isolate_bead, outer_shell
from decon3d.optics.bead_file import read_bead_file
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.resampling import (
    AXIAL_FLOOR,
    LATERAL_ENERGY,
    core_centroid,
    crop_box,
    resample,
)
from decon3d.volumes.reader import FROM_FILE, Reading

log = logging.getLogger(__name__)

Triple = tuple[float, float, float]

LARGEST_PEDESTAL = 0.5
"""Share of a file's sum that may be removed as pedestal without being confirmed."""
LARGEST_ELONGATION = 1.5
"""A bead that much longer along Y or X than along Z lies in a transposed file."""


def psf_from_file(
    path: str | Path,
    *,
    voxel_size_um: Triple | None = None,
    target_voxel_size_um: Triple,
    accept_pedestal: bool = False,
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
    accept_pedestal
        Confirms that more than half of the file's sum may be removed as pedestal.
    key
        Config key of the PSF, for messages.
    reading
        Which image of the file, and its axes.

    Returns
    -------
    Psf
        Its record states the pedestal and the share of the sum removed, the noise, the bead's
        place, other beads, the shift, the support and the widths before and after.

    Raises
    ------
    UserError
        If the file is missing, unreadable, not 3D, empty (NaN, 0, constant), has no known voxel
        size, is mostly pedestal without `accept_pedestal`, has deep negative lobes, or holds no
        bead, a bead at its edge, two beads too close, or one that lies along Y or X.
    """
    path = Path(path)
    data, voxel = read_bead_file(path, voxel_size_um=voxel_size_um, key=key, reading=reading)
    where = f"{key}.path ({path})"
    data, missing = _without_nan(data, where)
    pedestal = float(np.median(data[outer_shell(data.shape)]))
    share = _pedestal_share(data, pedestal)
    if share > LARGEST_PEDESTAL and not accept_pedestal:
        raise UserError(
            f"{where}: {share:.1%} of the file's sum is a pedestal of {pedestal:g} counts (camera "
            f"offset or background). If that is so, confirm it with {key}.accept_pedestal: true"
        )
    bead, found = isolate_bead(data - pedestal, where=where)
    if pedestal < -max(3 * found["noise_counts"], 1e-9):
        found["warnings"].append(
            f"the background is negative ({pedestal:g} counts): something was subtracted from the "
            "file before; it was brought to 0"
        )
    measured = fwhm_um(bead, voxel)
    _refuse_transposed(measured, where)
    centre = core_centroid(bead)
    grid = resample(
        bead, voxel_size_um=voxel, target_voxel_size_um=target_voxel_size_um, centre=centre
    )
    grid = np.clip(grid, 0, None)  # the spline may undershoot beside steep edges
    box = crop_box(grid)
    cropped = grid[box]
    _warn_if_coarse(found["warnings"], measured, target_voxel_size_um)
    for text in found["warnings"]:
        log.warning("%s: %s", where, text)
    record = {
        "source": "file",
        "method": "one bead of a file: pedestal removed, isolated, centred, resampled, cropped "
        "(decon3d.optics.measured)",
        "file": {
            "path": str(path),
            "digest": file_digest(path),
            "shape": list(data.shape),
            "voxel_size_um": list(voxel),
        },
        "pedestal": {
            "counts": pedestal,
            "share_of_sum_removed": round(share, 6),
            "estimate": "median of the outer eighth of the image; what is left around the bead: "
            "local_background_counts",
            "confirmed": accept_pedestal,
        },
        "nan_voxels_mended": missing,
        **found,
        "fwhm_in_file_um": [round(width, 5) for width in measured],
        "centring": "centroid of the core (what exceeds half of the maximum), resampled there",
        "shift_voxels": [
            round((n - 1) / 2 - c, 4) for n, c in zip(data.shape, centre, strict=True)
        ],
        "support": {
            "rule": f"axially to the last plane with an on-axis value ≥ {AXIAL_FLOOR:g} of the "
            f"peak; laterally {LATERAL_ENERGY:g} of the energy may lie outside",
            "energy_kept": round(float(cropped.sum() / grid.sum()), 6),
        },
    }
    return normalised_psf(cropped, target_voxel_size_um, record)


def _without_nan(data: NDArray[np.float64], where: str) -> tuple[NDArray[np.float64], int]:
    """Replace single NaN and infinite voxels by the background; refuse empty files."""
    bad = ~np.isfinite(data)
    if bad.all():
        raise UserError(f"{where}: all voxels are NaN or infinite; export the bead's image again")
    if bad.mean() > 0.01:
        raise UserError(f"{where}: {bad.mean():.1%} of the voxels are NaN or infinite, not a bead")
    if bad.any():
        data = np.where(bad, np.median(data[~bad]), data)
    if data.min() == data.max():
        raise UserError(f"{where}: all voxels are {data.flat[0]:g}; there is no bead in this file")
    return data, int(bad.sum())


def _pedestal_share(data: NDArray[np.float64], pedestal: float) -> float:
    """Share of the sum that the pedestal makes; 0 where there is none above zero."""
    total = data.sum()
    return float(min(pedestal * data.size / total, 1.0)) if pedestal > 0 and total > 0 else 0.0


def _refuse_transposed(widths_um: Triple, where: str) -> None:
    z, y, x = widths_um
    for name, along, across in (("Y", y, x), ("X", x, y)):
        if along > LARGEST_ELONGATION * max(z, across):
            raise UserError(
                f"{where}: the bead is longest along {name} (FWHM Z {z:.3g}, Y {y:.3g}, X {x:.3g} "
                "µm); a PSF is longest along Z: the file's axes seem transposed; save it as Z Y X"
            )


def _warn_if_coarse(warnings: list[Any], widths_um: Triple, voxel_size_um: Triple) -> None:
    for axis, width, step in zip("ZYX", widths_um, voxel_size_um, strict=True):
        if width < 2 * step:
            warnings.append(
                f"the image's voxels ({step:g} µm along {axis}) are more than half as large as "
                f"the bead's image ({width:.3g} µm): the image is undersampled"
            )
