"""The PSF of an instrument's dated bead stack, in one channel."""

from typing import Any

from decon3d.errors import UserError
from decon3d.optics.build import make_psf
from decon3d.optics.psf import fwhm_um
from decon3d.optics.sections import BeadsPsf, Channel, ChannelOptics, Optics
from decon3d.user_paths import expand_path
from decon3d.volumes.ingest import voxel_size_of
from decon3d.volumes.volume import Reading


def measure_stack(
    *, optics: Optics, channel: ChannelOptics, beads: BeadsPsf, key: str
) -> dict[str, Any]:
    """Measure the PSF of a bead stack on the stack's own voxels.

    Parameters
    ----------
    optics, channel, beads
        Of the instrument.
    key
        Config key of the stack, for messages.

    Returns
    -------
    dict
        `problem`: why it could not be measured, or None; else also `fwhm_um` and `theory_fwhm_um`
        (Z, Y, X), `beads` used and `found`, `noise_of_peak`, `warnings`, and `chromatic`: the shift
        against the reference channel, or None.
    """
    accepted = beads.model_copy(update={"align": False, "accept_mismatch": True})
    try:
        voxel = voxel_size_of(
            expand_path(beads.path),
            configured=beads.voxel_size_um,
            key=key,
            reading=Reading.of(beads),
        )
        psf = make_psf(
            optics=optics,
            channel=Channel(**dict(channel), psf=accepted),
            voxel_size_um=voxel,
            key=key,
        )
    except UserError as error:
        return {"problem": str(error)}
    found = psf.record
    return {
        "problem": None,
        "fwhm_um": [round(w, 5) for w in fwhm_um(psf.data, psf.voxel_size_um)],
        "theory_fwhm_um": found["theory_fwhm_um"],
        "beads": found["beads"]["used"],
        "found": found["beads"]["found"],
        "noise_of_peak": found["noise_left"]["of_peak"],
        "voxel_size_um": list(psf.voxel_size_um),
        "warnings": found["warnings"],
        "chromatic": found.get("chromatic"),
    }
