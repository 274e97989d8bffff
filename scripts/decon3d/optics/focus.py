"""Where the core of a theoretical PSF lies, and how wide it is."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from decon3d.optics.arrays import Array, Triple
from decon3d.optics.diffraction import Lens, focus_range_um
from decon3d.optics.microscope import Microscope, set_up
from decon3d.optics.sections import Optics


@dataclass(frozen=True)
class Focus:
    """The core: what exceeds half of the maximum.

    Attributes
    ----------
    centre_um
        Its centroid (Z, Y, X), in µm; the PSF's middle voxel is centred on it.
    peak
        Largest intensity, as `Microscope` counts it.
    """

    centre_um: Triple
    axial_fwhm_um: float
    lateral_fwhm_um: float
    peak: float


@lru_cache(maxsize=32)
def locate_focus(
    *, optics: Optics, emission_um: float, excitation_um: float | None = None
) -> tuple[Microscope, Focus]:
    """Set up the microscope and find where its PSF's core lies.

    Parameters
    ----------
    optics
        The microscope.
    emission_um, excitation_um
        Wavelengths in vacuum, in µm; the excitation None = the modality's default.

    Returns
    -------
    tuple
        The microscope, its sheet in the focus of the detection, and its focus. In a matched
        specimen without aberrations the centre is the depth itself, on the axis.
    """
    microscope = set_up(optics, emission_um=emission_um, excitation_um=excitation_um)
    if microscope.sheet_fwhm_um:
        detection = find_focus(Microscope(microscope.detection))
        microscope = replace(microscope, sheet_centre_um=detection.centre_um[0])
    return microscope, find_focus(microscope)


def strehl_ratio(lens: Lens) -> float:
    """Peak of a lens' intensity over its peak without the aberrations."""
    aberrated, plain = Microscope(lens), Microscope(replace(lens, aberrations=()))
    return find_focus(aberrated).peak / find_focus(plain).peak


def find_focus(microscope: Microscope) -> Focus:
    """Scan for the maximum, then take the centroid of the core around it."""
    if microscope.symmetric:
        return _on_the_axis(microscope)
    return _anywhere(microscope)


def _scan_um(microscope: Microscope) -> tuple[float, float]:
    """Focus positions between which the maximum lies."""
    lens = microscope.lens
    low, high = focus_range_um(lens)
    q = np.linspace(0, lens.edge, 101)
    waves = max(np.ptp(lens.aberration_path(q, phi)) for phi in np.arange(8) * np.pi / 4)
    margin = (2 + waves / lens.wavelength_um) * lens.axial_unit_um + microscope.sheet_fwhm_um
    return low - margin, high + margin


def _on_the_axis(microscope: Microscope) -> Focus:
    lens = microscope.lens
    low, high = _scan_um(microscope)
    step = microscope.axial_unit_um / 20
    z = np.arange(low, high + step, step)
    on_axis = microscope.on_radii(r_um=np.zeros(1), z_um=z)[0]
    first, last = _run_above_half(on_axis)
    z = np.linspace(z[max(first - 1, 0)], z[min(last + 1, len(z) - 1)], 241)
    r = np.linspace(0, 3 * lens.lateral_unit_um, 181)
    core = microscope.on_radii(r_um=r, z_um=z)
    peak = float(core.max())
    core /= peak
    top = np.unravel_index(core.argmax(), core.shape)
    if lens.sample_index == lens.immersion_index and not lens.aberrations:
        centre = lens.depth_um  # by symmetry, exactly
    else:
        weight = np.clip(core - 0.5, 0, None) * r[:, None]
        centre = float((weight.sum(axis=0) @ z) / weight.sum())
    axial, lateral = core[top[0]] >= 0.5, core[:, top[1]] >= 0.5
    return Focus(
        (centre, 0.0, 0.0),
        axial_fwhm_um=float(np.ptp(z[axial])),
        lateral_fwhm_um=float(2 * r[np.flatnonzero(lateral)[-1]]),
        peak=peak,
    )


def _anywhere(microscope: Microscope) -> Focus:
    """Look for the maximum in three steps: of the lens alone, roughly, closely."""
    lens = microscope.lens
    low, high = _scan_um(microscope)
    reach = 2 * lens.lateral_unit_um + _largest_ray_shift_um(lens)
    z = np.arange(low, high, lens.axial_unit_um / 4)
    places = np.arange(-reach, reach, lens.lateral_unit_um / 2)
    peak = _maximum(Microscope(lens), z, places, places)

    def around(half_um: Triple, steps: int) -> tuple[Array, Array, Array]:
        z, y, x = (
            p + u / steps * np.arange(-np.ceil(h / u * steps), np.ceil(h / u * steps) + 1)
            for p, h, u in zip(peak, half_um, units, strict=True)
        )
        return z, y, x

    units = (microscope.axial_unit_um, microscope.lateral_unit_um, microscope.lateral_unit_um)
    lateral = 1.5 * lens.lateral_unit_um
    peak = _maximum(microscope, *around((2 * lens.axial_unit_um, lateral, lateral), 3))
    z, y, x = around((1.5 * units[0], 1.5 * units[1], 1.5 * units[2]), 8)
    return _core_of(microscope.on_grid(z_um=z, y_um=y, x_um=x), (z, y, x))


def _maximum(microscope: Microscope, z: Array, y: Array, x: Array) -> Triple:
    light = microscope.on_grid(z_um=z, y_um=y, x_um=x)
    i, j, k = np.unravel_index(light.argmax(), light.shape)
    return float(z[i]), float(y[j]), float(x[k])


def _core_of(light: Array, places: tuple[Array, Array, Array]) -> Focus:
    """Centroid and widths of the core, which the run around the maximum bounds on each axis."""
    top = np.unravel_index(light.argmax(), light.shape)
    runs = [
        slice(first, last + 1)
        for first, last in (
            _run_above_half(np.moveaxis(light, axis, 0).reshape(light.shape[axis], -1).max(axis=1))
            for axis in range(3)
        )
    ]
    weight = np.clip(light[tuple(runs)] / light[top] - 0.5, 0, None)
    mass = float(weight.sum())
    axes = np.meshgrid(*(p[run] for p, run in zip(places, runs, strict=True)), indexing="ij")
    z, y, x = (float((weight * axis).sum() / mass) for axis in axes)
    profiles = (light[:, top[1], top[2]], light[top[0], :, top[2]], light[top[0], top[1], :])
    widths = []
    for p, profile in zip(places, profiles, strict=True):
        first, last = _run_above_half(profile)
        widths.append(float(p[last] - p[first] + p[1] - p[0]))
    return Focus(
        (z, y, x), widths[0], max(widths[1:]), float(light[top]) + sum(map(_summit, profiles))
    )


def _summit(profile: Array) -> float:
    """Return the height of the parabola through the maximum and its neighbours above it."""
    i = int(profile.argmax())
    if not 0 < i < len(profile) - 1:
        return 0.0
    before, largest, after = profile[i - 1 : i + 2]
    return float((after - before) ** 2 / (8 * (2 * largest - before - after)))


def _largest_ray_shift_um(lens: Lens) -> float:
    """Return the largest lateral shift of a ray: the gradient of the aberrations over the pupil."""
    q = np.linspace(-lens.edge, lens.edge, 121)
    qy, qx = np.meshgrid(q, q, indexing="ij")
    path = lens.aberration_path(np.hypot(qy, qx), np.arctan2(qy, qx))
    inside = np.hypot(qy, qx) <= lens.edge
    return float(np.hypot(*np.gradient(path, q[1] - q[0]))[inside].max())


def _run_above_half(profile: Array) -> tuple[int, int]:
    """First and last index of the run around the maximum that exceeds half of it."""
    below = np.flatnonzero(profile < profile.max() / 2)
    peak = int(profile.argmax())
    first = below[below < peak].max(initial=-1) + 1
    last = below[below > peak].min(initial=len(profile)) - 1
    return int(first), int(last)
