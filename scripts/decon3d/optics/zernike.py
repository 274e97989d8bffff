"""Zernike aberrations: names, polynomials, and their path over the pupil.

The polynomials are those of Noll 1976 (J. Opt. Soc. Am. 66, 207, eq. 1-3): over the unit disk their
mean square is 1, so a coefficient is the RMS of its wavefront. Each has a name and Noll's index:
`_x` and `_0` go with cos mφ, `_y` and `_45` (of astigmatism) with sin mφ, where φ is measured from
+X towards +Y. A positive value makes the path of the light longer. Piston and tilts are left
out: they move the image or do nothing.
"""

from math import factorial

import numpy as np

from decon3d.optics.arrays import Array

ZERNIKE = {
    "defocus": (2, 0),  # Noll 4
    "astigmatism_45": (2, -2),  # 5
    "astigmatism_0": (2, 2),  # 6
    "coma_y": (3, -1),  # 7
    "coma_x": (3, 1),  # 8
    "trefoil_y": (3, -3),  # 9
    "trefoil_x": (3, 3),  # 10
    "spherical": (4, 0),  # 11
    "secondary_astigmatism_0": (4, 2),  # 12
    "secondary_astigmatism_45": (4, -2),  # 13
    "quadrafoil_x": (4, 4),  # 14
    "quadrafoil_y": (4, -4),  # 15
    "secondary_spherical": (6, 0),  # 22
}
"""Radial order n and azimuthal frequency m (negative: sine) by name."""


def is_symmetric(name: str) -> bool:
    """Return whether an aberration is the same in all directions."""
    return ZERNIKE[name][1] == 0


def zernike(name: str, rho: Array, phi: Array) -> Array:
    """Evaluate a polynomial.

    Parameters
    ----------
    name
        One of `ZERNIKE`.
    rho
        Radius in the pupil; 1 at the rim of the aperture.
    phi
        Azimuth in radians, from +X towards +Y; broadcasts with `rho`.

    Returns
    -------
    numpy.ndarray
        Values; over the unit disk their mean square is 1.
    """
    n, m = ZERNIKE[name]
    order = abs(m)
    radial = np.zeros_like(np.asarray(rho, np.float64))
    for s in range((n - order) // 2 + 1):
        ways = factorial(s) * factorial((n + order) // 2 - s) * factorial((n - order) // 2 - s)
        radial += (-1) ** s * factorial(n - s) / ways * rho ** (n - 2 * s)
    if m == 0:
        return np.sqrt(n + 1) * radial
    angular = np.cos(order * phi) if m > 0 else np.sin(order * phi)
    return np.sqrt(2 * (n + 1)) * radial * angular
