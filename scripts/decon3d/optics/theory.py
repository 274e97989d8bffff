"""The theoretical PSF of a microscope on a voxel grid.

Where all lenses are symmetric about the axis, everything but the last step works on (radius,
focus) arrays: intensities are combined as the modality does, averaged over the voxel's depth, and
only then laid on pixels. Else the light is computed on a fine grid and averaged over voxels.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from decon3d.errors import UserError
from decon3d.optics.arrays import Array, Shape, Triple
from decon3d.optics.diffraction import RADIAL_STEPS
from decon3d.optics.focus import Focus, find_focus, locate_focus, strehl_ratio
from decon3d.optics.microscope import Microscope
from decon3d.optics.resampling import (
    LATERAL_ENERGY,
    OUTSIDE,
    check_grid,
    crop_box,
    energy_box,
    resampling_matrix,
)
from decon3d.optics.sections import Optics

BESIDE_MEASURED = 1.75
"""Factor on the bounds of the support (`modalities`) where theory continues a sectioning
microscope's measured PSF, so that counts are right to 1 %. A widefield PSF's light per plane does
not fall, so no factor helps there."""
FLOOR = 1e-4
"""Share of the peak at which a widefield PSF's axis ends. A measured one ends in noise sooner."""
CROP_RULE = (
    "axially to the last plane with an on-axis value ≥ {floor:g} of the peak, at most {axial:g} "
    "axial FWHM from the centre; laterally {energy:g} of the energy may lie outside, at most "
    "{lateral:g} lateral FWHM from the centre"
)
SECTION_RULE = (
    "per axis {energy:g} of the energy may lie outside, at most {axial:g} axial and {lateral:g} "
    "lateral FWHM from the centre (STED: of the spot without depletion)"
)
WHOLE = 12.0
"""Half-depth, in axial FWHM, within which the light of a sectioning microscope is integrated."""
GRID_STEPS = 6
"""Points of the fine grid per period of the finest detail, where there is no symmetry."""
_GUARD = 8  # points beyond the voxels: what the spline's end spoils falls by 0.27 per point


def theoretical_psf(
    *,
    optics: Optics,
    emission_um: float,
    excitation_um: float | None = None,
    voxel_size_um: Triple,
    shape: Shape | None = None,
) -> Array:
    """Compute the PSF of a microscope.

    Parameters
    ----------
    optics
        Modality, aperture, indices, depth and diffraction model.
    emission_um, excitation_um
        Wavelengths in vacuum, in µm. Confocal and STED: the excitation defaults to 0.93 × the
        emission; two-photon: it has no default.
    voxel_size_um
        Size of a voxel (Z, Y, X), in µm. Z is the step of the stage; it grows with depth.
    shape
        Odd numbers of voxels (Z, Y, X); None = by `resampling.crop_box` (widefield) or
        `resampling.energy_box` within the bounds of the modality (`modalities`).

    Returns
    -------
    numpy.ndarray
        float64, axes Z Y X, odd sizes, sum 1. Each voxel holds the PSF integrated over its
        volume; the centroid of the core lies in the middle (see `focus.locate_focus`).

    Raises
    ------
    UserError
        If a size is even, a wavelength is missing, or the grid would be larger than
        `resampling.LARGEST_GRID`.

    Notes
    -----
    Diffraction: see `diffraction` and, for aberrations without symmetry, `pupil`.

    - Widefield: h_em.
    - Confocal: h_ex · (h_em ⊗ pinhole disk), the pinhole's radius in the specimen = pinhole_au
      × 0.61 λ_em / NA.
    - Two-photon: h_ex², all emitted light collected (Denk et al. 1990, Science 248, 73).
    - Light sheet: h_em × an axial Gaussian centred on the detection's focus.
    - STED: the confocal PSF · exp(-ln 2 · I_sted / I_sat), where I_sted is a vortex plate's
      doughnut. Without the pinhole it would not section: the doughnut is dark on the whole axis.
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
    voxel_size_um: Triple,
    shape: Shape | None = None,
    beside_measured: bool = False,
) -> tuple[Array, dict[str, Any]]:
    """Compute the PSF as `theoretical_psf` does, with a record of its focus, support and energy.

    `beside_measured`: whether it continues a measured PSF, and thus reaches farther
    (`BESIDE_MEASURED`).

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
    axial, lateral = optics.kind.axial_bound, optics.kind.lateral_bound
    if beside_measured and optics.kind.sectioning:
        axial, lateral = BESIDE_MEASURED * axial, BESIDE_MEASURED * lateral
    bounds = shape or _bounds(axial, lateral, _extent(microscope, focus), voxel_size_um)
    check_grid(bounds, voxel_size_um=voxel_size_um)
    lay = _on_voxels if microscope.symmetric else _on_voxels_without_symmetry
    data = lay(microscope, focus.centre_um, bounds, voxel_size_um)
    if shape:
        cropped, rule = data, "given shape"
    elif not optics.kind.sectioning:
        cropped, rule = data[crop_box(data, floor=FLOOR)], CROP_RULE
    else:
        cropped, rule = data[energy_box(data)], SECTION_RULE
    energy = LATERAL_ENERGY if rule is CROP_RULE else OUTSIDE
    rule = rule.format(floor=FLOOR, axial=axial, energy=energy, lateral=lateral)
    support = {"rule": rule, "bounds": list(bounds), "energy_kept": cropped.sum() / data.sum()}
    if not optics.kind.focused:  # of all the light in a plane, also beyond the bounds
        planes = cropped.sum(axis=(1, 2)) / voxel_size_um[0]
        support["focal_plane_energy_kept"] = planes[len(planes) // 2]
        if not optics.kind.sectioning:
            support["edge_plane_energy_kept"] = planes[0]
    elif microscope.symmetric and not shape:
        support["light_kept"] = cropped.sum() / _whole_light(microscope, focus)
    shift_um = np.subtract(focus.centre_um, (optics.depth_um, 0.0, 0.0))
    record = {
        "symmetric": microscope.symmetric,
        "centring": "centroid of the core (what exceeds half of the maximum), by continuous shift",
        "focus_shift_um": float(shift_um[0]),
        "shift_voxels": [float(0.0 - s / v) for s, v in zip(shift_um, voxel_size_um, strict=True)],
        "support": {
            key: round(value, 6) if isinstance(value, float) else value
            for key, value in support.items()
        },
    }
    if microscope.lens.aberrations:
        record["strehl_ratio"] = round(strehl_ratio(microscope.lens), 4)
    return cropped / cropped.sum(), record


def _extent(microscope: Microscope, focus: Focus) -> Focus:
    """Return the widths that bound the support; a depleted spot keeps its weak surroundings."""
    return find_focus(replace(microscope, depletion=None)) if microscope.depletion else focus


def _whole_light(microscope: Microscope, focus: Focus) -> float:
    """Integrate all light of a sectioning microscope, in µm³ units.

    Over the cone within `WHOLE` axial FWHM; beyond, planes fall with the square of the distance.
    """
    extent = _extent(microscope, focus)
    depth = WHOLE * extent.axial_fwhm_um
    z = np.linspace(-depth, depth, 2 * int(np.ceil(3 * depth / microscope.axial_unit_um)) + 1)
    sine = min(microscope.lens.numerical_aperture / microscope.lens.immersion_index, 0.95)
    reach = depth * sine / np.sqrt(1 - sine**2) + 8 * extent.lateral_fwhm_um
    r = np.linspace(0, reach, int(np.ceil(4 * reach / microscope.lateral_unit_um)) + 1)
    planes = microscope.on_radii(r_um=r, z_um=focus.centre_um[0] + z)
    rings = np.asarray(np.trapezoid(2 * np.pi * r[:, None] * planes, r, axis=0))
    return float(np.trapezoid(rings, z) + depth * (rings[:3].mean() + rings[-3:].mean()))


def _bounds(axial: float, lateral: float, focus: Focus, voxel_size_um: Triple) -> Shape:
    """Return the largest shape that the crop rule may keep."""
    widths = (
        axial * focus.axial_fwhm_um,
        lateral * focus.lateral_fwhm_um,
        lateral * focus.lateral_fwhm_um,
    )
    z, y, x = (2 * int(np.ceil(w / d)) + 1 for w, d in zip(widths, voxel_size_um, strict=True))
    return z, y, x


def _on_voxels(
    microscope: Microscope, centre_um: Triple, shape: Shape, voxel_size_um: Triple
) -> Array:
    """Integrate the intensity over voxels around the focus, float64 ZYX, in µm² · µm units."""
    from scipy.interpolate import CubicSpline  # slow to import

    half = [n // 2 for n in shape]
    dz, dy, dx = voxel_size_um
    z_nodes, z_weights = _voxel_nodes(dz / microscope.axial_unit_um)
    z = np.arange(-half[0], half[0] + 1)[:, None] + z_nodes
    r_max = np.hypot((half[1] + 0.5) * dy, (half[2] + 0.5) * dx)
    r_step = microscope.lateral_unit_um / RADIAL_STEPS
    r = np.linspace(0, r_max, max(int(np.ceil(r_max / r_step)) + 1, 8))
    radial = microscope.on_radii(r_um=r, z_um=centre_um[0] + dz * z.ravel())
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


def _on_voxels_without_symmetry(
    microscope: Microscope, centre_um: Triple, shape: Shape, voxel_size_um: Triple
) -> Array:
    """Do the same on a fine grid in three dimensions, by the cubic spline through its points."""
    lateral = microscope.lateral_unit_um / GRID_STEPS
    steps = (microscope.axial_unit_um / GRID_STEPS, lateral, lateral)
    places, averages = [], []
    for n, voxel, step, centre in zip(shape, voxel_size_um, steps, centre_um, strict=True):
        reach = int(np.ceil(n * voxel / 2 / step)) + _GUARD
        places.append(centre + step * np.arange(-reach, reach + 1, dtype=np.float64))
        middles = reach + voxel / step * np.arange(-(n // 2), n // 2 + 1, dtype=np.float64)
        averages.append(resampling_matrix(middles, 2 * reach + 1, voxel / step))
    check_grid([len(points) for points in places], voxel_size_um=voxel_size_um)
    data = microscope.on_grid(z_um=places[0], y_um=places[1], x_um=places[2])
    for axis, average in enumerate(averages):
        data = np.moveaxis(np.tensordot(average, data, axes=(1, axis)), 0, axis)
    # between points of almost no light a spline may fall below 0 by its rounding
    return np.clip(np.ascontiguousarray(data), 0, None) * np.prod(voxel_size_um)


def _voxel_nodes(periods: float) -> tuple[Array, Array]:
    """Gauss-Legendre nodes over -½ … ½, enough for this many periods of the finest detail."""
    nodes, weights = np.polynomial.legendre.leggauss(2 + int(np.ceil(2 * periods)))
    return nodes / 2, weights / 2
