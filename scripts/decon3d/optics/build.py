"""From a channel of the config to its PSF."""

from pathlib import Path
from typing import Any

import numpy as np

from decon3d.errors import UserError
from decon3d.optics.measured import psf_from_file
from decon3d.optics.microscope import excitation_wavelength
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.theory import describe_theory
from decon3d.settings import Channel, FilePsf, Optics, expand_path

Triple = tuple[float, float, float]

NARROWER_THAN_LIGHT = 0.7
"""A measured width below this share of the theoretical one is no resolution, but an error."""
SUSPICIOUSLY_WIDE = 2.0
"""A measured width above this multiple of the theoretical one is worth a warning."""


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
            "quadrature, integrated over voxels (decon3d.optics.theory)"
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
    comparison = _compare_widths(measured, theory, Path(channel.psf.path).name, key)
    return Psf(measured.data, measured.voxel_size_um, {**measured.record, **common, **comparison})


def _compare_widths(measured: Psf, theory: np.ndarray, name: str, key: str) -> dict[str, Any]:
    """Compare a measured PSF's widths with the theory's; refuse what light cannot do."""
    found = fwhm_um(measured.data, measured.voxel_size_um)
    expected = fwhm_um(theory, measured.voxel_size_um)
    ratios = [f / e for f, e in zip(found, expected, strict=True)]
    warnings = list(measured.record["warnings"])
    for axis, ratio, width, limit in zip("ZYX", ratios, found, expected, strict=True):
        text = (
            f"the bead in {name} is {width:.3g} µm wide along {axis}, where theory says "
            f"{limit:.3g} µm"
        )
        if ratio < NARROWER_THAN_LIGHT:
            raise UserError(
                f"{key}: {text}; light cannot be focused so tightly: check "
                f"{key}.voxel_size_um and the dataset's optics and emission_um"
            )
        if ratio > SUSPICIOUSLY_WIDE:
            warnings.append(
                f"{text}: aberrated optics, a large bead, or a wrong voxel size of the file"
            )
    return {
        "theory_fwhm_um": [round(width, 5) for width in expected],
        "fwhm_to_theory": [round(ratio, 4) for ratio in ratios],
        "warnings": warnings,
    }
