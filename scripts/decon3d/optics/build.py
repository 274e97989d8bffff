"""From a channel of the config to its PSF."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from decon3d.errors import UserError
from decon3d.optics.beads import psf_from_beads
from decon3d.optics.measured import psf_from_file
from decon3d.optics.psf import Psf, fwhm_um, normalised_psf
from decon3d.optics.theory import DEFAULT_EXCITATION, describe_theory
from decon3d.settings import BeadsPsf, Channel, FilePsf, Optics, TheoryPsf, expand_path

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
        "optics": optics.model_dump(mode="json"),
        "emission_um": channel.emission_um,
    }
    if optics.modality == "confocal":
        common["excitation_um"] = channel.excitation_um or DEFAULT_EXCITATION * channel.emission_um
    theory, how = describe_theory(
        optics=optics,
        emission_um=channel.emission_um,
        excitation_um=channel.excitation_um,
        voxel_size_um=voxel_size_um,
    )
    if isinstance(channel.psf, TheoryPsf):
        method = (
            f"theory: {optics.modality}, {optics.model} diffraction by Gauss-Legendre "
            "quadrature, integrated over voxels (decon3d.optics.theory)"
        )
        record = {"source": "theory", "method": method, **common, **how}
        return normalised_psf(theory, voxel_size_um, record)
    if isinstance(channel.psf, BeadsPsf):
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
            key=key,
        )
    else:
        measured = psf_from_file(
            expand_path(channel.psf.path),
            voxel_size_um=channel.psf.voxel_size_um,
            target_voxel_size_um=voxel_size_um,
            accept_pedestal=channel.psf.accept_pedestal,
            key=key,
        )
    comparison = _compare_widths(measured, theory, channel.psf, key)
    return replace(measured, record={**measured.record, **common, **comparison})


def _compare_widths(
    measured: Psf, theory: np.ndarray, source: FilePsf | BeadsPsf, key: str
) -> dict[str, Any]:
    """Compare a measured PSF's widths with the theory's; refuse what light cannot do."""
    found = fwhm_um(measured.data, measured.voxel_size_um)
    expected = fwhm_um(theory, measured.voxel_size_um)
    ratios = [f / e for f, e in zip(found, expected, strict=True)]
    warnings = list(measured.record["warnings"])
    name, to_check = Path(source.path).name, f"{key}.voxel_size_um"
    what = f"the bead in {name}"
    if isinstance(source, BeadsPsf):
        what = f"the PSF from the beads in {name}"
        to_check += f", {key}.bead_diameter_um (the larger, the narrower the PSF)"
    for axis, ratio, width, limit in zip("ZYX", ratios, found, expected, strict=True):
        text = f"{what} is {width:.3g} µm wide along {axis}, where theory says {limit:.3g} µm"
        if ratio < NARROWER_THAN_LIGHT:
            raise UserError(
                f"{key}: {text}; light cannot be focused so tightly: check "
                f"{to_check}, the dataset's optics and emission_um"
            )
        if ratio > SUSPICIOUSLY_WIDE:
            warnings.append(
                f"{text}: aberrated optics, a large bead, or a wrong voxel size of the file"
            )
    return {
        "theory_fwhm_um": [round(width, 5) for width in expected],
        "fwhm_to_theory": [round(ratio, 4) for ratio in ratios],
        "distance_from_theory": round(_distance(measured.data, theory), 4),
        "warnings": warnings,
    }


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    """Half the sum of |a - b| of two centred PSFs: the share of the light that lies elsewhere."""
    shape = [max(n, m) for n, m in zip(a.shape, b.shape, strict=True)]

    def laid(psf: np.ndarray) -> np.ndarray:
        return np.pad(psf, [((n - m) // 2,) * 2 for n, m in zip(shape, psf.shape, strict=True)])

    return float(np.abs(laid(a) - laid(b)).sum() / 2)
