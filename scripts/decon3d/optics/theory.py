"""The theoretical PSF of a microscope on a voxel grid: widefield, confocal, light sheet.

Everything but the last step works on (radius, focus) arrays, since these PSFs are symmetric
about the axis: the lenses' intensities are combined as the modality does, averaged over the
voxel's depth, and only then laid on pixels.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from decon3d.errors import UserError
from decon3d.optics.diffraction import (
    RADIAL_STEPS,
    Lens,
    focus_range_um,
    radial_intensity,
    through_pinhole,
)
from decon3d.optics.resampling import AXIAL_FLOOR, LATERAL_ENERGY, crop_box
from decon3d.settings import Optics

Array = NDArray[np.float64]
Voxel = tuple[float, float, float]

DEFAULT_EXCITATION = 0.93
"""Excitation over emission wavelength, where the excitation is not given."""
AXIAL_BOUND = 6.0
LATERAL_BOUND = {"widefield": 16.0, "light_sheet": 8.0, "confocal": 8.0}
"""Half-width of the largest support, in axial and lateral FWHM. The axial tail of a widefield PSF
never ends and its energy per plane does not fall, so the support must be bounded by a rule: here
the planes stay as many as a stack commonly has, and laterally there is room for the cone of
defocus. Where the illumination ends the cone, eight widths leave 2 to 3 % of the light outside,
thinly spread over the Airy rings; twice as many would double every block's halo for 1 %."""
CROP_RULE = (
    "axially to the last plane with an on-axis value ≥ {floor:g} of the peak, at most {axial:g} "
    "axial FWHM from the centre; laterally {energy:g} of the energy may lie outside, at most "
    "{lateral:g} lateral FWHM from the centre"
)


@dataclass(frozen=True)
class Microscope:
    """What multiplies what: the lenses of a modality, and where the focus lies."""

    detection: Lens
    excitation: Lens | None = None
    pinhole_radius_um: float = 0.0
    sheet_fwhm_um: float = 0.0
    sheet_centre_um: float = 0.0

    @property
    def lateral_unit_um(self) -> float:
        """Half period of the finest lateral detail."""
        lenses = [self.detection, *([self.excitation] if self.excitation else [])]
        return 1 / sum(1 / lens.lateral_unit_um for lens in lenses)

    @property
    def axial_unit_um(self) -> float:
        """Period of the finest axial detail."""
        lenses = [self.detection, *([self.excitation] if self.excitation else [])]
        return 1 / sum(1 / lens.axial_unit_um for lens in lenses)

    def intensity(self, *, r_um: Array, z_um: Array) -> Array:
        """Detected light per point of the specimen, shape (R, Z), not normalised."""
        if self.excitation is not None:
            detected = through_pinhole(self.detection, self.pinhole_radius_um, r_um=r_um, z_um=z_um)
            return detected * radial_intensity(self.excitation, r_um=r_um, z_um=z_um)
        detected = radial_intensity(self.detection, r_um=r_um, z_um=z_um)
        if self.sheet_fwhm_um:
            sheet = np.exp(
                -4 * np.log(2) * ((z_um - self.sheet_centre_um) / self.sheet_fwhm_um) ** 2
            )
            return detected * sheet
        return detected


@dataclass(frozen=True)
class Focus:
    """Where the PSF's core lies and how wide it is."""

    centre_um: float
    """Centroid of the core: the focus position that the middle voxel stands for."""
    axial_fwhm_um: float
    lateral_fwhm_um: float


def theoretical_psf(
    *,
    optics: Optics,
    emission_um: float,
    excitation_um: float | None = None,
    voxel_size_um: Voxel,
    shape: tuple[int, int, int] | None = None,
) -> Array:
    """Compute the PSF of a microscope.

    Parameters
    ----------
    optics
        Modality, aperture, indices, depth and diffraction model.
    emission_um, excitation_um
        Wavelengths in vacuum, in µm; the excitation (confocal only) defaults to 0.93 × emission.
    voxel_size_um
        Size of a voxel (Z, Y, X), in µm. Z is the step of the stage; it grows with depth.
    shape
        Odd numbers of voxels (Z, Y, X); None = by the crop rule of `resampling.crop_box` within
        `AXIAL_BOUND` and `LATERAL_BOUND`.

    Returns
    -------
    numpy.ndarray
        float64, axes Z Y X, odd sizes, sum 1. Each voxel holds the PSF integrated over its
        volume; the centroid of the core lies in the middle (see `locate_focus`).

    Raises
    ------
    UserError
        If a size is even.

    Notes
    -----
    Diffraction: see `diffraction`. Confocal: h_ex · (h_em ⊗ pinhole disk), the pinhole's radius
    in the specimen = pinhole_au × 0.61 λ_em / NA. Light sheet: h_det × an axial Gaussian centred
    on the detection's focus.
    """
    data, _ = describe_theory(
        optics=optics,
        emission_um=emission_um,
        excitation_um=excitation_um,
        voxel_size_um=voxel_size_um,
        shape=shape,
    )
    return data


def describe_theory(
    *,
    optics: Optics,
    emission_um: float,
    excitation_um: float | None = None,
    voxel_size_um: Voxel,
    shape: tuple[int, int, int] | None = None,
) -> tuple[Array, dict[str, Any]]:
    """Compute the PSF as `theoretical_psf` does, and say how: its focus, support and energy.

    Returns
    -------
    tuple
        The PSF and a JSON-able record.
    """
    if shape is not None and any(n % 2 == 0 for n in shape):
        raise UserError(f"a PSF needs a middle voxel: odd sizes (Z, Y, X), not {shape}")
    microscope, focus = locate_focus(
        optics=optics, emission_um=emission_um, excitation_um=excitation_um
    )
    lateral = LATERAL_BOUND[optics.modality]
    bounds = shape or _bounds(lateral, focus, voxel_size_um)
    data = _on_voxels(microscope, focus.centre_um, bounds, voxel_size_um)
    box = (slice(None),) * 3 if shape else crop_box(data)
    cropped = data[box]
    rule = CROP_RULE.format(
        floor=AXIAL_FLOOR, axial=AXIAL_BOUND, energy=LATERAL_ENERGY, lateral=lateral
    )
    rule = "given shape" if shape else rule
    support = {"rule": rule, "bounds": list(bounds), "energy_kept": cropped.sum() / data.sum()}
    if optics.modality != "confocal":  # of all the light in a plane, also beyond the bounds
        planes = cropped.sum(axis=(1, 2)) / voxel_size_um[0]
        support["focal_plane_energy_kept"] = planes[len(planes) // 2]
        if optics.modality == "widefield":
            support["edge_plane_energy_kept"] = planes[0]
    shift_um = focus.centre_um - optics.depth_um
    record = {
        "centring": "centroid of the core (what exceeds half of the maximum), by continuous shift",
        "focus_shift_um": shift_um,
        "shift_voxels": [0.0 - shift_um / voxel_size_um[0], 0.0, 0.0],
        "support": {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in support.items()
        },
    }
    return cropped / cropped.sum(), record


@lru_cache(maxsize=32)
def locate_focus(
    *, optics: Optics, emission_um: float, excitation_um: float | None = None
) -> tuple[Microscope, Focus]:
    """Set up the microscope and find where its PSF's core lies along z.

    Returns
    -------
    tuple
        The microscope, and its focus: `centre_um` is the centroid of what exceeds half of the
        maximum; in a matched specimen it is the depth itself, else it lies beyond or before it.
    """
    microscope = _microscope(optics, emission_um, excitation_um)
    focus = _find_core(microscope)
    if microscope.sheet_fwhm_um:  # the sheet is aligned to the focus of the detection
        microscope = Microscope(
            microscope.detection,
            sheet_fwhm_um=microscope.sheet_fwhm_um,
            sheet_centre_um=_find_core(Microscope(microscope.detection)).centre_um,
        )
        focus = _find_core(microscope)
    return microscope, focus


def _microscope(optics: Optics, emission_um: float, excitation_um: float | None) -> Microscope:
    def lens(wavelength_um: float) -> Lens:
        return Lens(
            optics.numerical_aperture,
            optics.immersion_index,
            optics.specimen_index,
            optics.depth_um,
            wavelength_um,
            optics.model,
        )

    detection = lens(emission_um)
    if optics.modality == "confocal":
        radius = optics.pinhole_au * 0.61 * emission_um / optics.numerical_aperture
        excitation = lens(excitation_um or DEFAULT_EXCITATION * emission_um)
        return Microscope(detection, excitation, pinhole_radius_um=radius)
    if optics.modality == "light_sheet":
        assert optics.sheet_thickness_um is not None  # the settings see to it
        return Microscope(detection, sheet_fwhm_um=optics.sheet_thickness_um)
    return Microscope(detection)


def _find_core(microscope: Microscope) -> Focus:
    """Scan the axis for the maximum, then take the centroid of the core around it."""
    detection = microscope.detection
    low, high = focus_range_um(detection)
    margin = 2 * detection.axial_unit_um + microscope.sheet_fwhm_um
    step = microscope.axial_unit_um / 20
    z = np.arange(low - margin, high + margin + step, step)
    on_axis = microscope.intensity(r_um=np.zeros(1), z_um=z)[0]
    first, last = _run_above_half(on_axis)
    z = np.linspace(z[max(first - 1, 0)], z[min(last + 1, len(z) - 1)], 241)
    r = np.linspace(0, 3 * detection.lateral_unit_um, 181)
    core = microscope.intensity(r_um=r, z_um=z)
    core /= core.max()
    peak = np.unravel_index(core.argmax(), core.shape)
    if detection.sample_index == detection.immersion_index:
        centre = detection.depth_um  # by symmetry, exactly
    else:
        weight = np.clip(core - 0.5, 0, None) * r[:, None]
        centre = float((weight.sum(axis=0) @ z) / weight.sum())
    axial, lateral = core[peak[0]] >= 0.5, core[:, peak[1]] >= 0.5
    return Focus(
        centre,
        axial_fwhm_um=float(np.ptp(z[axial])),
        lateral_fwhm_um=float(2 * r[np.flatnonzero(lateral)[-1]]),
    )


def _run_above_half(profile: Array) -> tuple[int, int]:
    """First and last index of the run around the maximum that exceeds half of it."""
    below = np.flatnonzero(profile < profile.max() / 2)
    peak = int(profile.argmax())
    first = below[below < peak].max(initial=-1) + 1
    last = below[below > peak].min(initial=len(profile)) - 1
    return int(first), int(last)


def _bounds(lateral: float, focus: Focus, voxel_size_um: Voxel) -> tuple[int, int, int]:
    """Return the largest shape that the crop rule may keep."""
    widths = (
        AXIAL_BOUND * focus.axial_fwhm_um,
        lateral * focus.lateral_fwhm_um,
        lateral * focus.lateral_fwhm_um,
    )
    z, y, x = (2 * int(np.ceil(w / d)) + 1 for w, d in zip(widths, voxel_size_um, strict=True))
    return z, y, x


def _on_voxels(
    microscope: Microscope, centre_um: float, shape: tuple[int, int, int], voxel_size_um: Voxel
) -> Array:
    """Integrate the intensity over voxels around the focus, float64 ZYX, in µm² · µm units."""
    half = [n // 2 for n in shape]
    dz, dy, dx = voxel_size_um
    z_nodes, z_weights = _voxel_nodes(dz / microscope.axial_unit_um)
    z = np.arange(-half[0], half[0] + 1)[:, None] + z_nodes
    r_max = np.hypot((half[1] + 0.5) * dy, (half[2] + 0.5) * dx)
    r_step = microscope.lateral_unit_um / RADIAL_STEPS
    r = np.linspace(0, r_max, max(int(np.ceil(r_max / r_step)) + 1, 8))
    radial = microscope.intensity(r_um=r, z_um=centre_um + dz * z.ravel())
    radial = radial.reshape(len(r), *z.shape) @ z_weights
    profile = CubicSpline(r, radial, bc_type=("clamped", "not-a-knot"))

    y_nodes, y_weights = _voxel_nodes(dy / (2 * microscope.lateral_unit_um))
    x_nodes, x_weights = _voxel_nodes(dx / (2 * microscope.lateral_unit_um))
    y, x = np.arange(half[1] + 1), np.arange(half[2] + 1)
    quadrant = np.zeros((len(y), len(x), shape[0]))
    for y_node, y_weight in zip(y_nodes, y_weights, strict=True):
        for x_node, x_weight in zip(x_nodes, x_weights, strict=True):
            radius = np.hypot.outer((y + y_node) * dy, (x + x_node) * dx)
            quadrant += y_weight * x_weight * profile(radius)
    quadrant *= dz * dy * dx
    full = np.concatenate([quadrant[:0:-1], quadrant], axis=0)
    full = np.concatenate([full[:, :0:-1], full], axis=1)
    return np.ascontiguousarray(np.moveaxis(full, -1, 0))


def _voxel_nodes(periods: float) -> tuple[Array, Array]:
    """Gauss-Legendre nodes over -½ … ½, enough for this many periods of the finest detail."""
    nodes, weights = np.polynomial.legendre.leggauss(2 + int(np.ceil(2 * periods)))
    return nodes / 2, weights / 2
