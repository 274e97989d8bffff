"""The light of a point behind one objective: radial quadrature of the diffraction integrals.

Two models, both with a specimen whose index differs from the immersion's:

- scalar: Gibson & Lanni 1991 (J. Opt. Soc. Am. A 8, 1601);
- vectorial: Richards & Wolf 1959 for an isotropic emitter (all dipole directions), with the
  Fresnel transmission of the interface between specimen and immersion (Török & Varga 1997). By
  reciprocity the same integrals describe emission and unpolarised excitation.

The coverslip is taken to be the one the objective was designed for, so its optical path cancels;
light beyond the specimen's critical angle (evanescent at the emitter) is left out.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import j0, j1

Array = NDArray[np.float64]

RADIAL_STEPS = 20
"""Radial grid points per half period of the finest detail."""

# How often |I0|², |I1|², |I2|² count for an isotropic emitter.
_COUNTS = (1.0, 2.0, 1.0)
_PANEL_NODES, _PANEL_WEIGHTS = np.polynomial.legendre.leggauss(40)
_PANEL_PHASE = 20.0  # radians of phase over one panel: 40 nodes are then exact to rounding
_Z_CHUNK = 256  # focus positions per matrix product: bounds the memory


@dataclass(frozen=True)
class Lens:
    """An objective that looks at (or lights) a point at a depth in the specimen, in one colour."""

    numerical_aperture: float
    immersion_index: float
    sample_index: float
    depth_um: float
    """Depth of the point below the coverslip."""
    wavelength_um: float
    """Wavelength in vacuum."""
    model: Literal["vectorial", "scalar"] = "vectorial"

    @property
    def wavenumber(self) -> float:
        """2π / λ in vacuum, per µm."""
        return 2 * np.pi / self.wavelength_um

    @property
    def edge(self) -> float:
        """Largest n sin θ that reaches the camera: the aperture, or the critical angle."""
        return min(self.numerical_aperture, self.immersion_index, self.sample_index)

    @property
    def axial_unit_um(self) -> float:
        """Distance from the focus to the first zero on the axis, in the scalar model."""
        n = self.immersion_index
        return self.wavelength_um / (n - np.sqrt(n**2 - self.edge**2))

    @property
    def lateral_unit_um(self) -> float:
        """Return λ / (2 n sin θ): the half period of the finest detail that passes."""
        return self.wavelength_um / (2 * self.edge)

    def optical_path(self, q: Array, z_um: Array) -> Array:
        """Optical path difference in µm at pupil coordinates q = n sin θ, for focus positions.

        `z_um` is how far the objective was moved towards the specimen from the place where its
        nominal focus lies at the coverslip: Z grows with depth. A point at `depth_um` in a
        matched specimen is in focus at z = depth_um.

        Gibson & Lanni 1991, eq. 5, with the design coverslip and immersion.
        """
        specimen = np.sqrt(self.sample_index**2 - q**2)
        immersion = np.sqrt(self.immersion_index**2 - q**2)
        if self.sample_index == self.immersion_index:
            # One product, so that focus positions mirrored at the point give conjugate fields.
            return immersion[:, None] * (self.depth_um - z_um)[None]
        return (self.depth_um * specimen)[:, None] - immersion[:, None] * z_um[None]


def radial_intensity(lens: Lens, *, r_um: Array, z_um: Array) -> Array:
    """Intensity of a point's image at radii and focus positions.

    Parameters
    ----------
    lens
        The objective and the point.
    r_um
        Distances from the axis in the specimen, shape (R,), in µm.
    z_um
        Focus positions as in `Lens.optical_path`, shape (Z,), in µm.

    Returns
    -------
    numpy.ndarray
        Shape (R, Z), float64, per µm²: its integral over a whole plane is 1 in every plane.
    """
    q, measure = _pupil_nodes(lens, r_max=float(np.max(r_um)), z_um=z_um)
    amplitudes = _pupil_amplitudes(lens, q)
    bessel = _bessel(lens.wavenumber * np.outer(r_um, q), len(amplitudes))
    kernels = [j * a for j, a in zip(bessel, amplitudes, strict=True)]
    intensity = np.zeros((len(r_um), len(z_um)))
    for start in range(0, len(z_um), _Z_CHUNK):
        part = slice(start, start + _Z_CHUNK)
        wave = np.exp(1j * lens.wavenumber * lens.optical_path(q, z_um[part])) * measure[:, None]
        parts = np.concatenate([wave.real, wave.imag], axis=1)  # real products are twice as fast
        for kernel, count in zip(kernels, _COUNTS, strict=False):
            real, imaginary = np.split(kernel @ parts, 2, axis=1)
            intensity[:, part] += count * (real**2 + imaginary**2)
    # Parseval for Hankel transforms: ∫|F|² r dr = ∫|A|² q dq / k², whatever the focus.
    energy = sum(
        count * np.sum(measure * a**2) for a, count in zip(amplitudes, _COUNTS, strict=False)
    )
    return intensity / (2 * np.pi * energy / lens.wavenumber**2)


def through_pinhole(lens: Lens, radius_um: float, *, r_um: Array, z_um: Array) -> Array:
    """Share of the emitted light that passes a pinhole: the intensity ⊗ a disk, shape (R, Z).

    The integral over rings around the image of the point: each ring's area inside the disk is
    exact, the intensity is constant over a ring.
    """
    reach = float(np.max(r_um)) + radius_um
    rings = int(np.ceil(reach / lens.lateral_unit_um * 2 * RADIAL_STEPS))
    edges = np.linspace(0, reach, rings + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    areas = np.diff(_overlap_area(r_um[:, None], edges[None], radius_um), axis=1)
    return areas @ radial_intensity(lens, r_um=middle, z_um=z_um)


def focus_range_um(lens: Lens) -> tuple[float, float]:
    """Bracket the focus: from the focus of the paraxial to that of (almost) the marginal rays."""
    q = np.array([0.0, 0.97 * lens.edge])
    ratio = np.sqrt((lens.immersion_index**2 - q**2) / (lens.sample_index**2 - q**2))
    ends = lens.depth_um * ratio
    return float(ends.min()), float(ends.max())


def _pupil_nodes(lens: Lens, *, r_max: float, z_um: Array) -> tuple[Array, Array]:
    """Gauss-Legendre nodes in q = n sin θ, and the weights of ∫ … q dq.

    The variable of integration is the angle in the medium of the lower index, in which the
    integrand is smooth up to the critical angle; panels follow the fastest phase.
    """
    low = min(lens.immersion_index, lens.sample_index)
    theta_max = np.arcsin(lens.edge / low)
    probe = np.linspace(0, theta_max, 200)
    ends = np.array([np.min(z_um), np.max(z_um)])
    path = lens.optical_path(low * np.sin(probe), ends)
    # the path's constant part is no oscillation: its variation counts
    phase = np.abs(np.diff(path, axis=0)).sum(axis=0).max() + low * r_max * theta_max
    panels = int(np.ceil(lens.wavenumber * phase / _PANEL_PHASE)) + 10
    edges = np.linspace(0, theta_max, panels + 1)
    half = theta_max / panels / 2
    theta = (edges[:-1, None] + half * (1 + _PANEL_NODES)).ravel()
    weight = np.tile(half * _PANEL_WEIGHTS, panels)
    q = low * np.sin(theta)
    return q, weight * q * low * np.cos(theta)


def _bessel(x: Array, orders: int) -> list[Array]:
    """J0, or J0, J1 and J2; the last by recurrence, which is ten times faster than its own."""
    if orders == 1:
        return [j0(x)]
    first, second = j0(x), j1(x)
    return [first, second, 2 * second / np.maximum(x, 1e-8) - np.where(x > 1e-8, first, 0)]


def _pupil_amplitudes(lens: Lens, q: Array) -> list[Array]:
    """Amplitudes over the pupil: one for the scalar model, those of I0, I1, I2 for the other."""
    if lens.model == "scalar":
        return [np.ones_like(q)]
    ni, ns = lens.immersion_index, lens.sample_index
    cos_i, cos_s = np.sqrt(1 - (q / ni) ** 2), np.sqrt(1 - (q / ns) ** 2)
    across = 2 * ni * cos_i / (ni * cos_i + ns * cos_s)  # Fresnel, s polarisation
    along = 2 * ni * cos_i / (ns * cos_i + ni * cos_s)  # p polarisation
    # √cosθ sinθ dθ of an aplanatic objective is q dq / √cosθ, up to a constant
    aplanatic = 1 / np.sqrt(cos_i)
    return [
        aplanatic * (across + along * cos_s),
        aplanatic * along * q / ns,
        aplanatic * (across - along * cos_s),
    ]


def _overlap_area(distance: Array, a: Array, b: float) -> Array:
    """Area common to two disks of radii a and b whose centres are `distance` apart."""
    distance, a = np.broadcast_arrays(distance, a)
    area = np.where(distance < np.abs(a - b), np.pi * np.minimum(a, b) ** 2, 0.0)
    crossing = (distance >= np.abs(a - b)) & (distance < a + b) & (distance > 0) & (a > 0)
    d, s = distance[crossing], a[crossing]
    angle_a = np.arccos(np.clip((d**2 + s**2 - b**2) / (2 * d * s), -1, 1))
    angle_b = np.arccos(np.clip((d**2 + b**2 - s**2) / (2 * d * b), -1, 1))
    kite = (d + s + b) * (s + b - d) * (d - s + b) * (d + s - b)
    area[crossing] = s**2 * angle_a + b**2 * angle_b - np.sqrt(np.clip(kite, 0, None)) / 2
    return area
