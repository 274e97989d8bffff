"""From a channel of the config to its PSF."""

import logging
from dataclasses import replace
from pathlib import Path

from decon3d.errors import UserError
from decon3d.optics.arrays import Triple
from decon3d.optics.beads import psf_from_beads, shift_against
from decon3d.optics.chromatic import displaced
from decon3d.optics.measured import psf_from_file
from decon3d.optics.microscope import excitation_wavelength
from decon3d.optics.pedestal import expected_light
from decon3d.optics.plausibility import compare_with_theory
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.sections import BeadsPsf, Channel, Optics, TheoryPsf
from decon3d.optics.theory import describe_theory
from decon3d.user_paths import expand_path
from decon3d.volumes.volume import Reading

log = logging.getLogger(__name__)

LEAST_SHARED = 3
"""Beads that must shine in both channels before one is aligned with the other."""
SHIFTED = 0.25
"""Voxels of a shift between channels from which it is worth a warning."""


def make_psf(*, optics: Optics, channel: Channel, voxel_size_um: Triple, key: str) -> Psf:
    """Make the PSF of a channel on the image's voxel grid.

    Parameters
    ----------
    optics, channel
        From the config.
    voxel_size_um
        Voxel size of the image (Z, Y, X), in µm.
    key
        Config key of the channel's `psf` section, for messages.

    Returns
    -------
    Psf
        With a record that suffices to make it again.

    Raises
    ------
    UserError
        If a file does not hold one usable bead, or its widths contradict the optics.
    """
    optics = channel.optics_of(optics)
    common = {
        "optics": {
            **optics.model_dump(mode="json"),
            "aberrations": dict(optics.aberrations.terms),  # only those that are not 0
        },
        "emission_um": channel.emission_um,
    }
    excitation = excitation_wavelength(
        optics, emission_um=channel.emission_um, excitation_um=channel.excitation_um
    )
    if excitation is not None:
        common["excitation_um"] = excitation
    try:
        theory, how = describe_theory(
            optics=optics,
            emission_um=channel.emission_um,
            excitation_um=channel.excitation_um,
            voxel_size_um=voxel_size_um,
            beside_measured=not isinstance(channel.psf, TheoryPsf),
        )
    except UserError as error:
        raise UserError(f"{key}: {error}") from None
    if isinstance(channel.psf, TheoryPsf):
        method = (
            f"theory: {optics.modality}, {optics.model} diffraction by Gauss-Legendre "
            f"quadrature over the {'radius' if how['symmetric'] else 'whole pupil'}, integrated "
            "over voxels (decon3d.optics.theory)"
        )
        record = {"source": "theory", "method": method, **common, **how}
        return normalised_psf(theory, voxel_size_um, record)
    expected = expected_light(
        optics, emission_um=channel.emission_um, theory=theory, voxel_size_um=voxel_size_um
    )
    name, to_check = Path(channel.psf.path).name, f"{key}.voxel_size_um"
    what = f"the bead in {name}"
    if isinstance(channel.psf, BeadsPsf):
        what = f"the PSF from the beads in {name}"
        to_check += f", {key}.bead_diameter_um (the larger, the narrower the PSF)"
        measured = psf_from_beads(
            expand_path(channel.psf.path),
            bead_diameter_um=channel.psf.bead_diameter_um,
            target_voxel_size_um=voxel_size_um,
            expected_fwhm_um=fwhm_um(theory, voxel_size_um),
            voxel_size_um=channel.psf.voxel_size_um,
            channel=channel.psf.channel,
            modality=optics.modality,
            half_width_um=channel.psf.half_width_um,
            plane_tolerance_um=channel.psf.plane_tolerance_um,
            expected=expected,
            key=key,
            reading=Reading.of(channel.psf),
        )
    else:
        measured = psf_from_file(
            expand_path(channel.psf.path),
            voxel_size_um=channel.psf.voxel_size_um,
            target_voxel_size_um=voxel_size_um,
            expected=expected,
            pedestal=channel.psf.pedestal,
            accept_pedestal=channel.psf.accept_pedestal,
            accept_mismatch=channel.psf.accept_mismatch,
            key=key,
            reading=Reading.of(channel.psf),
        )
    comparison = compare_with_theory(
        measured,
        theory,
        what=what,
        to_check=to_check,
        key=key,
        accept_mismatch=channel.psf.accept_mismatch,
    )
    for text in comparison["warnings"][len(measured.record["warnings"]) :]:
        log.warning("%s: %s", key, text)
    made = replace(measured, record={**measured.record, **common, **comparison})
    if isinstance(channel.psf, BeadsPsf) and channel.psf.reference_channel is not None:
        return _against_reference(made, channel.psf, key)
    return made


def _against_reference(psf: Psf, beads: BeadsPsf, key: str) -> Psf:
    """Record the beads' shift against the reference channel, and displace the PSF if asked to."""
    assert beads.reference_channel is not None
    shift = shift_against(
        psf,
        expand_path(beads.path),
        reference_channel=beads.reference_channel,
        voxel_size_um=beads.voxel_size_um,
        key=key,
        reading=Reading.of(beads),
    )
    if shift is None or (beads.align and shift.beads < LEAST_SHARED):
        count = 0 if shift is None else shift.beads
        text = (
            f"only {count} bead{'s' * (count != 1)} of {beads.path} can be seen in both channels "
            f"{beads.channel} and {beads.reference_channel}, so their shift is not known"
        )
        if beads.align:
            raise UserError(
                f"{key}.align: {text}; {LEAST_SHARED} are needed; record beads of several colours, "
                "or do not align the channels (an instrument's `chromatic: report`)"
            )
        return replace(psf, record={**psf.record, "warnings": [*psf.record["warnings"], text]})
    voxels = [s / v for s, v in zip(shift.shift_um, psf.voxel_size_um, strict=True)]
    errors = [e / v for e, v in zip(shift.error_um, psf.voxel_size_um, strict=True)]
    chromatic = {
        "reference_channel": beads.reference_channel,
        "shift_um": [round(v, 5) for v in shift.shift_um],
        "error_um": [round(v, 5) for v in shift.error_um],
        "beads": shift.beads,
        "undone": beads.align,
    }
    warnings = list(psf.record["warnings"])
    if beads.align:
        moved = displaced(psf.data, (voxels[0], voxels[1], voxels[2]))
        data = normalised_psf(moved, psf.voxel_size_um, {}).data
    else:
        data = psf.data
        if any(abs(v) > max(SHIFTED, 3 * e) for v, e in zip(voxels, errors, strict=True)):
            z, y, x = shift.shift_um
            warnings.append(
                f"the beads are shifted by {z:+.3f}, {y:+.3f}, {x:+.3f} µm (Z, Y, X) from those of "
                f"the channel {beads.reference_channel} of {Path(beads.path).name}, and the "
                "restored channels will be, too; `align` (an instrument's `chromatic: apply`) "
                "corrects this"
            )
            log.warning("%s: %s", key, warnings[-1])
    record = {**psf.record, "chromatic": chromatic, "warnings": warnings}
    return replace(psf, data=data, record=record)
