"""Measure a PSF file's pedestal where theory expects no light, and check what is left.

A widefield PSF has no dark frame around it: its cone of light reaches the file's faces. Without
light are only the places well outside the cone, near the focal plane. A sectioning microscope's
PSF is dark some widths away from the focus, in all directions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from decon3d.optics.arrays import Array, Floats, Mask, Shape, Triple, spread
from decon3d.optics.bead import outer_shell
from decon3d.optics.psf import fwhm_um
from decon3d.optics.resampling import resample
from decon3d.optics.sections import Optics
from decon3d.optics.theory import theoretical_psf

CLEARANCES = (5.0, 3.0)
"""Airy radii beyond the cone, or widths away from a sectioning microscope's focus, at which a place
counts as dark; the second where the file is too small for the first."""
FEWEST = 300
"""Dark voxels that make an estimate."""
UNCERTAIN_TAIL = 0.5
"""Relative error of the theory's dim tails."""
GIVEN = 0.05
"""Share of the remaining sum that a given pedestal may leave without a warning."""
UNEVEN_PLANES = 0.2
"""Relative change of a widefield PSF's plane sums from the focus outwards that is reported."""
UNSECTIONED = 0.15
"""Share of the focal plane's light, beyond theory's, in a sectioning PSF's outer planes that is
reported."""


@dataclass(frozen=True)
class Expected:
    """Theoretical distribution of the light around a focus.

    Attributes
    ----------
    data
        Theoretical PSF, axes Z Y X, odd sizes, sum 1, centred.
    voxel_size_um
        Its voxel size (Z, Y, X), in µm.
    tangent
        tan α of the light cone, sin α = NA / n.
    airy_um
        Airy radius, 0.61 λ / NA, in µm.
    sectioning
        Whether planes far from the focus are dark.
    larger
        Makes the theoretical PSF of a given shape (odd sizes).
    """

    data: Floats
    voxel_size_um: Triple
    tangent: float
    airy_um: float
    sectioning: bool
    larger: Callable[[Shape], Array]

    def covering(self, shape: Sequence[int]) -> Floats:
        """Return the PSF in at least this shape.

        Only a cone needs that: a sectioning microscope's PSF ends within `data`.
        """
        if self.sectioning or all(n <= m for n, m in zip(shape, self.data.shape, strict=True)):
            return self.data
        z, y, x = (max(n, m) for n, m in zip(shape, self.data.shape, strict=True))
        return self.larger((z, y, x))


def expected_light(
    optics: Optics, *, emission_um: float, theory: Floats, voxel_size_um: Triple
) -> Expected:
    """Describe the light that theory expects in a measured PSF.

    Parameters
    ----------
    optics, emission_um
        The microscope, and the emission wavelength in µm.
    theory
        The theoretical PSF, axes Z Y X, odd sizes.
    voxel_size_um
        Its voxel size (Z, Y, X), in µm.
    """

    def larger(shape: Shape) -> Array:
        return theoretical_psf(
            optics=optics, emission_um=emission_um, voxel_size_um=voxel_size_um, shape=shape
        )

    sine = optics.numerical_aperture / optics.immersion_index
    return Expected(
        theory,
        voxel_size_um,
        float(sine / np.sqrt(1 - sine**2)),
        0.61 * emission_um / optics.numerical_aperture,
        optics.kind.sectioning,
        larger,
    )


@dataclass(frozen=True)
class Pedestal:
    """Counts that do not come from the bead.

    Attributes
    ----------
    dark
        Voxels without light, where noise can be measured; None = there are none.
    light
        Theory's PSF on the file's grid, around the brightest place; None = theory is unknown.
    """

    counts: float
    how: str
    dark: Mask | None
    light: Array | None
    warnings: list[str]


def find_pedestal(
    data: Array,
    *,
    voxel_size_um: Triple,
    expected: Expected | None,
    given: Literal["auto", "none"] | float = "auto",
) -> Pedestal:
    """Measure the pedestal of a PSF file.

    Parameters
    ----------
    data
        Axes Z Y X, finite.
    voxel_size_um
        Voxel size of the file (Z, Y, X), in µm.
    expected
        From `expected_light`; None = the microscope is unknown, the outer eighth is taken as dark.
    given
        "auto" measures it; "none" and a number of counts set it.
    """
    dark, light = _dark_voxels(data, voxel_size_um, expected)
    if dark is None:
        measured, how = 0.0, "none assumed: the file has no place without light"
    else:
        measured, how = _level(data[dark]), "mean of the outer eighth of the image"
        if light is not None:
            how = "mean where theory expects no light, less the theory's tail"
            measured = _without_tail(data, light, dark, measured)
    counts = measured if given == "auto" else 0.0 if given == "none" else float(given)
    warnings = []
    if given == "auto" and dark is None:
        warnings.append(
            "the file is too small for a place without light, so no pedestal was measured or "
            "removed; set `pedestal` to the camera's offset in counts (none if it has no "
            "offset), or crop the file less closely"
        )
    elif dark is not None and (measured - counts) * data.size > GIVEN * (data - counts).sum() > 0:
        warnings.append(
            f"`pedestal` is {counts:g} counts, but the file has {measured:g} counts where theory "
            f"expects no light; check `pedestal` (auto removes {measured:g} counts)"
        )
    return Pedestal(counts, how if given == "auto" else "given", dark, light, warnings)


def _dark_voxels(
    data: Array, voxel_size_um: Triple, expected: Expected | None
) -> tuple[Mask | None, Array | None]:
    """Mark the half of the dark voxels that are farthest from the light; lay theory on the file."""
    if expected is None:
        return outer_shell(data.shape), None
    smooth = ndimage.gaussian_filter(data, 1.0, mode="nearest")
    centre = [int(i) for i in np.unravel_index(int(smooth.argmax()), data.shape)]
    z, y, x = (
        (np.arange(n) - c) * v for n, c, v in zip(data.shape, centre, voxel_size_um, strict=True)
    )
    radius = np.hypot(y[:, None], x)
    if expected.sectioning:
        axial, *lateral = fwhm_um(expected.data, expected.voxel_size_um)
        clearance = np.sqrt((z[:, None, None] / axial) ** 2 + (radius / max(lateral)) ** 2)
    else:
        cone = np.abs(z)[:, None, None] * expected.tangent
        clearance = (radius - cone) / expected.airy_um
    light = theory_on_grid(expected, voxel_size_um, data.shape, centre)
    for least in CLEARANCES:
        dark = clearance >= least
        if dark.sum() >= 2 * FEWEST:
            return clearance >= max(float(np.median(clearance[dark])), least), light
    return None, light


def theory_on_grid(
    expected: Expected, voxel_size_um: Triple, shape: tuple[int, ...], centre: Sequence[int]
) -> Array:
    """Resample the theoretical PSF to a grid, its middle on the voxel `centre`; 0 beyond it.

    Parameters
    ----------
    expected
        Theory's PSF.
    voxel_size_um, shape
        Voxel size (Z, Y, X; µm) and voxels (Z, Y, X) of the grid.
    centre
        Voxel (Z, Y, X) of the grid that gets the PSF's middle.
    """
    psf = resample(
        expected.data,
        voxel_size_um=expected.voxel_size_um,
        target_voxel_size_um=voxel_size_um,
    )
    result = np.zeros(shape)
    there, here = [], []
    for n, c, m in zip(shape, centre, psf.shape, strict=True):
        first = c - m // 2
        there.append(slice(max(first, 0), min(first + m, n)))
        here.append(slice(max(-first, 0), min(n - first, m)))
    result[tuple(there)] = np.clip(psf[tuple(here)], 0, None)
    return result


def _level(values: Array) -> float:
    """Mean without what deviates from the median by over three standard deviations.

    A median of whole counts is wrong by up to half a count, which over a file is much light.
    """
    distance = np.abs(values - np.median(values))
    return float(values[distance <= 3 * (spread(values) or distance.mean())].mean())


def _without_tail(data: Array, light: Array, dark: Mask, level: float) -> float:
    """Subtract theory's light in the dark voxels from their level; 0 if little else is left."""
    if level <= 0:
        return level
    core = light > 0.05 * light.max()
    tail = float(light[dark].mean())
    total = float(light[core].sum())
    pedestal = (level - tail * data[core].sum() / total) / (1 - tail * core.sum() / total)
    return float(pedestal) if pedestal > UNCERTAIN_TAIL * (level - pedestal) else 0.0


def odd_planes(bead: Array, weight: Array, light: Array, *, sectioning: bool) -> list[str]:
    """Check the plane sums after the removal: constant or falling, as theory has them.

    Parameters
    ----------
    bead, weight
        What was kept of the image and where, as `isolate_bead` gives them; axes Z Y X.
    light
        Theory's PSF on the same voxels, around the bead.
    sectioning
        Whether planes far from the focus are dark.
    """
    known = weight * light
    lit = np.flatnonzero(known.sum(axis=(1, 2)) > 0)
    sums, theory = (a.sum(axis=(1, 2))[lit] for a in (np.where(known > 0, bead, 0), known))
    distance = np.abs(lit - int(light.max(axis=(1, 2)).argmax()))
    if len(lit) < 5:
        return []
    near, far = distance <= np.median(distance), distance >= 0.75 * distance.max()
    seen = float(sums[far].mean() / sums[near].mean())
    predicted = float(theory[far].mean() / theory[near].mean())
    if abs(seen - predicted) <= (UNSECTIONED if sectioning else UNEVEN_PLANES * predicted):
        return []
    text = (
        f"planes far from the focus have {seen:.0%} of the light of those near it, but "
        f"{predicted:.0%} in theory"
    )
    if seen < predicted:
        return [f"{text}; something may have been subtracted from the file; check `pedestal`"]
    return [
        f"{text}; a pedestal may remain (check `pedestal`), or the optical sectioning is weaker "
        "than that of optics.modality"
    ]
