"""From a channel of the config to its PSF."""

import logging
from pathlib import Path

from decon3d.optics.measured import psf_from_file
from decon3d.optics.microscope import excitation_wavelength
from decon3d.optics.plausibility import compare_with_theory
from decon3d.optics.psf import Psf, normalised_psf
from decon3d.optics.theory import describe_theory
from decon3d.settings import Channel, FilePsf, Optics, expand_path

Triple = tuple[float, float, float]

log = logging.getLogger(__name__)


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
    theory, how = describe_theory(
        optics=optics,
        emission_um=channel.emission_um,
        excitation_um=channel.excitation_um,
        voxel_size_um=voxel_size_um,
    )
    if not isinstance(channel.psf, FilePsf):
        method = (
            f"theory: {optics.modality}, {optics.model} diffraction by Gauss-Legendre "
            f"quadrature over the {'radius' if how['symmetric'] else 'whole pupil'}, integrated "
            "over voxels (decon3d.optics.theory)"
        )
        record = {"source": "theory", "method": method, **common, **how}
        return normalised_psf(theory, voxel_size_um, record)
    measured = psf_from_file(
        expand_path(channel.psf.path),
        voxel_size_um=channel.psf.voxel_size_um,
        target_voxel_size_um=voxel_size_um,
        accept_pedestal=channel.psf.accept_pedestal,
        key=key,
    )
    name = Path(channel.psf.path).name
    comparison = compare_with_theory(measured, theory, name=name, key=key)
    for text in comparison["warnings"][len(measured.record["warnings"]) :]:
        log.warning("%s: %s", key, text)
    return Psf(measured.data, measured.voxel_size_um, {**measured.record, **common, **comparison})
