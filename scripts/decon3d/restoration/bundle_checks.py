"""Check whether a network was trained for the data: microscope, voxels, PSF, dose, noise."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from decon3d.files import read_json
from decon3d.logs import log
from decon3d.networks.description import BundleInfo, MicroscopeRange, load_info
from decon3d.restoration.restorers import State
from decon3d.volumes.volume_record import VolumeRecord

TOLERANCE = 0.1
"""Relative difference from the training data that is ignored."""
DOSE_FACTOR = 1.5
"""Factor by which the photons, which are estimated from the data, may lie outside the range."""


def training_mismatches(
    info: BundleInfo,
    *,
    voxel_size_um: Sequence[float],
    psf_fwhm_um: Sequence[float],
    noise: float,
    optics: Mapping[str, Any] | None = None,
    photons: float | None = None,
) -> list[str]:
    """List the differences between a volume and a network's training data.

    Parameters
    ----------
    info
        The network's description.
    voxel_size_um, psf_fwhm_um
        The volume's voxel size and its PSF's widths (Z, Y, X), in µm.
    noise
        Standard deviation of the volume's background in network units.
    optics
        `modality` and `numerical_aperture` of the microscope; None = not known.
    photons
        Of the brightest structure; None = not known.

    Returns
    -------
    list of str
        A sentence for each of voxel size and PSF that differ by more than 10 % on any axis, and
        for a noise that lies outside the range of the training by more than that. For a network
        for many microscopes: for another modality; for a numerical aperture, a shape of the voxels,
        or a width of the PSF in voxels, outside the range of the training by more than 10 %; and
        for photons outside the range by more than a factor of 1.5.
    """
    many = info.trained_on.microscopes
    if many is not None:
        found = _other_optics(many, optics or {})
        found += _outside(many, voxel_size_um=voxel_size_um, psf_fwhm_um=psf_fwhm_um)
        found += _other_dose(info.trained_on.made_as.get("photons"), photons)
    else:
        found = [
            f"the {what} {_triple(here)} µm wide (Z × Y × X), but the network was trained for "
            f"{_triple(there)} µm"
            for what, here, there in (
                ("voxels are", voxel_size_um, info.voxel_size_um),
                ("point spread function is", psf_fwhm_um, info.psf_fwhm_um),
            )
            if any(abs(a / b - 1) > TOLERANCE for a, b in zip(here, there, strict=True))
        ]
    low, high = info.trained_on.noise
    if not _within(noise, (low, high)):
        found.append(
            f"there is {'more' if noise > high else 'less'} noise than the network was trained on: "
            f"{noise:.2%} of the brightness instead of {low:.2%} to {high:.2%}"
        )
    return found


def _other_optics(many: MicroscopeRange, optics: Mapping[str, Any]) -> list[str]:
    """Say how a microscope differs from all of the training's."""
    found = []
    modality, aperture = optics.get("modality"), optics.get("numerical_aperture")
    if modality is not None and modality not in many.modalities:
        found.append(
            f"the microscope is of the type {modality}, but the network was trained for "
            f"{', '.join(many.modalities)}"
        )
    bounds = many.numerical_aperture
    if aperture is not None and bounds is not None and not _within(aperture, bounds):
        found.append(
            f"the numerical aperture is {aperture:g}, but the network was trained for "
            f"{bounds[0]:.3g} to {bounds[1]:.3g}"
        )
    return found


def _other_dose(bounds: Sequence[float] | None, photons: float | None) -> list[str]:
    """Say how the light of a volume differs from all of the training's."""
    if bounds is None or photons is None:
        return []
    low, high = bounds
    if low / DOSE_FACTOR <= photons <= high * DOSE_FACTOR:
        return []
    return [
        f"the brightest structure has {photons:.3g} photons, but the network was trained for "
        f"{low:.3g} to {high:.3g}"
    ]


def _outside(
    many: MicroscopeRange, *, voxel_size_um: Sequence[float], psf_fwhm_um: Sequence[float]
) -> list[str]:
    """Say what of a microscope lies outside the range of a network for many of them."""
    axial, *lateral = (w / v for w, v in zip(psf_fwhm_um, voxel_size_um, strict=True))
    widths = [("axially", [axial], many.axial_fwhm_voxels)]
    widths += [("laterally", lateral, many.lateral_fwhm_voxels)]
    found = [
        f"the point spread function is {outside[0]:.3g} voxels wide {where}, but the network was "
        f"trained for {bounds[0]:.3g} to {bounds[1]:.3g}"
        for where, values, bounds in widths
        if (outside := [value for value in values if not _within(value, bounds)])
    ]
    ratio = voxel_size_um[0] / voxel_size_um[1]
    if not _within(ratio, many.anisotropy):
        low, high = many.anisotropy
        found.append(
            f"the voxels are {ratio:.3g} times as large along Z as along Y, but the network was "
            f"trained for {low:.3g} to {high:.3g}"
        )
    return found


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return bounds[0] * (1 - TOLERANCE) <= value <= bounds[1] * (1 + TOLERANCE)


def _triple(values: Sequence[float]) -> str:
    return " × ".join(f"{value:.3g}" for value in values)


def training_warnings(
    *,
    method: str,
    records: list[VolumeRecord],
    channels: dict[str, int],
    states: dict[str, State],
    bundles: Sequence[str | Path],
    psfs: Sequence[str | Path],
) -> dict[str, list[str]]:
    """Compare all volumes with the training data of a method's networks; log the differences.

    Parameters
    ----------
    records
        The volumes that are restored.
    channels
        Their channels, with the index in the volumes.
    states
        The prepared restorer of each channel.
    bundles, psfs
        `model.json` and `psf.tif` of each channel; empty for a method without a network.

    Returns
    -------
    dict
        Sentences by volume; volumes without are left out.
    """
    found: dict[str, list[str]] = {}
    for (channel, index), bundle, psf in zip(channels.items(), bundles, psfs, strict=False):
        info = load_info(Path(bundle).parent)
        about: Any = read_json(Path(psf).with_suffix(".json"))
        for record in records:
            histogram = record.histogram(index)
            if not histogram.counts.any():  # nothing but fill
                continue
            sigma = histogram.background()[1]
            for sentence in training_mismatches(
                info,
                voxel_size_um=record.voxel_size_um,
                psf_fwhm_um=about["fwhm_um"],
                noise=sigma / states[channel].values["scale"],
                optics=about.get("optics"),
                photons=states[channel].values.get("dose"),
            ):
                where = f", channel {channel}" if len(channels) > 1 else ""
                found.setdefault(record.name, []).append(f"{sentence}{where}")
                log.warning(
                    "%s on %s%s: %s; compare it with rl", method, record.name, where, sentence
                )
    return found
