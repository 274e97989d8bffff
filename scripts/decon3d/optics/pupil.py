"""The light of a point through a two-dimensional pupil: for aberrations without symmetry.

The same fields as in `diffraction`, but summed over both coordinates of the pupil. For symmetric
lenses both agree to rounding, and the radial quadrature is a hundred times faster.

The pupil is a disk, on which a square grid would step over the rim. Here its points are those of
a hemisphere seen from above, q_y = q_max sin t, q_x = q_max cos t sin u, with Gauss-Legendre nodes
in t and u: every function of the angles is smooth in them up to the rim, so the sums converge as
fast as those of the radial quadrature. Images need a regular grid only within a row and a column,
so each plane is two matrix products (a matrix Fourier transform: Soummer et al. 2007, Opt. Express
15, 15935).
"""

import numpy as np

from decon3d.optics.arrays import Array
from decon3d.optics.diffraction import Component, Lens, pupil_components

_CHUNK_BYTES = 2**27  # of one field while it is summed row by row


def pupil_intensity(lens: Lens, *, z_um: Array, y_um: Array, x_um: Array) -> Array:
    """Intensity of a point's image on a grid.

    Parameters
    ----------
    lens
        The objective and the point, with any aberrations.
    z_um
        Focus positions as in `Lens.optical_path`, shape (Z,), in µm.
    y_um, x_um
        Places in the image, referred to the specimen, from the axis; shapes (Y,), (X,), in µm.

    Returns
    -------
    numpy.ndarray
        Shape (Z, Y, X), float64, per µm²: its integral over a whole plane is 1 in every plane.
    """
    angle, weights = _nodes(lens, z_um, y_um, x_um)
    qy, chord = lens.edge * np.sin(angle), lens.edge * np.cos(angle)
    qx = np.outer(chord, np.sin(angle))
    q, phi = np.hypot(qx, qy[:, None]), np.arctan2(qy[:, None], qx)
    measure = np.outer(weights * chord, weights * np.cos(angle)) * chord[:, None]
    components = [part for c in pupil_components(lens, q) for part in _turning_both_ways(c, lens)]
    energy = sum(c.count * np.sum(measure * c.amplitude**2) for c in components)
    pupils = np.stack([measure * c.amplitude * np.exp(1j * c.order * phi) for c in components])

    k = lens.wavenumber
    columns = np.exp(1j * k * np.outer(y_um, qy))
    intensity = np.empty((len(z_um), len(y_um), len(x_um)))
    chunk = max(_CHUNK_BYTES // (16 * len(components) * len(qy) * len(x_um)), 1)
    for start in range(0, len(z_um), chunk):
        z = z_um[start : start + chunk]
        rows = np.empty((len(qy), len(components), len(z), len(x_um)), complex)
        for i in range(len(qy)):
            wave = np.exp(1j * k * lens.optical_path(q[i], z, phi[i])).T
            kernel = np.exp(1j * k * np.outer(qx[i], x_um))
            fields = pupils[:, None, i] * wave  # (component, Z, node)
            rows[i] = (fields.reshape(-1, len(qy)) @ kernel).reshape(rows.shape[1:])
        planes = np.zeros((len(y_um), len(z), len(x_um)))
        for j, component in enumerate(components):
            field = np.tensordot(columns, rows[:, j], axes=1)
            planes += component.count * (field.real**2 + field.imag**2)
        intensity[start : start + chunk] = planes.swapaxes(0, 1)
    # Parseval: ∫|F|² dx dy = (2π/k)² ∫|A|² dq_x dq_y, whatever the focus.
    return intensity / ((2 * np.pi / k) ** 2 * energy)


def pupil_through_pinhole(
    lens: Lens, radius_um: float, *, z_um: Array, y_um: Array, x_um: Array
) -> Array:
    """Share of the emitted light that passes a pinhole: the intensity ⊗ a disk.

    Parameters
    ----------
    lens, z_um, y_um, x_um
        As for `pupil_intensity`; `y_um` and `x_um` are evenly spaced, with the same step.
    radius_um
        Radius of the pinhole, referred to the specimen.

    Returns
    -------
    numpy.ndarray
        Shape (Z, Y, X), float64.
    """
    step = float(x_um[1] - x_um[0])
    reach = int(np.ceil(radius_um / step + 0.5))
    light = pupil_intensity(
        lens, z_um=z_um, y_um=_extended(y_um, reach, step), x_um=_extended(x_um, reach, step)
    )
    disk = _disk_coverage(radius_um / step, reach) * step**2
    from scipy.signal import fftconvolve  # half a second, and few PSFs need it

    return fftconvolve(light, disk[None], mode="valid", axes=(1, 2))


def _turning_both_ways(component: Component, lens: Lens) -> list[Component]:
    """Split a part into both senses of rotation, equal in unpolarised light; a vortex has one."""
    count, order, amplitude = component.count, component.order, component.amplitude
    if lens.vortex or order == 0:
        return [component]
    return [Component(count / 2, sign * order, amplitude) for sign in (1, -1)]


def _nodes(lens: Lens, z_um: Array, y_um: Array, x_um: Array) -> tuple[Array, Array]:
    """Angles and weights for t and u that resolve the fastest phase along any diameter."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 201)
    q = np.abs(lens.edge * np.sin(angle))
    ends = np.array([np.min(z_um), np.max(z_um)])
    rate = 0.0
    for phi in np.arange(12) * np.pi / 12:
        azimuth = np.where(angle < 0, phi + np.pi, phi)
        path = lens.optical_path(q, ends, azimuth)
        rate = max(rate, float(np.abs(np.diff(path, axis=0)).max() / (angle[1] - angle[0])))
    rate += lens.edge * float(max(np.abs(y_um).max(), np.abs(x_um).max()))
    # exp(i a s) on -1 … 1 needs a / 2 nodes and some; a = π/2 times the rate per radian
    count = int(np.ceil(np.pi / 4 * lens.wavenumber * rate)) + 20
    if not lens.vortex:
        nodes, weights = np.polynomial.legendre.leggauss(count)
        return np.pi / 2 * nodes, np.pi / 2 * weights
    # The phase of a vortex has no value in the middle of the pupil: panels end there, where the
    # nodes lie densely.
    nodes, weights = np.polynomial.legendre.leggauss(count // 2 + 15)
    half = np.pi / 4 * (1 + nodes)
    return np.concatenate([-half[::-1], half]), np.pi / 4 * np.tile(weights, 2)


def _extended(places: Array, count: int, step: float) -> Array:
    more = step * np.arange(1, count + 1)
    return np.concatenate([places[0] - more[::-1], places, places[-1] + more])


def _disk_coverage(radius: float, reach: int) -> Array:
    """Share of each cell of a grid that a disk covers; the radius in cells."""
    fine = 16
    places = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = np.clip((radius - np.hypot.outer(places, places)) * fine + 0.5, 0, 1)
    return inside.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).mean(axis=(1, 3))
